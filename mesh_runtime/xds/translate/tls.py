"""Mutual TLS on both ends, with keys and roots from SDS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mesh_runtime.api.networking.server_tls import known_cipher_suites
from mesh_runtime.identity.authority import spiffe_id
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.calling.endpoints import TLS_MODE

LEAF: Final = "default"
"""The secret with a proxy's own certificate and key. Every proxy asks for its own by this name."""
RAW_ALPN: Final = ("istio-peer-exchange", "istio")
"""What a caller of the mesh offers, by Istio's word for it, where a port takes requests and other bytes alike."""
ROOT: Final = "ROOTCA"

SYSTEM_ROOTS: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Whom the machine trusts, for servers outside the mesh; where Debian and Istio's images have it."""

ADS: Final[Envoy] = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
"""What is new waits until all of it is there, however long the server is away; what it replaces serves meanwhile."""

VERSIONS: Final = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}
"""Envoy's clients stop at TLS 1.2 unless they are told otherwise."""

_TLS = "envoy.extensions.transport_sockets.tls.v3."


def chosen_ciphers(curves: Sequence[str], suites: tuple[str, ...]) -> Envoy:
    """Return the part of TLS' parameters that says what is encrypted how; suites that there are not are left out."""
    chosen = {"ecdh_curves": list(dict.fromkeys(curves)), "cipher_suites": list(known_cipher_suites(suites))}
    return {name: values for name, values in chosen.items() if values}


def downstream_tls(*, http: bool, trust_domains: Sequence[str]) -> Envoy:
    """Return the socket of an inbound port: only callers with a certificate of these trust domains are let in."""
    # Callers offer "istio", which selects the filter chain; were it chosen here, Envoy would take HTTP/2 for HTTP/1.
    alpn = ["h2", "http/1.1"] if http else []
    context = any_of(
        f"{_TLS}DownstreamTlsContext",
        require_client_certificate=True,
        common_tls_context=_common(
            alpn,
            {"tls_minimum_protocol_version": "TLSv1_3"},
            {"match_typed_subject_alt_names": [_uri({"prefix": f"spiffe://{domain}/"}) for domain in trust_domains]},
        ),
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def upstream_tls(identities: Sequence[str], namespace: str, alpn: Sequence[str], sni: str = "") -> Envoy:
    """Return the socket of a cluster: the other end must be one of *identities*.

    Where none is known yet, any of the service's *namespace* (``""``: of the mesh) will do.
    """
    matchers = [{"exact": identity} for identity in identities]
    if not matchers and namespace:
        matchers = [{"prefix": spiffe_id(namespace, "")}]
    names = [_uri(matcher) for matcher in matchers]
    context = any_of(
        f"{_TLS}UpstreamTlsContext",
        common_tls_context=_common(["istio", *alpn], VERSIONS, {"match_typed_subject_alt_names": names}),
        **({"sni": sni} if sni else {}),
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def by_endpoint(secured: Envoy) -> list[Envoy]:
    """Return the socket matches that use mutual TLS where the endpoint takes it, and plain text elsewhere."""
    raw = any_of("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")
    return [
        {"name": "mutual", "match": {TLS_MODE: "istio"}, "transport_socket": secured},
        {
            "name": "plain",
            "match": {},
            "transport_socket": {"name": "envoy.transport_sockets.raw_buffer", "typed_config": raw},
        },
    ]


def leaf_secret(chain_pem: str, key_pem: str) -> Envoy:
    """Return the secret with a proxy's certificate and key."""
    return {
        "name": LEAF,
        "tls_certificate": {
            "certificate_chain": {"inline_string": chain_pem},
            "private_key": {"inline_string": key_pem},
        },
    }


def root_secret(root_pem: str) -> Envoy:
    """Return the secret with the mesh's root."""
    return {"name": ROOT, "validation_context": {"trusted_ca": {"inline_string": root_pem}}}


def _uri(matcher: Envoy) -> Envoy:
    return {"san_type": "URI", "matcher": matcher}


def _common(alpn: Sequence[str], versions: Envoy, validation: Envoy) -> dict[str, Any]:
    return {
        "tls_params": versions,
        "alpn_protocols": list(alpn),
        "tls_certificate_sds_secret_configs": [{"name": LEAF, "sds_config": ADS}],
        "combined_validation_context": {
            "default_validation_context": validation,
            "validation_context_sds_secret_config": {"name": ROOT, "sds_config": ADS},
        },
    }
