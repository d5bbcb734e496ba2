"""What a workload knows of the mesh: all that its namespace may see, or what its Sidecar leaves of that.

Of a host that is not known a workload has neither routes nor clusters, so that its proxy is small. Where a rule
that it does follow leads to such a host, the cluster is there, and only the name is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mesh_runtime.api.hosts import matches, resolve_host
from mesh_runtime.api.networking import Destination, EgressListener, Sidecar, VirtualService
from mesh_runtime.api.networking.sidecar import ANY, OWN
from mesh_runtime.api.objects import ROOT_NAMESPACE, ConfigObject, ObjectKey
from mesh_runtime.api.security import RequestAuthentication
from mesh_runtime.api.security.request import keys_address
from mesh_runtime.registry import Instance, Role
from mesh_runtime.xds.translate.routing.delegation import is_exported
from mesh_runtime.xds.translate.services import MeshService, by_host
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.world import World, found_in, selects


class SidecarScope(NamedTuple):
    """What workloads have in common that know the same of the mesh."""

    namespace: str
    sidecar: ObjectKey | None = None
    """``None``: no Sidecar says what is known."""
    through: int = 0
    """The Sidecar's port for ``HTTP_PROXY`` to which requests are sent; 0: none of these."""


def sidecar_of(world: World, instance: Instance) -> ConfigObject | None:
    """Return the Sidecar that holds for a workload: one that selects it, its namespace's, or the mesh's."""
    if instance.role is Role.GATEWAY:
        return None
    namespace, labels = instance.namespace, dict(instance.labels)
    key = "sidecar of", namespace, tuple(sorted(labels.items()))
    return world.once(key, lambda: next(_holding(world, namespace, labels), None))


def scope_of(world: World, instance: Instance) -> SidecarScope:
    """Return what a workload, or gateway, knows of the mesh."""
    item = sidecar_of(world, instance)
    return SidecarScope(instance.namespace, item.key if item else None)


def egress_listeners(world: World, scope: SidecarScope) -> tuple[EgressListener, ...] | None:
    """Return what says which hosts are known; ``None``: all are."""
    every = written_listeners(world, scope)
    return world.once(("egress listeners", scope), lambda: _used(every, scope.through)) if every else None


def written_listeners(world: World, scope: SidecarScope) -> tuple[EgressListener, ...]:
    """Return all listeners for what workloads call of which their Sidecar speaks."""
    spec = _sidecar(world, scope)
    return spec.egress if spec else ()


def proxied_scopes(world: World, scope: SidecarScope) -> Mapping[int, SidecarScope]:
    """Return what is known where requests are sent to a port for ``HTTP_PROXY``, by port."""
    ports = (one.port for one in written_listeners(world, scope) if one.is_proxy and one.port)
    return {port.number: scope._replace(through=port.number) for port in ports}


def known_services(world: World, scope: SidecarScope) -> Mapping[str, MeshService]:
    """Return the services that can be called by name, with those of their ports that can be, by host."""
    if egress_listeners(world, scope) is None:
        return world.services_for(scope.namespace)
    return world.once(("known services", scope), lambda: _known(world, scope))


def reached_services(world: World, scope: SidecarScope) -> Mapping[str, MeshService]:
    """Return the services that can be called, also those to which only rules and the mesh's own settings lead."""
    if egress_listeners(world, scope) is None:
        return world.services_for(scope.namespace)
    return world.once(("reached services", scope), lambda: _reached(world, scope))


def find_service(world: World, scope: SidecarScope, host: str) -> MeshService | None:
    """Return the service that is reached by this full name, also by a ServiceEntry's wildcard."""
    if egress_listeners(world, scope) is None:
        return world.find_service(host, scope.namespace)
    return world.once(("find reached", scope, host), lambda: found_in(reached_services(world, scope), host))


def follows(world: World, scope: SidecarScope, port: int, item: ConfigObject, spec: VirtualService) -> bool:
    """Tell whether a workload follows a VirtualService, which its namespace may see, for what it calls at a port."""
    egress = egress_listeners(world, scope)
    return egress is None or _is_followed(_listener(egress, port), scope.namespace, item, spec)


def spoken_to(world: World, scope: SidecarScope) -> tuple[EgressListener, ...]:
    """Return the listeners with a port to which applications speak."""
    return tuple(one for one in written_listeners(world, scope) if one.port and one.is_spoken_to)


def passes_unknown(world: World, scope: SidecarScope) -> bool:
    """Tell whether calls to unknown hosts are passed on."""
    spec = _sidecar(world, scope)
    policy = spec.outbound_traffic_policy if spec else None
    return (policy or world.mesh_config.outbound_traffic_policy).mode != "REGISTRY_ONLY"


def egress_proxy(world: World, scope: SidecarScope) -> tuple[str, Destination] | None:
    """Return whom calls to unknown hosts are sent to, and the namespace in which that is said; ``None``: nobody."""
    spec = _sidecar(world, scope)
    proxy = spec.outbound_traffic_policy.egress_proxy if spec and spec.outbound_traffic_policy else None
    return (scope.sidecar.namespace, proxy) if scope.sidecar and proxy else None


