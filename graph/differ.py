"""The difference between two snapshots of one projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import is_
from typing import TypeVar

from graph.groups import groups_of, same_place
from graph.model import Delta, Edge, Group, Node, Snapshot

Item = TypeVar("Item", Node, Edge)


def delta(old: Snapshot, new: Snapshot) -> Delta:
    """What turns the old snapshot into the new one: changed things whole, gone things by id."""
    nodes = _changed(old.nodes, new.nodes)
    gone = _gone(old.nodes, new.nodes)
    groups, gone_groups = _regrouped(old, new) if gone or any(map(_moves(old), nodes)) else ((), ())
    return Delta(
        source=old.revision,
        target=new.revision,
        at_ms=new.at_ms,
        nodes=nodes,
        edges=_changed(old.edges, new.edges),
        gone_nodes=gone,
        gone_edges=_gone(old.edges, new.edges),
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


def _changed(old: Mapping[str, Item], new: Mapping[str, Item]) -> tuple[Item, ...]:
    # Snapshots share what did not change, so that mostly a look at the identity is enough.
    before = old.values() if _same_ids(old, new) else map(old.get, new)
    pairs = zip(before, new.values(), strict=True)
    return tuple([item for known, item in pairs if known is not item and known != item])


def _gone(old: Mapping[str, Item], new: Mapping[str, Item]) -> tuple[str, ...]:
    return () if _same_ids(old, new) else tuple(id_ for id_ in old if id_ not in new)


def _same_ids(old: Mapping[str, Item], new: Mapping[str, Item]) -> bool:
    """Whether both hold the same ids in the same order, as snapshots do that follow each other: no need to look up."""
    return len(old) == len(new) and all(map(is_, old, new))


def _moves(old: Snapshot) -> Callable[[Node], bool]:
    """Whether a node is new, or in other groups than it was."""
    return lambda node: (known := old.nodes.get(node.id)) is None or not same_place(known, node)


def _regrouped(old: Snapshot, new: Snapshot) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    before, after = groups_of(old.nodes.values()), groups_of(new.nodes.values())
    changed = tuple(group for id_, group in after.items() if group != before.get(id_))
    return changed, tuple(id_ for id_ in before if id_ not in after)


def _applied(old: Mapping[str, Item], changed: tuple[Item, ...], gone: tuple[str, ...]) -> dict[str, Item]:
    items = {**old, **{item.id: item for item in changed}}
    for id_ in gone:
        del items[id_]
    return items
