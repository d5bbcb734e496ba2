"""Who answers for a service: instances its selector finds, listed workloads, and Envoy's form of both."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mesh_runtime.api.networking import WorkloadEntry
from mesh_runtime.api.networking.service_entry import UNIX
from mesh_runtime.api.objects import CLUSTER, TRUST_DOMAIN, ConfigObject
from mesh_runtime.identity.authority import spiffe_id
from mesh_runtime.registry import Instance, Role
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.ports import gateway_ports, inbound_port
from mesh_runtime.xds.translate.security.peer_authentication import mtls_mode
from mesh_runtime.xds.translate.services import MeshPort, MeshService, has_sidecar, member_name
from mesh_runtime.xds.translate.world import World, selects

MUTUAL = "mutual_tls"
PLAIN = "none"
TLS_MODE = "tlsMode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address that answers for a port of a service."""

    address: str
    port: int
    namespace: str
    workload: str
    labels: Mapping[str, str]
    accepts_mtls: bool
    """Whether a sidecar is there that takes mutual TLS."""
    weight: int = 1
    locality: str = ""
    """``region/zone/subzone``."""

    @property
    def app(self) -> str:
        """Istio's canonical name."""
        return canonical_name(self.labels, self.workload)

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket."""
        return self.address.startswith(UNIX)

    @property
    def is_ip(self) -> bool:
        """Whether it needs no DNS."""
        if self.is_socket:
            return True
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            return False
        return True

    @property
    def is_of_own_network(self) -> bool:
        """Whether it is where all workloads of this machine are."""
        return self.address.startswith("127.") and self.is_ip


def canonical_name(labels: Mapping[str, str], workload: str) -> str:
    """Return Istio's canonical name of a workload."""
    return (
        labels.get("service.istio.io/canonical-name")
        or labels.get("app.kubernetes.io/name")
        or labels.get("app")
        or workload
    )


def canonical_revision(labels: Mapping[str, str]) -> str:
    """Return Istio's canonical revision: ``latest`` where a workload has no version."""
    return (
        labels.get("service.istio.io/canonical-revision")
        or labels.get("app.kubernetes.io/version")
        or labels.get("version")
        or "latest"
    )


