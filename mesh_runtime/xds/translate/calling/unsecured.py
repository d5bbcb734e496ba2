"""Calls that a proxy answers by itself, because what it is to secure them with is not there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from mesh_runtime.api.hosts import matches
from mesh_runtime.registry import Instance
from mesh_runtime.xds.translate.calling.client_tls import credentials
from mesh_runtime.xds.translate.calling.rules import Client, client_of, policies, rules_for
from mesh_runtime.xds.translate.gateways.credentials import complaint
from mesh_runtime.xds.translate.sidecar_scope import reached_services
from mesh_runtime.xds.translate.world import World


def unsecured_calls(world: World, instance: Instance) -> tuple[str, ...]:
    """Say which ports of services a proxy cannot call, for want of a Secret that a DestinationRule names, and why.

    Those of its own namespace: what others say of a service outside may be meant for a gateway only.
    """
    client = client_of(world, instance)
    return world.once(("unsecured", client), lambda: tuple(dict.fromkeys(_unsecured(world, client))))


def _unsecured(world: World, client: Client) -> Iterator[str]:
    hosts = world.once(("hosts with credentials", client.namespace), lambda: frozenset(_hosts(world, client.namespace)))
    for service in reached_services(world, client.scope).values() if hosts else ():
        if any(matches(host, service.known_as) for host in hosts):
            rules = rules_for(world, client.namespace, service, dict(client.labels))
            for port, subset in product(service.ports, ("", *rules.subsets)):
                needed, _ = credentials(world, rules.policy(port.number, subset).tls, client.namespace)
                for missing in filter(None, (complaint(world, name) for name in needed)):
                    yield f"calls of {service.host} port {port.number} are answered 503: {missing}"


def _hosts(world: World, namespace: str) -> Iterator[str]:
    """Yield the hosts for whose calls rules of a namespace name Secrets."""
    for (where, host), rules in world.destination_rules.items():
        named = (policy.tls.credential_name for policy in policies(rules) if policy.tls)
        if where == namespace and any(named):
            yield host
