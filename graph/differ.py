"""The difference between two snapshots of one projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from graph.groups import groups_of, same_place
from graph.model import Delta, Edge, Group, Node, Signals, Snapshot

Item = TypeVar("Item", Node, Edge)


def delta(old: Snapshot, new: Snapshot) -> Delta:
    """What turns the old snapshot into the new one: changed things whole, gone things by id."""
    nodes = _changed(old.nodes, new.nodes)
    gone = tuple(id_ for id_ in old.nodes if id_ not in new.nodes)
    groups, gone_groups = _regrouped(old, new) if gone or any(map(_moves(old), nodes)) else ((), ())
    return Delta(
        source=old.revision,
        target=new.revision,
        at_ms=new.at_ms,
        nodes=nodes,
        edges=_changed(old.edges, new.edges),
        gone_nodes=gone,
        gone_edges=tuple(id_ for id_ in old.edges if id_ not in new.edges),
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
    return tuple([item for id_, item in new.items() if (known := old.get(id_)) is not item and _differ(known, item)])


def _moves(old: Snapshot) -> Callable[[Node], bool]:
    """Whether a node is new, or in other groups than it was."""
    return lambda node: (known := old.nodes.get(node.id)) is None or not same_place(known, node)


def _regrouped(old: Snapshot, new: Snapshot) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    before, after = groups_of(old.nodes.values()), groups_of(new.nodes.values())
    changed = tuple(group for id_, group in after.items() if group != before.get(id_))
    return changed, tuple(id_ for id_ in before if id_ not in after)


def _differ(known: Item | None, item: Item) -> bool:
    # Of two made anew mostly one was heard later, or counts more: no need to look at everything else.
    if isinstance(known, Edge) and isinstance(item, Edge) and known.at_ms != item.at_ms:
        return True
    if isinstance(known, Node) and isinstance(item, Node) and _requests(known.inbound) != _requests(item.inbound):
        return True
    return known != item


def _requests(signals: Signals | None) -> float:
    return signals.requests if signals else 0.0


def _applied(old: Mapping[str, Item], changed: tuple[Item, ...], gone: tuple[str, ...]) -> dict[str, Item]:
    items = {**old, **{item.id: item for item in changed}}
    for id_ in gone:
        del items[id_]
    return items
