"""Figures of edges: response times, throughput, mutual TLS."""

from __future__ import annotations

from collections.abc import Iterable

from graph.kiali.options import Options
from graph.kiali.traffic import Traffic, TrafficEdge
from graph.latency import quantiles
from graph.model import Edge, Histogram

QUANTILES = {"50": 0.5, "95": 0.95, "99": 0.99}


def append_response_times(traffic: Traffic, options: Options) -> None:
    """Say how long requests took, in ms; not of edges to injected services, whose requests go on to several."""
    asked = {"http": options.rate_http, "grpc": options.rate_grpc}
    for edge in traffic.edges():
        if asked.get(edge.protocol) == "requests" and not (edge.target.injected and edge.target.type == "service"):
            samples = [one.latency_ms for one in edge.finest if one.latency_ms is not None]
            if samples:
                edge.data["responseTime"] = f"{_time(samples, options.response_time):.0f}"


def append_throughput(traffic: Traffic, options: Options) -> None:
    """Say how many bytes of bodies flow per second; of HTTP only."""
    for edge in traffic.edges():
        if edge.protocol != "http" or options.rate_http != "requests":
            continue
        name = "request_bps" if options.throughput == "request" else "response_bps"
        flow = sum(round(getattr(one.signals, name), 3) for one in edge.finest)
        if flow > 0:
            edge.data["throughput"] = f"{flow:.0f}"


def append_security(traffic: Traffic) -> None:
    """Say which share of the traffic is over mutual TLS, and between which principals; waypoints are always secure."""
    for edge in traffic.edges():
        share = _mutual(edge.finest)
        if share:
            edge.data["isMTLS"] = f"{100 * share:.0f}"
        elif share is None and (edge.source.waypoint or edge.target.waypoint):
            edge.data["isMTLS"] = "100"
        _principals(edge)


def _time(samples: list[Histogram], asked: str) -> float:
    if asked == "avg":
        return sum(one.total for one in samples) / sum(one.counts[-1] for one in samples)
    return quantiles(samples, (QUANTILES[asked],))[0]


def _mutual(edges: Iterable[Edge]) -> float | None:
    told = [
        (one.signals.mtls, weight)
        for one in edges
        if one.signals.mtls is not None
        and (weight := one.signals.rate or one.signals.sent_bps + one.signals.received_bps) > 0
    ]
    total = sum(weight for _, weight in told)
    return sum(share * weight for share, weight in told) / total if total else None


def _principals(edge: TrafficEdge) -> None:
    pairs = [pair for one in edge.finest for pair in one.principals]
    for name, side in (("sourcePrincipal", 0), ("destPrincipal", 1)):
        if found := next((pair[side] for pair in pairs if pair[side]), ""):
            edge.data[name] = found
