"""TLS that ends at a server of a Gateway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from mesh_runtime.api.mesh_config import TLSDefaults
from mesh_runtime.api.networking.server_tls import OF_CLIENTS, ServerTLS
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.gateways.credentials import (
    asked_for,
    authorities_in_files,
    authorities_name,
    certificate_name,
    complaint,
    pair_in_files,
)
from mesh_runtime.xds.translate.tls import LEAF, ROOT, chosen_ciphers
from mesh_runtime.xds.translate.world import World

_NAME_TYPES: Final = ("DNS", "URI", "EMAIL", "IP_ADDRESS")
_REQUIRED: Final = frozenset({"MUTUAL", "ISTIO_MUTUAL"})


def terminating(world: World, tls: ServerTLS, namespace: str, alpn: Sequence[str]) -> Envoy:
    """Return the socket that ends TLS as a server says. *namespace* is the gateway's, where its Secrets are."""
    common: dict[str, Any] = {
        "tls_params": _parameters(tls, world.mesh_config.tls_defaults),
        "alpn_protocols": list(alpn),
        "tls_certificate_sds_secret_configs": [asked_for(name) for name in _certificates(tls, namespace)],
    }
    authorities = _authorities(tls, namespace)
    if authorities:
        common["combined_validation_context"] = {
            "default_validation_context": _expected(tls),
            "validation_context_sds_secret_config": asked_for(authorities),
        }
    context = any_of(
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=tls.mode in _REQUIRED,
        common_tls_context=common,
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def termination_names(tls: ServerTLS, namespace: str) -> tuple[str, ...]:
    """Return the resource names of the secrets that :func:`terminating` needs beside the proxy's own."""
    if not tls.terminates or tls.mode == "ISTIO_MUTUAL":
        return ()
    return tuple(filter(None, (*_certificates(tls, namespace), _authorities(tls, namespace))))


def termination_complaint(world: World, tls: ServerTLS, namespace: str) -> str:
    """Say why a server cannot end TLS; ``""``: it can."""
    return "; ".join(filter(None, (complaint(world, name) for name in termination_names(tls, namespace))))


def _certificates(tls: ServerTLS, namespace: str) -> Iterator[str]:
    if tls.mode == "ISTIO_MUTUAL":
        yield LEAF
        return
    for name in tls.credentials:
        yield certificate_name(namespace, name)
    for pair in tls.files:
        yield pair_in_files(pair.server_certificate, pair.private_key)


def _authorities(tls: ServerTLS, namespace: str) -> str:
    if tls.mode == "ISTIO_MUTUAL":
        return ROOT
    if tls.mode not in OF_CLIENTS:
        return ""
    named = tls.ca_cert_credential_name or next(iter(tls.credentials), "")
    if named:
        return authorities_name(namespace, named)
    return authorities_in_files(tls.ca_certificates, tls.ca_crl)


def _parameters(tls: ServerTLS, defaults: TLSDefaults) -> Envoy:
    if tls.mode == "ISTIO_MUTUAL":
        return {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}
    lowest = tls.min_protocol_version
    if lowest == "TLS_AUTO" and tls.max_protocol_version == "TLS_AUTO":
        lowest = defaults.min_protocol_version
    return {
        "tls_minimum_protocol_version": _version(lowest, "TLSv1_2", tls.max_protocol_version),
        "tls_maximum_protocol_version": _version(tls.max_protocol_version, "TLSv1_3", lowest),
        **chosen_ciphers(tls.ecdh_curves or defaults.ecdh_curves, tls.cipher_suites or defaults.cipher_suites),
    }


def _version(written: str, automatic: str, other: str) -> str:
    """Return Envoy's word for a version; the automatic one gives way to the *other* end of the range."""
    if written != "TLS_AUTO":
        return written.replace("TLSV", "TLSv")
    return "TLSv1_0" if automatic == "TLSv1_2" and other in {"TLSV1_0", "TLSV1_1"} else automatic


def _expected(tls: ServerTLS) -> Envoy:
    """Say what a client's certificate must be, apart from who vouches for it."""
    names = [{"san_type": kind, "matcher": {"exact": name}} for name in tls.subject_alt_names for kind in _NAME_TYPES]
    expected: dict[str, Any] = {
        "match_typed_subject_alt_names": names,
        "verify_certificate_spki": list(tls.verify_certificate_spki),
        "verify_certificate_hash": list(tls.verify_certificate_hash),
        "trust_chain_verification": "ACCEPT_UNTRUSTED" if tls.insecure_skip_verify else "",
    }
    return {field: value for field, value in expected.items() if value}
