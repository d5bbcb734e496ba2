"""What ``get`` shows of config objects: a table for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from console.cli.output import table

Details = Callable[[Mapping[str, Any]], Sequence[object]]


def tables(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Print objects, a table for each kind."""
    kinds = dict.fromkeys(item["kind"] for item in items)
    for kind in kinds:
        header, details = COLUMNS.get(kind, NO_COLUMNS)
        rows = [
            (item["metadata"].get("namespace", "-"), _name(item, several=len(kinds) > 1), *details(item))
            for item in items
            if item["kind"] == kind
        ]
        yield table(("NAMESPACE", "NAME", *header), rows)


def _name(item: Mapping[str, Any], *, several: bool) -> str:
    name: str = item["metadata"]["name"]
    return f"{item['kind'].lower()}/{name}" if several else name


def _pairs(values: Mapping[str, object] | None) -> str:
    return _list([f"{name}={value}" for name, value in (values or {}).items()])


def _workloads(spec: Mapping[str, Any], selector: str, labels: str) -> str:
    """Which workloads a policy is for: those with these labels, those behind what it names, or its namespace's."""
    references = spec.get("targetRefs") or [spec[name] for name in ("targetRef",) if spec.get(name)]
    if references:
        return _list([f"{one.get('kind', '?')}/{one.get('name', '?')}" for one in references])
    return _pairs((spec.get(selector) or {}).get(labels)) if spec.get(selector) else "all"


def _list(values: Iterable[object]) -> str:
    return ",".join(map(str, values)) or "-"


def _ports(ports: Sequence[Mapping[str, Any]]) -> str:
    return _list([f"{port.get('port') or port.get('number')}/{port.get('name', '')}".rstrip("/") for port in ports])


COLUMNS: Mapping[str, tuple[tuple[str, ...], Details]] = {
    "VirtualService": (
        ("GATEWAYS", "HOSTS"),
        lambda o: (_list(o["spec"].get("gateways", ())), _list(o["spec"].get("hosts", ()))),
    ),
    "DestinationRule": (
        ("HOST", "SUBSETS"),
        lambda o: (o["spec"].get("host", "-"), _list([s["name"] for s in o["spec"].get("subsets", ())])),
    ),
    "Gateway": (
        ("SELECTOR", "PORTS", "HOSTS"),
        lambda o: (
            _pairs(o["spec"].get("selector")),
            _ports([server.get("port", {}) for server in o["spec"].get("servers", ())]),
            _list(dict.fromkeys(host for server in o["spec"].get("servers", ()) for host in server.get("hosts", ()))),
        ),
    ),
    "Service": (
        ("PORTS", "SELECTOR"),
        lambda o: (
            _ports(o["spec"].get("ports", ())),
            _pairs(o["spec"].get("selector")),
        ),
    ),
    "Secret": (("TYPE", "DATA"), lambda o: (o.get("type", "Opaque"), _list(sorted(o.get("data", {}))))),
    "ServiceEntry": (
        ("HOSTS", "LOCATION", "RESOLUTION"),
        lambda o: (
            _list(o["spec"].get("hosts", ())),
            o["spec"].get("location", "-"),
            o["spec"].get("resolution", "-"),
        ),
    ),
    "WorkloadEntry": (
        ("ADDRESS", "LABELS"),
        lambda o: (
            o["spec"].get("address", "-"),
            _pairs({name: value for name, value in (o["spec"].get("labels") or {}).items() if "/" not in name}),
        ),
    ),
    "WorkloadGroup": (
        ("LABELS", "SERVICE ACCOUNT", "PORTS"),
        lambda o: (
            _pairs((o["spec"].get("metadata") or {}).get("labels")),
            o["spec"].get("template", {}).get("serviceAccount") or "default",
            _list([f"{port}/{name}" for name, port in (o["spec"].get("template", {}).get("ports") or {}).items()]),
        ),
    ),
    "ConfigMap": (("DATA",), lambda o: (_list(sorted(o.get("data") or {})),)),
    "Sidecar": (
        ("WORKLOADS", "INGRESS", "EGRESS"),
        lambda o: (
            _workloads(o["spec"], "workloadSelector", "labels"),
            _list([one["port"]["number"] for one in o["spec"].get("ingress", ())]),
            _list([host for one in o["spec"].get("egress", ()) for host in one["hosts"]]),
        ),
    ),
    "EnvoyFilter": (
        ("WORKLOADS", "PATCHES", "PRIORITY"),
        lambda o: (
            _workloads(o["spec"], "workloadSelector", "labels"),
            _list(dict.fromkeys(patch.get("applyTo", "?") for patch in o["spec"].get("configPatches", ()))),
            o["spec"].get("priority", 0),
        ),
    ),
    "AuthorizationPolicy": (
        ("ACTION", "WORKLOADS", "RULES"),
        lambda o: (
            o["spec"].get("action", "ALLOW"),
            _workloads(o["spec"], "selector", "matchLabels"),
            len(o["spec"].get("rules", ())),
        ),
    ),
    "RequestAuthentication": (
        ("WORKLOADS", "ISSUERS"),
        lambda o: (
            _workloads(o["spec"], "selector", "matchLabels"),
            _list([rule.get("issuer", "?") for rule in o["spec"].get("jwtRules", ())]),
        ),
    ),
    "Telemetry": (
        ("WORKLOADS", "ABOUT"),
        lambda o: (
            _workloads(o["spec"], "selector", "matchLabels"),
            _list([about for about in ("metrics", "tracing", "accessLogging") if o["spec"].get(about)]),
        ),
    ),
    "PeerAuthentication": (
        ("MODE", "WORKLOADS"),
        lambda o: (
            (o["spec"].get("mtls") or {}).get("mode", "-"),
            _workloads(o["spec"], "selector", "matchLabels"),
        ),
    ),
}
"""Beyond namespace and name: what a kind's table shows."""

NO_COLUMNS: tuple[tuple[str, ...], Details] = ((), lambda _: ())
