"""What a request or connection must pass before it reaches a workload or a gateway's routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from mesh_runtime.api.extension_providers import ExtensionProvider
from mesh_runtime.api.objects import TRUST_DOMAIN, ConfigObject
from mesh_runtime.api.security import AuthorizationPolicy
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.ports import InboundPort, gateway_ports
from mesh_runtime.xds.translate.security.attributes import Scope
from mesh_runtime.xds.translate.security.authentication import jwt_filter
from mesh_runtime.xds.translate.security.authorization import http_rbac, mention_ports, tcp_rbac
from mesh_runtime.xds.translate.security.external_authorization import Clusters, http_asked, servers, tcp_asked
from mesh_runtime.xds.translate.security.selection import Workload, applying, workload_of
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.world import World

_Judge = Callable[[Sequence[ConfigObject], Scope], tuple[Envoy, ...]]
_Ask = Callable[[Sequence[ConfigObject], Sequence[ExtensionProvider], Clusters, Scope], tuple[Envoy, ...]]


def http_guards(world: World, instance: Instance, port: InboundPort | None) -> tuple[Envoy, ...]:
    """Return the HTTP filters that requests to a workload's port pass, or to a gateway (``None``).

    External servers are asked first; a token is looked at before the policies that may ask for what it says.
    """
    workload = workload_of(instance)
    tokens = world.once(("jwt filter", workload), lambda: jwt_filter(world, workload))
    return (*_asked(world, instance, port, http_asked), *tokens, *_judged(world, instance, port, http_rbac))


def tcp_guards(world: World, instance: Instance, port: InboundPort | None) -> tuple[Envoy, ...]:
    """Return the network filters that connections pass."""
    return (*_asked(world, instance, port, tcp_asked), *_judged(world, instance, port, tcp_rbac))


def trust_domains(world: World) -> tuple[str, ...]:
    """Return the mesh's trust domain and its aliases."""
    return tuple(dict.fromkeys((TRUST_DOMAIN, *world.mesh_config.trust_domain_aliases)))


def _policies(world: World, workload: Workload) -> tuple[ConfigObject, ...]:
    return world.once(("authorization", workload), lambda: tuple(applying(world, "AuthorizationPolicy", workload)))


def _judged(world: World, instance: Instance, port: InboundPort | None, build: _Judge) -> tuple[Envoy, ...]:
    """Build filters once for all ports of a workload, unless its policies tell them apart."""
    workload = workload_of(instance)
    policies = _policies(world, workload)
    if not policies:
        return ()
    ports = _ports(world, instance, port, policies)
    domains = trust_domains(world)
    key = "judged", workload, build is tcp_rbac, ports if isinstance(ports, int) else 0
    return world.once(key, lambda: build(policies, Scope(port=partial(_port, ports), trust_domains=domains)))


def _asked(world: World, instance: Instance, port: InboundPort | None, build: _Ask) -> tuple[Envoy, ...]:
    workload = workload_of(instance)
    policies = tuple(item for item in _policies(world, workload) if _is_custom(item))
    if not policies:
        return ()
    ports = _ports(world, instance, port, policies)
    providers = world.mesh_config.extension_providers
    clusters = servers(world, workload.namespace)
    key = "asked", workload, build is tcp_asked, ports if isinstance(ports, int) else 0
    return world.once(key, lambda: build(policies, providers, clusters, Scope(port=partial(_port, ports))))


def _is_custom(item: ConfigObject) -> bool:
    return spec_of(item, AuthorizationPolicy).action == "CUSTOM"


def _ports(
    world: World, instance: Instance, port: InboundPort | None, policies: Sequence[ConfigObject]
) -> Mapping[int, int] | int | None:
    if not mention_ports(policies):
        return None
    return port.app_port if port else gateway_ports(world, instance)


def _port(known: Mapping[int, int] | int | None, wanted: int) -> Envoy:
    """Match a port: of a workload by its own number, since Envoy only knows its listener's.

    Of a gateway it is the number that is opened, or the declared one that this stands for.
    """
    if isinstance(known, int):
        return {"any": True} if wanted == known else {"not_rule": {"any": True}}
    return {"destination_port": (known or {}).get(wanted, wanted)}
