"""Kubernetes' Services: their names, ports and the workloads behind them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from collectors.inventory.hosts import service_host
from collectors.inventory.objects import CORE, Manifest, Object, Objects, part, parts, selects, texts
from graph.model import NodeKind, Service, ServiceRef, Workload, WorkloadRef

DATABASES = frozenset({"redis", "mysql", "mongo", "postgres"})
WORDS: Mapping[str, str] = {
    **{word: word for word in ("http", "http2", "grpc", "grpc-web", "tls", "tcp")},
    **dict.fromkeys(DATABASES, "tcp"),
    "http_proxy": "http",
    "https": "tls",
    "kubernetes.io/h2c": "http2",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "tls",
}
"""Istio's words for what is spoken at a port, and what they mean."""
SERVER_FIRST = frozenset({25, 53, 3306, 27017})
"""Where Istio expects raw TCP without being told."""


NO_ENDPOINTS = "no-endpoints"
"""The badge of a Service for which nobody is ready to answer."""


class Endpoints(NamedTuple):
    """Who answers for a Service."""

    ready: int
    known: int
    """Ready or not."""
    workloads: tuple[WorkloadRef, ...]


NOT_TOLD: Mapping[tuple[str, str], Endpoints] = MappingProxyType({})


def services_of(
    objects: Objects,
    workloads: Sequence[Workload],
    cluster: str,
    endpoints: Mapping[tuple[str, str], Endpoints] = NOT_TOLD,
) -> Iterator[Service]:
    """Yield all Services with the workloads that their selectors find; without a selector, those of their endpoints."""
    known = {one.ref for one in workloads}
    labelled: defaultdict[tuple[str, str, object], list[Workload]] = defaultdict(list)
    for workload in workloads:
        for name, value in workload.labels.items():
            labelled[workload.ref.namespace, name, value].append(workload)
    for one in objects.of(CORE, "Service"):
        told = endpoints.get((one.namespace, one.name))
        selected = _behind(one, labelled) if part(one.spec, "selector") else told.workloads if told else ()
        yield Service(
            ref=ServiceRef(cluster, one.namespace, one.name),
            kind=_kind(one),
            hosts=(service_host(one.name, one.namespace),),
            workloads=tuple(ref for ref in selected if ref in known),
            ports={
                port["port"]: spoken(port) for port in parts(one.spec, "ports") if isinstance(port.get("port"), int)
            },
            badges=(NO_ENDPOINTS,) if told and not told.ready else (),
            labels=one.labels,
            annotations=one.annotations,
            addresses=tuple(_addresses(one)),
            endpoints=told.known if told else None,
            ready=told.ready if told else None,
        )


def _behind(service: Object, labelled: Mapping[tuple[str, str, object], Sequence[Workload]]) -> Iterator[WorkloadRef]:
    """Yield whom a Service selects, looked for among those that carry the first label of its selector."""
    selector = part(service.spec, "selector")
    for name, value in islice(selector.items(), 1):
        carriers = labelled.get((service.namespace, name, value), ())
        yield from (workload.ref for workload in carriers if selects(selector, workload.labels))


def spoken(port: Manifest) -> str:
    """Say what is spoken at a port, by Istio's rule: its ``appProtocol``, else its name before ``-``."""
    app_protocol = str(port.get("appProtocol") or "")
    found = WORDS.get(app_protocol) or WORDS.get(_word(port), "auto")
    return "tcp" if found == "auto" and port["port"] in SERVER_FIRST else found


def _word(port: Manifest) -> str:
    text = str(port.get("appProtocol") or port.get("name") or "").lower()
    return "grpc-web" if text.startswith("grpc-web") else text.partition("-")[0]


def _kind(one: Object) -> NodeKind:
    if one.spec.get("externalName"):
        return NodeKind.EXTERNAL
    return NodeKind.DATABASE if any(_word(port) in DATABASES for port in parts(one.spec, "ports")) else NodeKind.SERVICE


def _addresses(one: Object) -> Iterator[str]:
    """Yield where it is reached from outside its cluster."""
    yield from texts(one.spec, "externalIPs")
    for ingress in parts(part(one.status, "loadBalancer"), "ingress"):
        yield from (str(ingress[name]) for name in ("ip", "hostname") if ingress.get(name))
