"""What a sidecar takes in: one listener per port of its workload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mesh_runtime.api.networking import ConnectionPool, Sidecar
from mesh_runtime.api.networking.server_tls import ServerTLS
from mesh_runtime.api.protocols import by_port, by_word
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import NOWHERE, Envoy
from mesh_runtime.xds.translate.calling.clusters import inbound_name
from mesh_runtime.xds.translate.calling.rules import rules_for
from mesh_runtime.xds.translate.gateways.termination import terminating, termination_complaint, termination_names
from mesh_runtime.xds.translate.listeners.filters import (
    PLAIN_HTTP,
    grpc_web,
    inspected,
    listener,
    manager,
    tcp_proxy,
)
from mesh_runtime.xds.translate.ports import InboundPort, inbound_port, inbound_ports
from mesh_runtime.xds.translate.proxy_headers import seen_certificate
from mesh_runtime.xds.translate.security.guards import http_guards, tcp_guards, trust_domains
from mesh_runtime.xds.translate.security.peer_authentication import mtls_mode
from mesh_runtime.xds.translate.services import MeshPort, MeshService, Protocol
from mesh_runtime.xds.translate.sidecar_scope import sidecar_of
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.telemetry import metrics as telemetry
from mesh_runtime.xds.translate.telemetry.grpc_messages import is_counted, message_filters
from mesh_runtime.xds.translate.telemetry.tracing import spans_named
from mesh_runtime.xds.translate.tls import RAW_ALPN, downstream_tls
from mesh_runtime.xds.translate.world import World

_INBOUND_RETRY: Final = {"retry_on": "reset-before-request", "num_retries": 2}
"""An application may close an idle connection just when it is used again."""
_PLAIN: Final[Mapping[str, Sequence[Envoy]]] = {"PERMISSIVE": ({}, {"transport_protocol": "tls"}), "DISABLE": ({},)}
"""What is taken as it comes. Envoy does not look further once the transport has matched: where callers of the mesh
are looked for in TLS, the application's own has to be named."""
RAW: Final[frozenset[Protocol]] = frozenset({"tcp", "tls"})
_ALPN: Final = ("h2", "http/1.1")
_KNOWN_CALLERS: Envoy = {"upstream_connect_mode": "ON_DOWNSTREAM_TLS_HANDSHAKE", "max_early_data_bytes": 0}
"""Connect to the application when the caller has shown its certificate: before, nobody could say who it is."""


def inbound_listener(world: World, instance: Instance, port: InboundPort) -> Envoy:
    """Return the listener of one port of a workload."""
    service, protocol = inbound_service(world, instance, port)
    if protocol == "auto":
        return _sniffing_listener(world, instance, port, service)
    ended = ended_tls(world, instance, port)
    if ended:
        chain = _ended_chain(world, instance, port, service, ended)
        return {**listener(instance.address, port.listen_port, "INBOUND", [chain]), **inspected("tls")}
    mode = mtls_mode(world, instance.namespace, instance.labels, port.app_port)
    chains: list[Envoy] = []
    if mode != "DISABLE":
        # Only callers of the mesh offer "istio"; an application's own TLS is plain bytes to a permissive port.
        match = {"transport_protocol": "tls", "application_protocols": ["istio"]} if mode == "PERMISSIVE" else {}
        chains.append(
            {
                "name": "mutual",
                "filter_chain_match": match,
                "transport_socket": downstream_tls(http=protocol not in RAW, trust_domains=trust_domains(world)),
                "filters": _inbound_filters(world, instance, port, service, protocol, mutual=True),
            }
        )
    if mode != "STRICT":
        plain = {"name": "plain", "filters": _inbound_filters(world, instance, port, service, protocol, mutual=False)}
        chains += [{**plain, "filter_chain_match": match} for match in _PLAIN[mode]]
    # Also where nothing else is taken: nobody but the inspector notes the name that a caller asks for.
    looks = () if mode == "DISABLE" else ("tls",)
    return {**listener(instance.address, port.listen_port, "INBOUND", chains), **inspected(*looks)}


def ended_tls(world: World, instance: Instance, port: InboundPort) -> ServerTLS | None:
    """Return how TLS of callers outside of the mesh ends at a port: where mutual TLS is off, as its Sidecar says."""
    tls = port.ingress.tls if port.ingress else None
    off = tls and mtls_mode(world, instance.namespace, instance.labels, port.app_port) == "DISABLE"
    return tls if off else None


def inbound_credentials(world: World, instance: Instance) -> tuple[str, ...]:
    """Return the resource names of the secrets with which TLS ends at an instance's ports; all of them can be served."""
    ended = (ended_tls(world, instance, port) for port in inbound_ports(world, instance))
    served = (tls for tls in ended if tls and not termination_complaint(world, tls, instance.namespace))
    return tuple(dict.fromkeys(name for tls in served for name in termination_names(tls, instance.namespace)))


def _ended_chain(
    world: World, instance: Instance, port: InboundPort, service: MeshService | None, tls: ServerTLS
) -> Envoy:
    """Return the chain of what is decrypted. Without its certificate every connection is closed."""
    spoken = by_word(port.ingress.port.protocol) if port.ingress else "tcp"
    encrypted = port.ingress is not None and port.ingress.port.protocol == "HTTPS"
    protocol: Protocol = "http" if encrypted else "tcp" if spoken == "tls" else spoken
    if termination_complaint(world, tls, instance.namespace):
        logs = telemetry.tcp_destination_logs(world, instance, service, mutual=False)
        return {"name": "tls", "filters": [tcp_proxy(inbound_name(port), logs, cluster=NOWHERE)]}
    return {
        "name": "tls",
        "transport_socket": terminating(world, tls, instance.namespace, () if protocol in RAW else _ALPN),
        "filters": _inbound_filters(world, instance, port, service, protocol, mutual=False),
    }


