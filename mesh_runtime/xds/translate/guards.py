"""What a request or connection must pass before it reaches a workload or a gateway's routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from mesh_runtime.api.objects import TRUST_DOMAIN, ConfigObject
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.attributes import Scope
from mesh_runtime.xds.translate.authentication import jwt_filter
from mesh_runtime.xds.translate.authorization import http_rbac, mention_ports, tcp_rbac
from mesh_runtime.xds.translate.ports import InboundPort, gateway_ports
from mesh_runtime.xds.translate.selection import applying, workload_of
from mesh_runtime.xds.translate.world import World


class _Build(Protocol):
    """From policies to the filters of one kind of connection."""

    __name__: str

    def __call__(self, policies: Sequence[ConfigObject], scope: Scope) -> tuple[Envoy, ...]:
        """Build."""
        ...


def http_guards(world: World, instance: Instance, port: InboundPort | None) -> tuple[Envoy, ...]:
    """Return the HTTP filters that requests to a workload's port pass, or to a gateway (``None``).

    A token is looked at before the policies that may ask for what it says.
    """
    return (*_jwt(world, instance), *_authorization(world, instance, port, http_rbac))


def tcp_guards(world: World, instance: Instance, port: InboundPort | None) -> tuple[Envoy, ...]:
    """Return the network filters that connections pass."""
    return _authorization(world, instance, port, tcp_rbac)


def trust_domains(world: World) -> tuple[str, ...]:
    """Return the mesh's trust domain and its aliases."""
    return tuple(dict.fromkeys((TRUST_DOMAIN, *world.mesh_config.trust_domain_aliases)))


def _jwt(world: World, instance: Instance) -> tuple[Envoy, ...]:
    workload = workload_of(instance)
    return world.once(("jwt filter", workload), lambda: jwt_filter(world, workload))


def _authorization(world: World, instance: Instance, port: InboundPort | None, build: _Build) -> tuple[Envoy, ...]:
    """Build the filters once for all ports of a workload, unless its policies tell them apart."""
    workload = workload_of(instance)
    policies = world.once(("authorization", workload), lambda: tuple(applying(world, "AuthorizationPolicy", workload)))
    if not policies:
        return ()
    ports: Mapping[int, int] | int | None = None
    if mention_ports(policies):
        ports = port.app_port if port else gateway_ports(world, instance)
    domains = trust_domains(world)
    key = "authorization", workload, build.__name__, ports if isinstance(ports, int) else 0
    return world.once(key, lambda: build(policies, Scope(port=partial(_port, ports), trust_domains=domains)))


def _port(known: Mapping[int, int] | int | None, wanted: int) -> Envoy:
    """Match a port: of a workload by its own number, since Envoy only knows its listener's.

    Of a gateway it is the number that is opened, or the declared one that this stands for.
    """
    if isinstance(known, int):
        return {"any": True} if wanted == known else {"not_rule": {"any": True}}
    return {"destination_port": (known or {}).get(wanted, wanted)}
