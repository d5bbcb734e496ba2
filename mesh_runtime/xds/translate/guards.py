"""What a request or connection must pass before it reaches a workload or a gateway's routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh_runtime.api.objects import TRUST_DOMAIN, ConfigObject
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.attributes import Scope
from mesh_runtime.xds.translate.authentication import jwt_filter
from mesh_runtime.xds.translate.authorization import http_rbac, mention_ports, tcp_rbac
from mesh_runtime.xds.translate.ports import InboundPort, gateway_ports
from mesh_runtime.xds.translate.selection import applying
from mesh_runtime.xds.translate.world import World

_Build = Callable[[Sequence[ConfigObject], Scope], tuple[Envoy, ...]]


def http_guards(world: World, instance: Instance, port: InboundPort | None) -> tuple[Envoy, ...]:
    """Return the HTTP filters that requests to a workload's port pass, or to a gateway (``None``).

    A token is looked at before the policies that may ask for what it says.
    """
    return (*_jwt(world, instance), *_authorization(world, instance, port, http_rbac, tcp=False))


def tcp_guards(world: World, instance: Instance, port: InboundPort | None) -> tuple[Envoy, ...]:
    """Return the network filters that connections pass."""
    return _authorization(world, instance, port, tcp_rbac, tcp=True)


def trust_domains(world: World) -> tuple[str, ...]:
    """Return the mesh's trust domain and its aliases."""
    return tuple(dict.fromkeys((TRUST_DOMAIN, *world.mesh_config.trust_domain_aliases)))


def _jwt(world: World, instance: Instance) -> tuple[Envoy, ...]:
    key = "jwt filter", instance.role, *_workload(instance)
    return world.once(key, lambda: jwt_filter(world, instance))


def _authorization(
    world: World, instance: Instance, port: InboundPort | None, build: _Build, *, tcp: bool
) -> tuple[Envoy, ...]:
    """Build the filters once for all ports of a workload, unless its policies tell them apart."""
    workload = _workload(instance)
    policies = world.once(
        ("authorization policies", *workload),
        lambda: tuple(applying(world, "AuthorizationPolicy", instance.namespace, instance.labels)),
    )
    if not policies:
        return ()
    number = port.app_port if port and mention_ports(policies) else 0
    key = "authorization", instance.role, *workload, tcp, number

    def make() -> tuple[Envoy, ...]:
        matches = _of_port(port.app_port) if port else _of_gateway(world, instance)
        return build(policies, Scope(tcp=tcp, port=matches, trust_domains=trust_domains(world)))

    return world.once(key, make)


def _workload(instance: Instance) -> tuple[str, tuple[tuple[str, str], ...]]:
    return instance.namespace, tuple(sorted(instance.labels.items()))


def _of_port(number: int) -> Callable[[int], Envoy]:
    """Answer for one port of a workload: Envoy itself only knows its own listener's number."""
    return lambda wanted: {"any": True} if wanted == number else {"not_rule": {"any": True}}


def _of_gateway(world: World, instance: Instance) -> Callable[[int], Envoy]:
    """Match a gateway's port by the number that is opened, or by the declared one that it stands for."""
    ports = gateway_ports(world, instance)
    return lambda wanted: {"destination_port": ports.get(wanted, wanted)}
