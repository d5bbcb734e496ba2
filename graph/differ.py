"""The difference between two snapshots of one projection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from graph.groups import groups_of, same_place
from graph.model import Delta, Edge, Group, Node, Snapshot
from graph.rows import Rows

Item = TypeVar("Item", Node, Edge)


def delta(old: Snapshot, new: Snapshot) -> Delta:
    """What turns the old snapshot into the new one: changed things whole, gone things by id."""
    nodes, gone_nodes = _different(old.nodes, new.nodes)
    edges, gone_edges = _different(old.edges, new.edges)
    groups, gone_groups = _regrouped(old, new) if gone_nodes or _moves(nodes, old, new) else ((), ())
    return Delta(
        source=old.revision,
        target=new.revision,
        at_ms=new.at_ms,
        nodes=nodes,
        edges=edges,
        gone_nodes=gone_nodes,
        gone_edges=gone_edges,
        groups=groups,
        gone_groups=gone_groups,
    )


def apply(old: Snapshot, change: Delta) -> Snapshot:
    """The snapshot that the delta leads to."""
    return replace(
        old,
        revision=change.target,
        at_ms=change.at_ms,
        nodes=_applied(old.nodes, change.nodes, change.gone_nodes),
        edges=_applied(old.edges, change.edges, change.gone_edges),
    )


def _different(old: Mapping[str, Item], new: Mapping[str, Item]) -> tuple[Mapping[str, Item], tuple[str, ...]]:
    """What is new or otherwise than it was, and what is gone."""
    if isinstance(old, Rows) and isinstance(new, Rows) and new.lineage is old.lineage:
        return new.changed(old), new.gone(old)
    return (
        {id_: item for id_, item in new.items() if old.get(id_) != item},
        tuple(id_ for id_ in old if id_ not in new),
    )


def _moves(changed: Mapping[str, Node], old: Snapshot, new: Snapshot) -> bool:
    """Whether a node is new, or in other groups than it was. Rows stay where they are."""
    if isinstance(changed, Rows):
        return len(old.nodes) != len(new.nodes)
    return any((known := old.nodes.get(id_)) is None or not same_place(known, node) for id_, node in changed.items())


def _regrouped(old: Snapshot, new: Snapshot) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    before, after = groups_of(old.nodes.values()), groups_of(new.nodes.values())
    changed = tuple(group for id_, group in after.items() if group != before.get(id_))
    return changed, tuple(id_ for id_ in before if id_ not in after)


def _applied(old: Mapping[str, Item], changed: Mapping[str, Item], gone: tuple[str, ...]) -> dict[str, Item]:
    items = {**old, **changed}
    for id_ in gone:
        del items[id_]
    return items
