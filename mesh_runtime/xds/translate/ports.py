"""Which numbers proxies listen on: where the number of a config object cannot be used, what stands for it."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from mesh_runtime.api.networking import Gateway, IngressListener, Sidecar
from mesh_runtime.api.protocols import HTTP, by_word
from mesh_runtime.registry import Instance
from mesh_runtime.xds.translate.services import MeshPort, MeshService
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope, known_services, scope_of, sidecar_of, spoken_to
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.world import World, selects

OUTBOUND_PORT = 15001
INBOUND_PORT = 15006
"""The first declared port's listener; the next ones follow by hundreds."""
INBOUND_STEP = 100
UNPRIVILEGED_OFFSET = 8000
FREE_PORTS = range(20000, 30000)
"""Where a TCP service is reached when its own number is taken. Below what the kernel gives to clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundPort:
    """One declared port of an instance."""

    name: str
    app_port: int
    listen_port: int
    ingress: IngressListener | None = None
    """What the workload's Sidecar says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpBinding:
    """Where an instance reaches a raw-TCP port of a service."""

    service: MeshService
    port: MeshPort
    bound: int


def bound_port(number: int, unprivileged_from: int) -> int:
    """Return the port that is opened for a declared one: 8000 more where a proxy may not bind it."""
    return number if number >= unprivileged_from else UNPRIVILEGED_OFFSET + number


def inbound_ports(world: World, instance: Instance) -> tuple[InboundPort, ...]:
    """Return an instance's inbound listeners: the listener tells which port was meant.

    There is one per declared port, and after these one for each other port of which its Sidecar speaks.
    """
    item = sidecar_of(world, instance)
    opened = {one.port.number: one for one in spec_of(item, Sidecar).ingress} if item else {}
    ports = [(name, number, opened.pop(number, None)) for name, number in instance.ports.items()]
    ports += [(one.port.name, number, one) for number, one in opened.items()]
    return tuple(
        InboundPort(name=name, app_port=number, listen_port=INBOUND_PORT + INBOUND_STEP * index, ingress=ingress)
        for index, (name, number, ingress) in enumerate(ports)
    )


def inbound_port(world: World, instance: Instance, port: MeshPort) -> InboundPort | None:
    """Return the port of an instance that a service's port leads to: the one a Sidecar opens, else a declared one."""
    ports = inbound_ports(world, instance)
    number = port.target or port.number
    opened = next((one for one in ports if one.ingress and one.app_port == number), None)
    name = workload_port(port, instance.ports)
    return opened or next((one for one in ports if one.name == name), None)


def workload_port(port: MeshPort, declared: Mapping[str, int]) -> str | None:
    """Return the name of the workload's port that a service's port leads to.

    By the target's name, the service port's name, the target's number; else the only one there is.
    """
    if isinstance(port.target, str):
        return port.target if port.target in declared else None
    if port.name in declared:
        return port.name
    number = port.target or port.number
    by_number = next((name for name, app_port in declared.items() if app_port == number), None)
    return by_number or (next(iter(declared)) if len(declared) == 1 else None)


def gateway_servers(world: World, instance: Instance) -> Iterator[tuple[str, Gateway]]:
    """Yield the Gateways for a gateway instance, as ``namespace/name`` and spec; one that selects none is for all."""
    for item in world.objects("Gateway"):
        spec = item.spec
        if isinstance(spec, Gateway) and (not spec.selector or selects(spec.selector, instance.labels)):
            yield f"{item.key.namespace}/{item.key.name}", spec


def gateway_ports(world: World, instance: Instance) -> Mapping[int, int]:
    """Return a gateway's declared ports and the ones that are opened for them. Both are shown to users."""
    numbers = {server.port.number for _, gateway in gateway_servers(world, instance) for server in gateway.servers}
    ports: dict[int, int] = {}
    for number in sorted(numbers, reverse=True):  # so that a port that is declared as it is opened keeps its number
        bound = bound_port(number, world.settings.unprivileged_from)
        ports[number] = _free_port(f"gateway:{number}", ports.values()) if bound in ports.values() else bound
    return dict(sorted(ports.items()))


def proxy_ports(world: World, instance: Instance) -> tuple[int, ...]:
    """Return where programs find the proxy that takes requests to all hosts: at our number, and at the mesh's own.

    The latter is another one where the instance listens there itself.
    """
    wanted = world.mesh_config.proxy_http_port
    bound = bound_port(wanted, world.settings.unprivileged_from) if wanted else OUTBOUND_PORT
    taken = {*instance.ports.values(), *(inbound.listen_port for inbound in inbound_ports(world, instance))}
    return tuple(dict.fromkeys((OUTBOUND_PORT, _free_port("proxy", taken) if bound in taken else bound)))


