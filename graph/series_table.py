"""The series side by side as arrays: who counts what, and on which edge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from graph.arrays import REPORTERS, Flags, Ints
from graph.joins import Joined, is_unknown, join
from graph.model import EdgeKey, Inventory, Reporter, Security, ServiceRef, WorkloadRef
from graph.series import InstanceKey, Series, SeriesKey
from graph.stitch import seams, stitched

ORIGINS = 3
"""So many sources of one word are named."""


class SeriesByInstance:
    """Series by who counts them."""

    def __init__(self, keys: Sequence[SeriesKey]) -> None:
        numbers: dict[InstanceKey, int] = {}
        self.keys = keys
        self.instance: Ints = np.array([numbers.setdefault(key.instance_key, len(numbers)) for key in keys], np.int64)
        """Per series the number of who counts it."""
        self.instances = tuple(numbers)
        self.measured: Flags = np.array([who is not Reporter.TRACE for who, _ in self.instances], bool)[self.instance]
        """Per series whether its counts are read from time to time, rather than brought by spans."""


class SeriesTable(SeriesByInstance):
    """The series side by side as arrays, and the finest edges that they are evidence of."""

    def __init__(self, series: Sequence[Series], inventory: Inventory) -> None:
        super().__init__([one.key for one in series])
        keys = stitched(self.keys, inventory)
        self.all = series
        self.hosts = [key.host for key in keys]
        """Per series the host that was asked for."""
        self.joined: Joined = join(keys, inventory)
        led = {key.edge for key, one in zip(keys, series, strict=True) if key is not one.key}
        self.seams = seams(self.joined.edges, led)
        self.reporter: Ints = np.array([REPORTERS.index(key.reporter) for key in keys], np.int64)
        self.since_ms: Ints = np.array([one.since_ms for one in series], np.int64)
        self.telling = np.array([key.security is not Security.UNKNOWN for key in keys], float)
        """Per series 1.0 where it knows what protected its traffic."""
        self.mutual = np.array([key.security is Security.MUTUAL_TLS for key in keys], float)
        """Per series 1.0 where that was mutual TLS."""
        self.naming = np.array([bool(key.operation) for key in keys], float)
        """Per series 1.0 where it names what was asked for."""
        self.original: Ints = np.arange(len(keys))
        """Per series its number in the ledger."""

    def asked(self) -> dict[EdgeKey, set[str]]:
        """Per edge of an unnamed caller, what it is told to ask for."""
        asked: dict[EdgeKey, set[str]] = {}
        for one, finest in zip(self.all, self.joined.series_finest.tolist(), strict=True):
            edge = self.joined.edges[finest]
            if one.key.operation and is_unknown(edge.source):
                asked.setdefault(edge, set()).add(one.key.operation)
        return asked

    def origins(self, series_slot: Ints) -> dict[int, str]:
        """Name, per slot that series count for, where they come from: all of it, or the first and how many more."""
        origins: dict[int, str] = {}
        several: defaultdict[int, set[str]] = defaultdict(set)
        for slot, one in zip(series_slot.tolist(), self.all, strict=True):
            if origins.setdefault(slot, one.origin) != one.origin:
                several[slot].add(one.origin)
        for slot, others in several.items():
            named, more = sorted({origins[slot], *others}), len(others) + 1 - ORIGINS
            origins[slot] = "; ".join([*named[:ORIGINS], *([f"and {more} more"] if more > 0 else [])])
        return origins


def same_names(one: Inventory, other: Inventory) -> bool:
    """Tell whether nothing differs that says whose traffic is whose: names, addresses, accounts, what is behind what."""
    return _names(one) == _names(other)


def _names(inventory: Inventory) -> tuple[dict[WorkloadRef, object], dict[ServiceRef, object]]:
    return (
        {ref: (one.kind, one.service_account, one.hosts) for ref, one in inventory.workloads.items()},
        {
            ref: (one.kind, one.entry, one.hosts, one.addresses, one.workloads)
            for ref, one in inventory.services.items()
        },
    )
