"""Several clusters' inventories as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import reduce
from typing import Any, TypeVar

from graph.model import Inventory, NodeKind, Service, Workload

Known = TypeVar("Known", Workload, Service)
PLAIN = frozenset({NodeKind.WORKLOAD, NodeKind.SERVICE})
"""Kinds that say the least."""


def merged(inventories: Iterable[Inventory]) -> Inventory:
    """Put inventories together, in any order: of one and the same thing everything that any of them knows."""
    return reduce(_both, inventories, Inventory())


def _both(one: Inventory, other: Inventory) -> Inventory:
    return Inventory(workloads=_mapped(one.workloads, other.workloads), services=_mapped(one.services, other.services))


def _mapped(one: Mapping[Any, Known], other: Mapping[Any, Known]) -> dict[Any, Known]:
    return {**one, **{ref: _joined(one[ref], known) if ref in one else known for ref, known in other.items()}}


def _joined(one: Known, other: Known) -> Known:
    if one == other:
        return one
    return type(one)(**{each.name: _value(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)})


def _value(one: Any, other: Any) -> Any:
    """Of two words on one field both where it is a collection, else the one that says more."""
    if one == other:
        return one
    if isinstance(one, NodeKind):
        return max(one, other, key=lambda kind: (kind not in PLAIN, kind))
    if isinstance(one, tuple):
        return tuple(sorted({*one, *other}))
    if isinstance(one, Mapping):
        return {name: max(side[name] for side in (one, other) if name in side) for name in sorted({*one, *other})}
    return max(value for value in (one, other) if value is not None)