def request_ports(world: World, instance: Instance) -> Mapping[int, int]:
    """Return the ports of services where requests go, and where an instance finds each, beside the one for all."""
    scope = scope_of(world, instance)
    numbers = {one.port.number for one in spoken_to(world, scope) if one.port and by_word(one.port.protocol) in HTTP}
    if world.settings.port_listeners:
        numbers |= request_numbers(world, scope)
    taken = _own_ports(world, instance)
    ports: dict[int, int] = {}
    for number in sorted(numbers, reverse=True):
        bound = bound_port(number, world.settings.unprivileged_from)
        if bound in taken or bound in instance.ports.values():
            bound = _free_port(f"requests:{number}", taken)
        taken.add(bound)
        ports[number] = bound
    return dict(sorted(ports.items()))


def request_numbers(world: World, scope: SidecarScope) -> frozenset[int]:
    """Return the numbers of the ports of services where requests go."""
    services = known_services(world, scope)
    return world.once(
        ("request numbers", scope),
        lambda: frozenset(port.number for service in services.values() for port in service.ports if port.is_http),
    )


def _own_ports(world: World, instance: Instance) -> set[int]:
    return {*proxy_ports(world, instance), *(inbound.listen_port for inbound in inbound_ports(world, instance))}


def _is_second(service: MeshService) -> bool:
    """Tell whether a service leaves its number to others: there may be many of its kind with the same one."""
    return bool(service.member) or service.host.startswith("*")


def tcp_bindings(world: World, instance: Instance) -> tuple[TcpBinding, ...]:
    """Return where an instance reaches each raw-TCP port: at its own address, at the service's number if possible.

    The caller's own namespace comes first; an application's number is never used, since one that listens
    on all addresses would have taken it. A service that each request leads elsewhere has no place of its own.
    """
    wanted = _raw_ports(world, scope_of(world, instance))
    taken = {*_own_ports(world, instance), *request_ports(world, instance).values()}
    bindings = []
    for service, port in wanted:
        bound = bound_port(port.number, world.settings.unprivileged_from)
        if bound in taken or _is_second(service) or _is_an_application_s(service, port, bound):
            bound = _free_port(f"{service.host}:{port.number}", taken)
        taken.add(bound)
        bindings.append(TcpBinding(service=service, port=port, bound=bound))
    return tuple(bindings)


def _raw_ports(world: World, scope: SidecarScope) -> list[tuple[MeshService, MeshPort]]:
    services = known_services(world, scope)

    def find() -> list[tuple[MeshService, MeshPort]]:
        raw = (
            (service, port)
            for service in services.values()
            for port in service.ports
            if port.is_raw and not service.by_request
        )
        return sorted(
            raw,
            key=lambda pair: (pair[0].namespace != scope.namespace, _is_second(pair[0]), pair[0].host, pair[1].number),
        )

    return world.once(("raw ports", scope), find)


def tcp_names(world: World, instance: Instance) -> Mapping[str, int]:
    """Return the ports at which an instance reaches raw-TCP services, by the name it calls them.

    A service of another namespace carries its namespace; a service's further ports carry their names. A host with
    ``*`` is nobody's name: it is reached by CONNECT.
    """
    names: dict[str, int] = {}
    for binding in tcp_bindings(world, instance):
        service, port = binding.service, binding.port
        if service.host.startswith("*"):
            continue
        short = service.namespace == instance.namespace or service.external
        own = f"{service.member}.{service.name}" if service.member else service.name
        name = own if short else f"{own}.{service.namespace}"
        names[f"{name}-{port.name or port.number}" if name in names else name] = binding.bound
    return names


def _is_an_application_s(service: MeshService, port: MeshPort, bound: int) -> bool:
    if service.selector is not None:
        return (port.target or port.number) == bound
    return any(
        _is_loopback(entry.address) and entry.ports.get(port.name, port.target or port.number) == bound
        for entry in service.listed
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _free_port(name: str, taken: Container[int]) -> int:
    start = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest())
    candidates = (FREE_PORTS[(start + step) % len(FREE_PORTS)] for step in range(len(FREE_PORTS)))
    return next(port for port in candidates if port not in taken)
