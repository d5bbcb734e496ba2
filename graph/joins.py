"""Which counter sets speak of one and the same traffic.

A request is counted by several reporters, and they do not know the same: the caller's proxy names both ends; the
callee's proxy may know its caller only by principal, or not at all; spans and applications know names and addresses.
Here each series gets the finest edge that it is evidence of. Where several edges qualify, it cannot be said which part
belongs to which: such a series is a *contender*, counted only where none of these edges has a better reporter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from graph.arrays import Ints
from graph.model import UNKNOWN, EdgeKey, Inventory, Reporter, Security, ServiceRef, WorkloadRef
from graph.series import SeriesKey

CALLEES = frozenset({Reporter.DESTINATION, Reporter.WAYPOINT})
"""Who reports what a callee sees."""


class Contender(NamedTuple):
    """Series that speak of the same traffic as several edges together."""

    series: Ints
    finest: Ints
    """The edges that cover them."""
    anonymous: bool
    """Callers without a certificate: only likely to be the same traffic, so counts must agree."""


class Joined(NamedTuple):
    """All traffic, each part once."""

    edges: tuple[EdgeKey, ...]
    """The finest edges by number."""
    series_finest: Ints
    contenders: tuple[Contender, ...]


def identity(principal: str) -> tuple[str, str] | None:
    """Namespace and service account of a SPIFFE id, whatever its trust domain."""
    parts = principal.rsplit("/", 4)
    return (parts[-3], parts[-1]) if len(parts) == 5 and parts[-4] == "ns" and parts[-2] == "sa" else None


def is_unknown(workload: WorkloadRef) -> bool:
    """Whether nobody could name this end."""
    return workload.workload in {"", UNKNOWN} and workload.app in {"", UNKNOWN}


def join(series: Sequence[SeriesKey], inventory: Inventory) -> Joined:
    """Give each series its finest edge."""
    return _Join(series, inventory).joined()


class _Join:
    def __init__(self, series: Sequence[SeriesKey], inventory: Inventory) -> None:
        self.series = series
        self.numbers: dict[EdgeKey, int] = {}
        self.series_finest = np.zeros(len(series), np.int64)
        self.contenders: list[Contender] = []
        self.callers = _callers(series, inventory)
        """Per principal the workloads that carry it."""
        self.by_callee: defaultdict[object, list[EdgeKey]] = defaultdict(list)
        """The edges so far by (target, protocol) and (service, protocol)."""
        self.plain: set[EdgeKey] = set()
        """The edges whose caller shows no certificate."""

    def joined(self) -> Joined:
        claims: defaultdict[tuple[Reporter, EdgeKey, str], list[int]] = defaultdict(list)
        for number, key in enumerate(self.series):
            principal = key.source_principal if key.reporter in CALLEES and is_unknown(key.edge.source) else ""
            claims[key.reporter, key.edge, principal].append(number)
        for reporter, place in (
            (Reporter.SOURCE, self._place_source),
            (Reporter.DESTINATION, self._place_destination),
            (Reporter.WAYPOINT, self._place_destination),
            (Reporter.APPLICATION, self._place_trace),
            (Reporter.TRACE, self._place_trace),
        ):
            mine = [(edge, principal, numbers) for (by, edge, principal), numbers in claims.items() if by is reporter]
            placed = [(numbers, *place(edge, principal)) for edge, principal, numbers in mine]
            for numbers, edge, rivals, anonymous in placed:
                self._settle(np.array(numbers, np.int64), edge, rivals, anonymous=anonymous)
        return Joined(tuple(self.numbers), self.series_finest, tuple(self.contenders))

    def _settle(self, series: Ints, edge: EdgeKey, rivals: Sequence[EdgeKey], *, anonymous: bool) -> None:
        self.series_finest[series] = self._number(edge)
        if any(self.series[int(number)].security is not Security.MUTUAL_TLS for number in series):
            self.plain.add(edge)
        if rivals:
            covering = np.array([self.numbers[rival] for rival in rivals], np.int64)
            self.contenders.append(Contender(series, covering, anonymous))

    def _number(self, edge: EdgeKey) -> int:
        if edge not in self.numbers:
            self.numbers[edge] = len(self.numbers)
            for callee in (edge.target, edge.service):
                if callee is not None:
                    self.by_callee[callee, edge.protocol].append(edge)
        return self.numbers[edge]

    def _place_source(self, edge: EdgeKey, _principal: str) -> tuple[EdgeKey, Sequence[EdgeKey], bool]:
        return edge, (), False

    def _place_destination(self, edge: EdgeKey, principal: str) -> tuple[EdgeKey, Sequence[EdgeKey], bool]:
        if edge in self.numbers:
            return edge, (), False
        same_callee = [
            other
            for other in self.by_callee[edge.target, edge.protocol]
            if edge.service is None or other.service is None or other.service == edge.service
        ]
        if not is_unknown(edge.source):
            return _choose(edge, [other for other in same_callee if other.source == edge.source])
        if not principal:
            return edge, [other for other in same_callee if other in self.plain], True
        carrier = identity(principal)
        callers = self.callers.get(carrier or principal, frozenset())
        known = [other for other in same_callee if other.source in callers]
        if not known and len({caller.app for caller in callers}) == 1:
            # Until they tell themselves it cannot be said which version called; that it was one of them can.
            return edge._replace(source=min(callers)), (), False
        if not known and carrier:
            # Which of several apps called cannot be said; that it was one of this account can.
            namespace, account = carrier
            return edge._replace(source=WorkloadRef(edge.source.cluster, namespace, account, account, "")), (), False
        placed, rivals, _ = _choose(edge, known)
        # Some edge of this caller is right, an unknown caller is not.
        return (rivals[0] if rivals else placed), rivals, False

    def _place_trace(self, edge: EdgeKey, _principal: str) -> tuple[EdgeKey, Sequence[EdgeKey], bool]:
        if edge in self.numbers:
            return edge, (), False
        callees: list[WorkloadRef | ServiceRef | None] = [edge.target, edge.service]
        for callee in callees:
            known = [other for other in self.by_callee[callee, edge.protocol] if other.source == edge.source]
            if callee is not None and known:
                return _choose(edge, known)
        return edge, (), False


def _choose(edge: EdgeKey, known: Sequence[EdgeKey]) -> tuple[EdgeKey, Sequence[EdgeKey], bool]:
    return (known[0], (), False) if len(known) == 1 else (edge, tuple(known), False)


def _callers(series: Sequence[SeriesKey], inventory: Inventory) -> Mapping[object, frozenset[WorkloadRef]]:
    callers: defaultdict[object, set[WorkloadRef]] = defaultdict(set)
    for workload in inventory.workloads.values():
        if workload.service_account:
            callers[workload.ref.namespace, workload.service_account].add(workload.ref)
    for key in series:
        if key.reporter is Reporter.SOURCE and key.source_principal:
            callers[identity(key.source_principal) or key.source_principal].add(key.edge.source)
    return {principal: frozenset(workloads) for principal, workloads in callers.items()}
