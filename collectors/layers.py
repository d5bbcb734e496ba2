"""One layer per edge: of requests and the connections that carry them, the requests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from graph.model import EdgeKey, Observation, Protocol, ServiceRef, WorkloadRef

REMEMBERED_MS = 600_000
Pair = tuple[WorkloadRef, ServiceRef | WorkloadRef]


class Layers:
    """Takes out of what a source observes whatever another layer of the same mesh tells better.

    Istio's ztunnel counts connections that a waypoint or a sidecar counts as requests, Envoy's clusters and Linkerd's
    proxies count every connection whatever it carries: such a *carrier* is passed on only as long as nothing else has
    spoken of the same caller and callee. It is remembered for ten minutes who has, since not everything is heard of in
    every batch. A waypoint is known by standing in for a service's workloads. ``every``: all layers are passed on.
    """

    def __init__(self, *, every: bool = False) -> None:
        self._every = every
        self._needed = False
        """Whether the mesh has carriers at all."""
        self._told: dict[Pair, int] = {}
        self._waypoints: dict[WorkloadRef, int] = {}

    def one(self, batch: Sequence[Observation]) -> Sequence[Observation]:
        """What of a batch is to be counted."""
        batch = _with_latency(batch)
        carriers = [seen for seen in batch if seen.carrier and not self._every]
        self._needed = self._needed or bool(carriers)
        if not self._needed:
            return batch
        self._hear(batch)
        for seen in carriers:
            self._meet(seen)
        hidden = {id(seen) for seen in carriers if self._is_told(seen)}
        return [seen for seen in batch if id(seen) not in hidden]

    def _hear(self, batch: Iterable[Observation]) -> None:
        newest = 0
        for seen in batch:
            newest = max(newest, seen.at_ms)
            if not seen.carrier:
                for pair in _pairs(seen.edge):
                    self._told[pair] = seen.at_ms
        if len(self._told) > 100_000 or any(newest - at_ms > REMEMBERED_MS for at_ms in self._waypoints.values()):
            self._forget(newest)

    def _meet(self, seen: Observation) -> None:
        """Learn a waypoint: connections for a service go there, whose requests are told to go elsewhere."""
        edge = seen.edge
        told = edge.service and self._knows((edge.source, edge.service), seen.at_ms)
        if edge.target and told and not self._knows((edge.source, edge.target), seen.at_ms):
            self._waypoints[edge.target] = seen.at_ms

    def _is_told(self, seen: Observation) -> bool:
        by_waypoint = seen.at_ms - self._waypoints.get(seen.edge.source, -REMEMBERED_MS) < REMEMBERED_MS
        return by_waypoint or any(self._knows(pair, seen.at_ms) for pair in _pairs(seen.edge))

    def _knows(self, pair: Pair, at_ms: int) -> bool:
        return at_ms - self._told.get(pair, -REMEMBERED_MS) < REMEMBERED_MS

    def _forget(self, now_ms: int) -> None:
        self._told = {pair: at_ms for pair, at_ms in self._told.items() if now_ms - at_ms <= REMEMBERED_MS}
        self._waypoints = {ref: at_ms for ref, at_ms in self._waypoints.items() if now_ms - at_ms <= REMEMBERED_MS}


def _pairs(edge: EdgeKey) -> tuple[Pair, ...]:
    return tuple((edge.source, end) for end in (edge.service, edge.target) if end)


def _with_latency(batch: Sequence[Observation]) -> Sequence[Observation]:
    """Give latency that was counted apart from requests, without gRPC's status, to the gRPC that it is of."""
    lone = {
        _series(seen): seen
        for seen in batch
        if seen.counters.latency_ms and not seen.counters.requests and seen.edge.protocol is Protocol.HTTP
    }
    if not lone:
        return batch
    joined = []
    for seen in batch:
        latency = (
            lone.get(_series(seen)) if seen.edge.protocol is Protocol.GRPC and not seen.counters.latency_ms else None
        )
        joined.append(
            replace(seen, counters=replace(seen.counters, latency_ms=latency.counters.latency_ms)) if latency else seen
        )
    given = {_series(seen) for seen in joined if seen.edge.protocol is Protocol.GRPC and seen.counters.latency_ms}
    return [seen for seen in joined if not (_series(seen) in given and seen is lone.get(_series(seen)))]


def _series(seen: Observation) -> tuple[object, ...]:
    edge = seen.edge
    return (
        edge.source,
        edge.service,
        edge.target,
        seen.reporter,
        seen.instance,
        seen.security,
        seen.destination_principal,
    )