def _holding(world: World, namespace: str, labels: Mapping[str, str]) -> Iterator[ConfigObject]:
    own = [(item, spec_of(item, Sidecar).labels) for item in world.objects("Sidecar", namespace)]
    yield from (item for item, chosen in own if selects(chosen, labels))
    yield from (item for item, chosen in own if not chosen)
    yield from (item for item in world.objects("Sidecar", ROOT_NAMESPACE) if not spec_of(item, Sidecar).labels)


def _sidecar(world: World, scope: SidecarScope) -> Sidecar | None:
    found = world.objects("Sidecar", scope.sidecar.namespace) if scope.sidecar else ()
    return next((spec_of(item, Sidecar) for item in found if item.key == scope.sidecar), None)


def _used(egress: Sequence[EgressListener], through: int) -> tuple[EgressListener, ...]:
    """Return the listeners that requests come to: the one for ``HTTP_PROXY`` that they are sent *through*, or others."""
    if not through:
        return tuple(one for one in egress if not one.is_proxy)
    return tuple(one.at_all_ports for one in egress if one.port and one.port.number == through)


def _listener(egress: Sequence[EgressListener], port: int) -> EgressListener | None:
    """Return the listener of a port, else the one of all other ports."""
    exact = (one for one in egress if one.port and one.port.number == port)
    return next(exact, next((one for one in egress if one.port is None), None))


def _hosts(listener: EgressListener | None, own: str, namespace: str, *, excluded: bool = False) -> Iterator[str]:
    """Yield the hosts that a listener takes from a namespace, or excludes; *own* is the workload's."""
    for one in listener.imports if listener else ():
        meant = one.namespace in {ANY, namespace} or (one.namespace == OWN and namespace == own)
        if meant and one.excluded is excluded:
            yield one.host


def _is_excluded(listener: EgressListener | None, own: str, namespace: str, host: str) -> bool:
    return any(matches(pattern, host) for pattern in _hosts(listener, own, namespace, excluded=True))


def _known(world: World, scope: SidecarScope) -> dict[str, MeshService]:
    egress = egress_listeners(world, scope) or ()
    visible = (service for service in world.every_service if service.is_visible(scope.namespace))
    kept = [left for service in visible if (left := _narrowed(service, scope.namespace, egress)).ports]
    return by_host(sorted(kept, key=lambda service: service.namespace != scope.namespace))


def _narrowed(service: MeshService, own: str, egress: Sequence[EgressListener]) -> MeshService:
    """Return a service with the ports at which it is known."""

    def is_known(port: int) -> bool:
        listener = _listener(egress, port)
        taken = _hosts(listener, own, service.namespace)
        return any(matches(pattern, service.known_as) for pattern in taken) and not _is_excluded(
            listener, own, service.namespace, service.known_as
        )

    ports = tuple(port for port in service.ports if is_known(port.number))
    return service if ports == service.ports else service.narrowed(ports)


def _is_followed(listener: EgressListener | None, own: str, item: ConfigObject, spec: VirtualService) -> bool:
    """A VirtualService is taken, as in Istio, for any host of its that lies within one that is taken, or around it."""
    namespace = item.key.namespace
    written = (resolve_host(host, namespace) for host in spec.hosts)
    kept = [host for host in written if not _is_excluded(listener, own, namespace, host)]
    patterns = list(_hosts(listener, own, namespace))
    return any(matches(pattern, host) or matches(host, pattern) for pattern in patterns for host in kept)


def _reached(world: World, scope: SidecarScope) -> dict[str, MeshService]:
    known = known_services(world, scope)
    whole = _led_to(world, scope)
    for proxied in proxied_scopes(world, scope).values() if not scope.through else ():
        whole |= known_services(world, proxied)
    return {**known, **{host: one for host, one in whole.items() if known.get(host, one).namespace == one.namespace}}


def _led_to(world: World, scope: SidecarScope) -> dict[str, MeshService]:
    """Return the services to which those lead that are known."""
    egress = written_listeners(world, scope)
    hosts = [*_named_by_mesh(world)]
    if proxy := egress_proxy(world, scope):
        namespace, destination = proxy
        hosts.append(resolve_host(destination.host, namespace))
    for item, spec in world.virtual_services:
        if is_exported(item, spec, scope.namespace) and any(
            _is_followed(listener, scope.namespace, item, spec) for listener in egress
        ):
            hosts += (resolve_host(one.host, item.key.namespace) for _, one in spec.destinations())
    return _services(world, scope.namespace, hosts)


def _services(world: World, namespace: str, hosts: Iterable[str]) -> dict[str, MeshService]:
    found = (world.find_service(host, namespace) for host in dict.fromkeys(hosts))
    return {service.host: service for service in found if service}


def _named_by_mesh(world: World) -> Iterator[str]:
    """Yield the hosts that proxies themselves ask: providers, and issuers of tokens for their keys."""
    for provider in world.mesh_config.extension_providers:
        asked = provider.remote or provider.envoy_ext_authz_http or provider.envoy_ext_authz_grpc
        if asked:
            yield asked.host
    for item in world.objects("RequestAuthentication"):
        for rule in spec_of(item, RequestAuthentication).jwt_rules:
            server = keys_address(world.keys_uri(rule))
            if server:
                yield server.host
