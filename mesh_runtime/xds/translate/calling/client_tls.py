"""How a cluster secures its connections: as the mesh does, or as a DestinationRule says for servers outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mesh_runtime.api.networking import ClientTLS, ProxyProtocol
from mesh_runtime.api.values import address
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.gateways.credentials import (
    asked_for,
    authorities_in_files,
    authorities_name,
    certificate_name,
    pair_in_files,
    secret_named,
)
from mesh_runtime.xds.translate.tls import SYSTEM_ROOTS, VERSIONS, by_endpoint, chosen_ciphers, upstream_tls
from mesh_runtime.xds.translate.world import World

_SYSTEM: Final = "system"
_ORIGINATED: Final = ("SIMPLE", "MUTUAL")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshIdentity:
    """What a service is known by to those who call it with TLS."""

    accepted: Sequence[str]
    """SPIFFE ids that may answer."""
    namespace: str
    """Whose ids may answer where none is known; empty: anybody's."""
    sni: str
    names: Sequence[str]
    """Names in certificates of servers outside the mesh, where a rule names none."""
    automatic: bool
    """Whether endpoints that take mutual TLS get it unasked."""


def is_originated(tls: ClientTLS | None) -> bool:
    """Tell whether TLS is that of a server outside the mesh."""
    return tls is not None and tls.mode in _ORIGINATED


def mutual(tls: ClientTLS | None, identity: MeshIdentity) -> str:
    """Return which endpoints are called with mutual TLS: ``all``, ``capable`` (those that take it) or ``none``."""
    if tls is not None:
        return "all" if tls.mode == "ISTIO_MUTUAL" else "none"
    return "capable" if identity.automatic else "none"


def security(
    world: World,
    tls: ClientTLS | None,
    namespace: str,
    identity: MeshIdentity,
    alpn: Sequence[str],
    *,
    header: ProxyProtocol | None,
) -> Envoy:
    """Return a cluster's sockets, for callers of a namespace. *alpn* is what the cluster speaks above mutual TLS."""
    if tls is None and not identity.automatic:
        return _single(None, header)
    if tls is not None and tls.mode == "DISABLE":
        return _single(None, header)
    if tls is not None and is_originated(tls):
        return _single(_originated(world, tls, namespace, identity.names), header)
    accepted = (tls.subject_alt_names if tls else ()) or identity.accepted
    secured = upstream_tls(accepted, identity.namespace, alpn, (tls.sni if tls else "") or identity.sni)
    if tls is not None:
        return _single(secured, header)
    choices = [
        {**choice, "transport_socket": _behind(choice["transport_socket"], header)} for choice in by_endpoint(secured)
    ]
    return {"transport_socket_matches": choices}


def credentials(world: World, tls: ClientTLS | None, namespace: str) -> tuple[tuple[str, ...], bool]:
    """Return the secrets that a policy needs, by their resources' names, and whether all of them can be served."""
    if tls is None or not is_originated(tls):
        return (), True
    names = tuple(filter(None, (_certificate(tls, namespace), _authorities(tls, namespace))))
    return names, all(secret_named(world, name) is not None for name in names)


def server_names(tls: ClientTLS | None) -> Envoy:
    """Return how a request's host names the server, where the policy does not: fields of Envoy's HTTP options."""
    if tls is None or not is_originated(tls) or tls.sni:
        return {}
    verified = not tls.insecure_skip_verify and not tls.subject_alt_names
    return {"upstream_http_protocol_options": {"auto_sni": True, **({"auto_san_validation": True} if verified else {})}}


def _originated(world: World, tls: ClientTLS, namespace: str, names: Sequence[str]) -> Envoy:
    defaults = world.mesh_config.tls_defaults
    ciphers = chosen_ciphers(defaults.ecdh_curves, defaults.cipher_suites)
    context: dict[str, Any] = {"tls_params": {**VERSIONS, **ciphers}}
    if certificate := _certificate(tls, namespace):
        context["tls_certificate_sds_secret_configs"] = [asked_for(certificate)]
    if authorities := _authorities(tls, namespace):
        accepted = tls.subject_alt_names or names
        context["combined_validation_context"] = {
            "default_validation_context": {
                "match_typed_subject_alt_names": [one for name in accepted for one in _alternatives(name)]
            },
            "validation_context_sds_secret_config": asked_for(authorities),
        }
    # Which HTTP is offered, Envoy adds by itself, connection by connection.
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": any_of(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            common_tls_context=context,
            **({"sni": tls.sni} if tls.sni else {}),
        ),
    }


def _certificate(tls: ClientTLS, namespace: str) -> str:
    """Return the resource's name of the certificate that is shown; ``""``: none is."""
    if tls.mode != "MUTUAL":
        return ""
    if tls.credential_name:
        return certificate_name(namespace, tls.credential_name)
    return pair_in_files(tls.client_certificate, tls.private_key)


def _authorities(tls: ClientTLS, namespace: str) -> str:
    """Return the resource's name of the authorities that are trusted; ``""``: whoever answers is."""
    if tls.insecure_skip_verify:
        return ""
    if tls.credential_name:
        return authorities_name(namespace, tls.credential_name)
    roots = SYSTEM_ROOTS if tls.ca_certificates in ("", _SYSTEM) else tls.ca_certificates
    return authorities_in_files(roots, tls.ca_crl)


def _alternatives(name: str) -> list[Envoy]:
    """Return matchers for a name of whichever kind: Istio's field does not say of which."""
    kinds = ("IP_ADDRESS",) if address(name) is None else ("URI",) if "://" in name else ("DNS", "URI")
    return [{"san_type": kind, "matcher": {"exact": name}} for kind in kinds]


def _single(secured: Envoy | None, header: ProxyProtocol | None) -> Envoy:
    if header is None:
        return {} if secured is None else {"transport_socket": secured}
    return {"transport_socket": _behind(secured or _RAW, header)}


def _behind(socket: Envoy, header: ProxyProtocol | None) -> Envoy:
    """Put the caller's address ahead of what a socket sends."""
    if header is None:
        return socket
    config = any_of(
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        config={"version": header.version},
        transport_socket=socket,
    )
    return {"name": "envoy.transport_sockets.upstream_proxy_protocol", "typed_config": config}


_RAW: Final[Envoy] = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": any_of("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
}
