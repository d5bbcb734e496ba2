"""Kiali's parameters of a graph, as its ``graph/options.go`` and the appenders read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from graph.model import UNKNOWN

ALWAYS = frozenset({"outsider", "trafficGenerator"})
"""Appenders that run whether asked for or not."""
OPTIONAL = (
    "serviceEntry",
    "deadNode",
    "workloadEntry",
    "responseTime",
    "securityPolicy",
    "throughput",
    "aggregateNode",
    "idleNode",
    "meshCheck",
    "istio",
    "ambient",
    "health",
    "labeler",
)
SYNONYMS = {"sidecarsCheck": "meshCheck"}
APPENDERS = frozenset({*OPTIONAL, *SYNONYMS, *ALWAYS})

GRAPH_TYPES = ("app", "service", "versionedApp", "workload")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "rateHttp": ("requests", "none"),
    "rateGrpc": ("requests", "none", "received", "sent", "total"),
    "rateTcp": ("sent", "none", "received", "total"),
    "ambientTraffic": ("total", "none", "waypoint", "ztunnel"),
    "responseTime": ("95", "avg", "50", "99"),
    "throughputType": ("response", "request"),
}
"""What parameters may be; the first is taken where nothing is given."""
DEFAULT_AGGREGATE = "request_operation"
MOST_S = 366 * 24 * 3600
REFRESH_MS = (10_000, 900_000)

_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_UNITS = (365 * 24 * 3600, 7 * 24 * 3600, 24 * 3600, 3600, 60, 1, 0.001)
_BOOLEANS = {
    word: word[0] in "1tT" for word in ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")
}


class OptionError(ValueError):
    """A parameter that Kiali refuses, with its name and what may be written instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The node that a node graph is about. Exactly one of app, workload, service and aggregate is set."""

    app: str = ""
    version: str = ""
    workload: str = ""
    service: str = ""
    aggregate: str = ""
    aggregate_value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a request asks for; the defaults are Kiali's."""

    namespaces: tuple[str, ...]
    duration_s: int = 600
    graph_type: str = "workload"
    query_time: int = 0
    """Unix seconds."""
    at_an_instant: bool = False
    """Whether the instant was asked for."""
    appenders: frozenset[str] = frozenset(OPTIONAL)
    box_by: frozenset[str] = frozenset()
    include_idle_edges: bool = False
    inject_service_nodes: bool = False
    rate_http: str = "requests"
    rate_grpc: str = "requests"
    rate_tcp: str = "sent"
    ambient: str = "total"
    response_time: str = "95"
    throughput: str = "response"
    aggregate: str = DEFAULT_AGGREGATE
    waypoints: bool = True
    cluster: str = UNKNOWN
    node: Node | None = None


def parse(params: Mapping[str, str], *, now_s: int, namespace: str = "", node: Node | None = None) -> Options:
    """Read the parameters of a query string; ``namespace`` and ``node`` are those of a node graph's path.

    Raises :class:`OptionError` wherever Kiali answers 400.
    """
    get = params.get
    for vendor, only in (("configVendor", "common"), ("telemetryVendor", "istio")):
        _one_of(params, vendor, only, (only,))
    graph_type = _one_of(params, "graphType", "workload", GRAPH_TYPES)
    if node and node.app and graph_type not in {"app", "versionedApp"}:
        raise OptionError(
            f"Invalid graphType [{graph_type}]. This node detail graph supports only graphType app or versionedApp."
        )
    names = tuple(dict.fromkeys(name.strip() for name in (namespace or get("namespaces", "")).split(",")))
    if not any(names):
        raise OptionError("At least one namespace must be specified via the namespaces query parameter.")
    _refresh(get("refreshInterval", ""))
    queried = get("queryTime", "")
    inject = _boolean(params, "injectServiceNodes", default=False) if graph_type != "service" else True
    return Options(
        namespaces=names,
        duration_s=_duration(get("duration", "") or "10m"),
        graph_type=graph_type,
        query_time=_instant(queried) if queried else now_s,
        at_an_instant=bool(queried),
        appenders=_appenders(params),
        box_by=_boxes(get("boxBy", "")),
        include_idle_edges=_boolean(params, "includeIdleEdges", default=False),
        inject_service_nodes=inject,
        rate_http=_choice(params, "rateHttp"),
        rate_grpc=_choice(params, "rateGrpc"),
        rate_tcp=_choice(params, "rateTcp"),
        ambient=_choice(params, "ambientTraffic"),
        response_time=_choice(params, "responseTime"),
        throughput=_choice(params, "throughputType"),
        aggregate=(node.aggregate if node else "") or get("aggregate", "") or DEFAULT_AGGREGATE,
        waypoints=_boolean(params, "waypoints", default=True),
        cluster=get("clusterName", "") or UNKNOWN,
        node=node,
    )


def _one_of(params: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = params.get(name, "") or default
    if value not in allowed:
        raise OptionError(f"Invalid {name} [{value[:60]}], must be one of: {' | '.join(sorted(allowed))}")
    return value


def _choice(params: Mapping[str, str], name: str) -> str:
    return _one_of(params, name, CHOICES[name][0], CHOICES[name])


def _boolean(params: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = params.get(name, "")
    if not value:
        return default
    if value not in _BOOLEANS:
        raise OptionError(f"Invalid {name} [{value[:60]}], must be true or false")
    return _BOOLEANS[value]


def _duration(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None or not text or len(text) > 40:
        raise OptionError(f"Invalid duration [{text[:60]}], write it as 60s, 10m or 1h30m")
    seconds = sum(int(number) * unit for number, unit in zip(match.groups(), _UNITS, strict=True) if number)
    if not 1 <= seconds <= MOST_S:
        raise OptionError(f"Invalid duration [{text[:60]}], must be between 1s and 366d")
    return int(seconds)


def _instant(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise OptionError(f"Invalid queryTime [{text[:60]}], must be in Unix seconds")
    return int(text)


def _refresh(text: str) -> None:
    if not text:
        return
    if not re.fullmatch(r"[+-]?\d{1,12}", text, re.ASCII):
        raise OptionError(f"Invalid refresh interval [{text[:60]}], must be in milliseconds")
    low, high = REFRESH_MS
    if int(text) > 0 and not low <= int(text) <= high:
        raise OptionError(f"Refresh interval must be between {low}ms and {high}ms, or 0 to disable caching")


def _appenders(params: Mapping[str, str]) -> frozenset[str]:
    if "appenders" not in params:
        return frozenset(OPTIONAL)
    names = {name.strip() for name in params["appenders"].split(",")} - {""}
    if unknown := sorted(names - APPENDERS):
        raise OptionError(f"Invalid appender [{unknown[0][:60]}], there are {', '.join(sorted(APPENDERS))}")
    return frozenset(SYNONYMS.get(name, name) for name in names) - ALWAYS


def _boxes(text: str) -> frozenset[str]:
    boxes = {box.strip() for box in text.split(",")} if text else set()
    if boxes - {"app", "cluster", "namespace"}:
        raise OptionError(f"Invalid boxBy [{text[:60]}], must be some of: app, cluster, namespace")
    return frozenset(boxes)
