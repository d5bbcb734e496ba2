"""Which config objects shape a service or a workload, in a phrase each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from console.views import links
from console.views.naming import naming
from console.views.selecting import icon as icon_of
from console.views.selecting import phrase, selecting
from mesh_runtime.api.core import Service
from mesh_runtime.api.hosts import matches, resolve_host, service_host
from mesh_runtime.api.networking import MESH, Headers, VirtualService
from mesh_runtime.api.networking.destination_rule import DestinationRule
from mesh_runtime.api.objects import ROOT_NAMESPACE, Config, ConfigObject, ObjectKey
from mesh_runtime.api.security.targets import Targeted


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One object and what it does."""

    key: ObjectKey
    icon: str
    text: str
    revision: int
    cluster: str = ""
    """Whose config it is; ``""``: the bundled mesh's."""

    @property
    def href(self) -> str:
        """Where it is shown whole."""
        return links.config(self.key, self.cluster)


def applied(config: Config, namespace: str, service: str) -> tuple[Applied, ...]:
    """Objects that decide how requests to a service travel, routes first."""
    host = service_host(service, namespace)
    found = (
        *_routes(config, host),
        *_policies(config, host),
        *_access(config, namespace, service),
        *_security(config, namespace),
    )
    return tuple(
        Applied(key=item.key, icon=icon, text=text, revision=config.changed_in.get(item.key, 0))
        for item, icon, text in found
    )


def applied_to_workload(
    config: Config, namespace: str, labels: Mapping[str, str], services: Collection[str]
) -> tuple[Applied, ...]:
    """Objects that decide how requests travel to the services that a workload answers for, then those that select it."""
    hosts = [service_host(service, namespace) for service in services]
    found = {one[0].key: one for host in hosts for one in (*_routes(config, host), *_policies(config, host))}
    for one in selecting(config.objects.values(), namespace, labels, services):
        found.setdefault(one.item.key, one)
    return tuple(
        Applied(key=key, icon=icon, text=text, revision=config.changed_in.get(key, 0))
        for key, (_, icon, text) in found.items()
    )


def applied_in_cluster(
    objects: Sequence[ConfigObject], cluster: str, namespace: str, labels: Mapping[str, str], services: Collection[str]
) -> tuple[Applied, ...]:
    """Objects of a cluster: those about its services, then those that select workloads with these labels."""
    found = {one.item.key: one for service in services for one in naming(objects, service_host(service, namespace))}
    for one in selecting(objects, namespace, labels, services):
        found.setdefault(one.item.key, one)
    return tuple(
        Applied(key=key, icon=icon, text=text, revision=0, cluster=cluster) for key, (_, icon, text) in found.items()
    )


def _routes(config: Config, host: str) -> Iterator[tuple[ConfigObject, str, str]]:
    for item in config.of("VirtualService"):
        if isinstance(item.spec, VirtualService) and _leads_to(item.spec, item.key.namespace, host):
            yield item, "git-branch", _routing(item.spec)


def _leads_to(spec: VirtualService, namespace: str, host: str) -> bool:
    """Whether it routes callers in the mesh that ask for the host, or sends anyone there."""
    if MESH in spec.gateways and _covers(spec.hosts, namespace, host):
        return True
    return any(resolve_host(item.destination.host, namespace) == host for route in spec.http for item in route.route)


def _routing(spec: VirtualService) -> str:
    parts: list[str] = []
    for route in spec.http:
        if len(route.route) > 1:
            parts.append(" / ".join(f"{item.destination.subset or 'all'} {item.weight} %" for item in route.route))
        if route.fault:
            parts.append("fault")
        if route.timeout:
            parts.append("timeout")
        if route.retries:
            parts.append("retries")
        if route.mirror or route.mirrors:
            parts.append("mirror")
        parts.extend(_headers(route.headers, ""))
        for item in route.route:
            parts.extend(_headers(item.headers, f" for {item.destination.subset or item.destination.host}"))
    return ", ".join(dict.fromkeys(parts)) or "routes"


def _headers(headers: Headers | None, whose: str) -> Iterator[str]:
    for operations in (headers.request, headers.response) if headers else ():
        if operations and (operations.set or operations.add):
            yield f"sets {', '.join((*operations.set, *operations.add))}{whose}"
        if operations and operations.remove:
            yield f"removes {', '.join(operations.remove)}{whose}"


def _policies(config: Config, host: str) -> Iterator[tuple[ConfigObject, str, str]]:
    for item in config.of("DestinationRule"):
        if isinstance(item.spec, DestinationRule) and _covers((item.spec.host,), item.key.namespace, host):
            subsets = ", ".join(subset.name for subset in item.spec.subsets)
            policy = item.spec.traffic_policy
            limits = policy is not None and bool(policy.outlier_detection or policy.connection_pool)
            text = ", ".join(filter(None, (f"subsets {subsets}" if subsets else "", "limits" if limits else "")))
            yield item, "zap" if limits else "layers", text or "policy"


def _access(config: Config, namespace: str, service: str) -> Iterator[tuple[ConfigObject, str, str]]:
    """Policies for workloads that the service may select."""
    labels = next(
        (
            item.spec.selector
            for item in config.of("Service", namespace)
            if item.key.name == service and isinstance(item.spec, Service)
        ),
        {},
    )
    for item in (*config.of("AuthorizationPolicy"), *config.of("RequestAuthentication")):
        spec = item.spec
        if item.key.namespace not in {namespace, ROOT_NAMESPACE} or not isinstance(spec, Targeted):
            continue
        wanted = spec.selector.match_labels if spec.selector else {}
        if any(labels.get(name, value) != value for name, value in wanted.items()):
            continue
        yield item, icon_of(item), phrase(item)


def _security(config: Config, namespace: str) -> Iterator[tuple[ConfigObject, str, str]]:
    for item in config.of("PeerAuthentication"):
        if item.key.namespace in {namespace, ROOT_NAMESPACE}:
            yield item, icon_of(item), phrase(item)


def _covers(hosts: tuple[str, ...], namespace: str, host: str) -> bool:
    return any(matches(resolve_host(pattern, namespace), host) for pattern in hosts)