def endpoints(world: World, service: MeshService, port: MeshPort, labels: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Return who answers for a port of a service, or of its subset with these labels. Draining ones do not."""
    key = "endpoints", service.namespace, service.host, port.number
    everyone = world.once(key, lambda: tuple(_endpoints(world, service, port)))
    return tuple(one for one in everyone if not labels or selects(labels, one.labels))


def places(world: World, host: str, port: int) -> tuple[tuple[str, int], ...]:
    """Return where a port of a host is answered for, as those find it that are not of the mesh, by address."""
    service = world.services.get(host)
    number = service.port(port) if service else None
    found = endpoints(world, service, number, {}) if service and number else ()
    return tuple((one.address, one.port) for one in found if one.is_ip and not one.is_socket)


def identities(world: World, service: MeshService, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return who may answer for a service, by SPIFFE id; those that drain are among them."""
    key = "identities", service.namespace, service.host, tuple(sorted(labels.items()))
    return world.once(key, lambda: tuple(sorted(_identities(world, service, labels))))


def _identities(world: World, service: MeshService, labels: Mapping[str, str]) -> set[str]:
    wanted = None if service.selector is None else {**service.selector, **labels}
    accounts = {
        one.service_account for one in world.selected(service.namespace, wanted) if service.answers_as(member_name(one))
    }
    listed = [entry for item, entry in _selected_entries(world, service)]
    accounts |= {entry.service_account for entry in (*listed, *service.listed) if entry.service_account}
    named = {name for name in service.subject_alt_names if name.startswith("spiffe://")}
    domains = (TRUST_DOMAIN, *world.mesh_config.trust_domain_aliases)
    return named | {spiffe_id(service.namespace, account, domain) for account in accounts for domain in domains}


def lb_endpoint(one: Endpoint, mutual: str) -> Envoy:
    """Return Envoy's form. *mutual* says who is called with mutual TLS: ``all``, ``capable`` or ``none``.

    It is told so that telemetry knows what protects each endpoint.
    """
    secured = mutual == "all" or (mutual == "capable" and one.accepts_mtls)
    described = {"security": MUTUAL if secured else PLAIN}
    if one.workload:
        described |= {
            "workload": one.workload,
            "namespace": one.namespace,
            "app": one.app,
            "version": canonical_revision(one.labels),
            "cluster": CLUSTER,
        }
    metadata: dict[str, Envoy] = {"istio": described}
    if one.accepts_mtls:
        metadata["envoy.transport_socket_match"] = {TLS_MODE: "istio"}
    return {
        "endpoint": {"address": address(one.address, one.port)},
        "metadata": {"filter_metadata": metadata},
        "load_balancing_weight": one.weight,
    }


def address(host: str, port: int) -> Envoy:
    """Return Envoy's form of an address: of an IP, a DNS name, or ``unix://`` and a path."""
    if host.startswith(UNIX):
        return {"pipe": {"path": host.removeprefix(UNIX)}}
    return {"socket_address": {"address": host, "port_value": port}}


ANY_SOURCE: Final[Envoy] = {"upstream_bind_config": {}}
"""The part of a cluster by which the machine chooses whence it calls: elsewhere than in the mesh's own network
the proxy's own address, from which it calls otherwise, means nothing."""


def source(found: Iterable[Endpoint]) -> Envoy:
    """Return the part of a cluster that says whence these are called."""
    return {} if all(one.is_of_own_network for one in found) else ANY_SOURCE


def _endpoints(world: World, service: MeshService, port: MeshPort) -> Iterator[Endpoint]:
    for instance in world.selected(service.namespace, service.selector):
        if service.answers_as(member_name(instance)):
            yield from _of_instance(world, service, instance, port)
    for instance in world.selected(service.namespace, service.selector, Role.GATEWAY):
        if service.answers_as(member_name(instance)):
            yield from _of_gateway(world, instance, port)
    for item, entry in _selected_entries(world, service):
        yield _listed(service, port, entry, item.key.name)
    for entry in service.listed:
        if entry.address:  # else it is behind another network's gateway, which nobody has named
            yield _listed(service, port, entry, "")


def _selected_entries(world: World, service: MeshService) -> Iterator[tuple[ConfigObject, WorkloadEntry]]:
    for item, entry in world.workload_entries(service.namespace):
        if entry.address and service.selects(entry.labels) and service.answers_as(item.key.name):
            yield item, entry


def _of_instance(world: World, service: MeshService, instance: Instance, port: MeshPort) -> Iterator[Endpoint]:
    inbound = inbound_port(world, instance, port)
    if inbound is None or (instance.draining and not service.unready):
        return
    yield Endpoint(
        address=instance.address,
        port=inbound.listen_port,
        namespace=instance.namespace,
        workload=instance.workload,
        labels=instance.labels,
        locality=instance.locality,
        accepts_mtls=service.is_inside
        and mtls_mode(world, instance.namespace, instance.labels, inbound.app_port) != "DISABLE",
    )


def _of_gateway(world: World, instance: Instance, port: MeshPort) -> Iterator[Endpoint]:
    """A gateway answers at a port that its Gateways declare; whether TLS is wanted there, they say, not the mesh."""
    opened = gateway_ports(world, instance)
    number = next((number for number in (port.number, port.target) if number in opened), None)
    if isinstance(number, int) and not instance.draining:
        yield Endpoint(
            address=instance.address,
            port=opened[number],
            namespace=instance.namespace,
            workload=instance.workload,
            labels=instance.labels,
            accepts_mtls=False,
            locality=instance.locality,
        )


def _listed(service: MeshService, port: MeshPort, entry: WorkloadEntry, name: str) -> Endpoint:
    target = port.target if isinstance(port.target, int) else port.number
    return Endpoint(
        address=entry.address,
        port=entry.ports.get(str(port.target)) or entry.ports.get(port.name) or target,
        namespace=service.namespace,
        workload=name,
        labels=entry.labels,
        accepts_mtls=service.is_inside and has_sidecar(entry),
        weight=entry.weight or 1,
        locality=entry.locality,
    )
