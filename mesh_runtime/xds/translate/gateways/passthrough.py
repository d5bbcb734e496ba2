"""Servers that pass the mesh's own TLS on by its SNI: ``outbound_.<port>_.<subset>_.<host>``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mesh_runtime.api.hosts import matches
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Envoy, Group
from mesh_runtime.xds.translate.calling.clusters import CONNECT_TIMEOUT, limits
from mesh_runtime.xds.translate.calling.endpoints import Endpoint, endpoints, lb_endpoint, source
from mesh_runtime.xds.translate.calling.rules import rules_for
from mesh_runtime.xds.translate.gateways.servers import merged_gateways
from mesh_runtime.xds.translate.listeners.filters import tcp_proxy
from mesh_runtime.xds.translate.services import MeshPort, MeshService
from mesh_runtime.xds.translate.telemetry import metrics as telemetry
from mesh_runtime.xds.translate.telemetry.metrics import service_metadata
from mesh_runtime.xds.translate.tls import ADS
from mesh_runtime.xds.translate.world import World

_OF_THE_MESH: Final = ["istio-peer-exchange", "istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"]
"""What callers of the mesh offer by ALPN: nobody else is let through to the workloads."""

_Reached = tuple[str, MeshService, MeshPort, Mapping[str, str]]
"""A name, and what it stands for: a port of a service, and the labels of a subset."""


def passing_chains(world: World, instance: Instance, hosts: Sequence[str]) -> Iterator[Envoy]:
    """Yield a filter chain for each port and subset of the services that a server's hosts cover."""
    for name, service, _, _ in _reached(world, instance, hosts):
        yield {
            "name": name,
            "filter_chain_match": {"server_names": [name], "application_protocols": _OF_THE_MESH},
            "filters": [tcp_proxy(name, telemetry.tcp_source_logs(world, instance), cluster=name)],
            **service_metadata(service),
        }


def passing_clusters(world: World, instance: Instance) -> tuple[Group, Group]:
    """Return the clusters that :func:`passing_chains` lead to, which do not touch the TLS, and their endpoints."""
    return world.once(("passing clusters", instance.id), lambda: _clusters(world, instance))


def _clusters(world: World, instance: Instance) -> tuple[Group, Group]:
    hosts = tuple(
        host
        for port in merged_gateways(world, instance).ports
        for served in port.secured
        if served.server.tls and served.server.tls.mode == "AUTO_PASSTHROUGH"
        for host in served.server_names or ("*",)
    )
    reached = tuple(_reached(world, instance, hosts)) if hosts else ()
    return (
        tuple(_cluster(world, *found) for found in reached),
        tuple(_assignment(world, *found) for found in reached),
    )


def _reached(world: World, instance: Instance, hosts: Sequence[str]) -> Iterator[_Reached]:
    for service in world.services_for(instance.namespace).values():
        # No caller can name a wildcard's service: what follows "outbound_" is compared as it is.
        if not (service.external or service.host.startswith("*")) and any(
            matches(host, service.host) for host in hosts
        ):
            subsets = rules_for(world, instance.namespace, service, instance.labels).subsets
            for port in service.ports:
                yield _name(service, port, ""), service, port, {}
                for subset, chosen in subsets.items():
                    yield _name(service, port, subset), service, port, chosen.labels


def _name(service: MeshService, port: MeshPort, subset: str) -> str:
    return f"outbound_.{port.number}_.{subset}_.{service.host}"


def _cluster(world: World, name: str, service: MeshService, port: MeshPort, labels: Mapping[str, str]) -> Envoy:
    return {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": ADS},
        **source(_taking(world, service, port, labels)),
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": limits(None),
        **service_metadata(service),
    }


def _assignment(world: World, name: str, service: MeshService, port: MeshPort, labels: Mapping[str, str]) -> Envoy:
    found = _taking(world, service, port, labels)
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [lb_endpoint(one, "all") for one in found]}]}


def _taking(world: World, service: MeshService, port: MeshPort, labels: Mapping[str, str]) -> Sequence[Endpoint]:
    """Return those that take mutual TLS: to others the bytes would mean nothing."""
    return [one for one in endpoints(world, service, port, labels) if one.accepts_mtls and one.is_ip]
