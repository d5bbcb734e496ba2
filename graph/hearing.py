"""Who is heard, and who may be believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from graph.arrays import Flags, Ints
from graph.ledger import STALE_INTERVALS, Instance
from graph.model import EdgeKey, Reporter
from graph.series import InstanceKey, SeriesKey

SELDOM_MS = 1_500
"""Every window holds readings of whoever is read at shorter intervals, and courses have no peaks of theirs."""

Doubts = Mapping[tuple[str, EdgeKey | None], str]
"""By instance, and by what one instance counts on one edge: why it may not be believed, and the way out."""


class Hearing(NamedTuple):
    """When each series was last heard, and whether it can be believed now."""

    at_ms: Ints
    fresh: Flags
    why: Sequence[str] = ()
    """Per series why it may not be believed, as its source says; ``""``: nothing is said. Empty: of no series."""
    seldom: Flags = np.zeros(0, bool)
    """Per series whether it is read more seldom than windows begin and end: see :mod:`graph.readings`."""

    def of(self, instance: Ints) -> Hearing:
        """Take what is heard of instances for what is heard of their series."""
        return Hearing(self.at_ms[instance], self.fresh[instance], seldom=self.seldom[instance])

    @property
    def sure(self) -> Flags:
        """Which are believed, and not in doubt either."""
        return self.fresh & np.array([not why for why in self.why], bool) if self.why else self.fresh


def heard(keys: Sequence[InstanceKey], known: Mapping[InstanceKey, Instance], now_ms: int) -> Hearing:
    """Say of instances, not of series, when they were heard. Whoever takes spans is always heard, and never seldom."""
    instances = [known[key] for key in keys]
    pushed = np.array([reporter is Reporter.TRACE for reporter, _ in keys], bool)
    recent = np.array([now_ms - one.at_ms <= STALE_INTERVALS * one.interval_ms for one in instances], bool)
    seldom = np.array([one.interval_ms > SELDOM_MS and one.at_ms > one.first_ms for one in instances], bool)
    return Hearing(np.array([one.at_ms for one in instances], np.int64), recent | pushed, seldom=seldom & ~pushed)


def doubted(hearing: Hearing, keys: Sequence[SeriesKey], own_ms: Ints, told: Iterable[Doubts]) -> Hearing:
    """Take doubts into account; of several about the same the first counts. ``own_ms``: when each series was last read.

    A doubt about an edge makes what that instance counts on it stale; one about an instance is its reason only.
    """
    doubts: dict[tuple[str, EdgeKey | None], str] = {}
    for one in told:
        doubts = {**one, **doubts}
    edges = [doubts.get((key.instance, key.edge), "") for key in keys]
    why = [edge or doubts.get((key.instance, None), "") for edge, key in zip(edges, keys, strict=True)]
    believed = np.array([not edge for edge in edges], bool)
    return Hearing(np.where(believed, hearing.at_ms, own_ms), hearing.fresh & believed, why, hearing.seldom)