def _sniffing_listener(world: World, instance: Instance, port: InboundPort, service: MeshService | None) -> Envoy:
    """Return the listener of a port that takes requests and other bytes alike.

    What is encrypted cannot be looked into: callers of the mesh say there what they send.
    """
    mode = mtls_mode(world, instance.namespace, instance.labels, port.app_port)
    chains: list[Envoy] = []
    if mode != "DISABLE":
        of_the_mesh = {"transport_protocol": "tls", "application_protocols": ["istio"]}
        raw_bytes = {"transport_protocol": "tls", "application_protocols": [RAW_ALPN[0]]}
        chains += [
            _sniffed(world, instance, port, service, match=raw_bytes, protocol="tcp", mutual=True),
            _sniffed(
                world,
                instance,
                port,
                service,
                match=of_the_mesh if mode == "PERMISSIVE" else {"transport_protocol": "tls"},
                protocol="auto",
                mutual=True,
            ),
        ]
    if mode != "STRICT":
        chains += [
            _sniffed(world, instance, port, service, match=PLAIN_HTTP, protocol="auto", mutual=False),
            *(
                _sniffed(world, instance, port, service, match=one, protocol="tcp", mutual=False)
                for one in _PLAIN[mode]
            ),
        ]
    looks = ("tls",) if mode == "STRICT" else ("tls", "http")
    return {**listener(instance.address, port.listen_port, "INBOUND", chains), **inspected(*looks)}


def _sniffed(
    world: World,
    instance: Instance,
    port: InboundPort,
    service: MeshService | None,
    *,
    match: Envoy,
    protocol: Protocol,
    mutual: bool,
) -> Envoy:
    security, suffix = "mutual" if mutual else "plain", "-raw" if protocol in RAW else ""
    socket = downstream_tls(http=protocol not in RAW, trust_domains=trust_domains(world))
    return {
        "name": f"{security}{suffix}",
        "filter_chain_match": match,
        **({"transport_socket": socket} if mutual else {}),
        "filters": _inbound_filters(world, instance, port, service, protocol, mutual=mutual),
    }


def inbound_service(world: World, instance: Instance, port: InboundPort) -> tuple[MeshService | None, Protocol]:
    """Return the service whose port leads to an instance's port, and its protocol.

    Where several do, it is the one the instance was started for; where none does, the port's name tells the protocol.
    A Sidecar's word on the protocol comes first.
    """
    found = _declared(world, instance, port)
    protocol = found[1].protocol if found else by_port(port.app_port, port.name, "")
    return found[0] if found else None, by_word(port.ingress.port.protocol) if port.ingress else protocol


def inbound_pool(world: World, instance: Instance, port: InboundPort) -> ConnectionPool | None:
    """Return what an instance's Sidecar says of connections to it.

    Else what the DestinationRule of its service does: as in Istio, it holds here, too.
    """
    item = sidecar_of(world, instance)
    own = (port.ingress.connection_pool if port.ingress else None) or (
        spec_of(item, Sidecar).inbound_connection_pool if item else None
    )
    if own:
        return own
    found = _declared(world, instance, port)
    if found is None:
        return None
    service, declared = found
    return (
        rules_for(world, instance.namespace, service, dict(instance.labels)).policy(declared.number, "").connection_pool
    )


def _declared(world: World, instance: Instance, port: InboundPort) -> tuple[MeshService, MeshPort] | None:
    candidates = [
        (service, declared)
        for service in world.services_of(instance)
        for declared in service.ports
        if inbound_port(world, instance, declared) == port
    ]
    return min(candidates, key=lambda found: found[0].name != instance.service, default=None)


def _inbound_filters(
    world: World,
    instance: Instance,
    port: InboundPort,
    service: MeshService | None,
    protocol: Protocol,
    *,
    mutual: bool,
) -> list[Envoy]:
    cluster = inbound_name(port)
    if protocol in RAW:
        logs = telemetry.tcp_destination_logs(world, instance, service, mutual=mutual)
        return [
            *tcp_guards(world, instance, port),
            tcp_proxy(cluster, logs, cluster=cluster, **(_KNOWN_CALLERS if mutual else {})),
        ]
    action = {"cluster": cluster, "timeout": "0s", "retry_policy": _INBOUND_RETRY}
    route = {"name": "default", "match": {"prefix": "/"}, **_spans_named(world, instance, port)}
    host = {
        "name": f"inbound|http|{port.app_port}",
        "domains": ["*"],
        "routes": [{**route, "route": action}],
    }
    requests = manager(
        world,
        instance,
        f"inbound_{port.app_port}",
        telemetry.destination_logs(world, instance, service, mutual=mutual),
        side="SERVER",
        route_config={"name": cluster, "virtual_hosts": [host], "validate_clusters": False},
        server_header_transformation="PASS_THROUGH",
        common_http_protocol_options={"max_connection_duration": f"{world.settings.max_connection_s}s"},
        guards=(*http_guards(world, instance, port), *_of_grpc(protocol)),
        **seen_certificate(world, mutual=mutual),
    )
    return [requests]


def _spans_named(world: World, instance: Instance, port: InboundPort) -> Envoy:
    found = _declared(world, instance, port)
    return spans_named({"match": {"prefix": "/"}}, found[0].host, found[1].number) if found else {}


def _of_grpc(protocol: Protocol) -> Iterator[Envoy]:
    if protocol == "grpc-web":
        yield grpc_web()
    if is_counted(protocol):
        yield from message_filters()
