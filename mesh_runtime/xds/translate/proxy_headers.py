"""Headers that proxies add, change or leave out of their own accord, as the mesh's config says."""

from __future__ import annotations

from typing import Any, Final

from mesh_runtime.api.proxy_headers import ProxyHeaders
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.world import World

_KEPT_CASE: Final[Envoy] = {
    "header_key_format": {
        "stateful_formatter": {
            "name": "preserve_case",
            "typed_config": any_of(
                "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
            ),
        }
    }
}


def proxy_headers(world: World) -> ProxyHeaders:
    """Return what the mesh's config says of them."""
    return world.mesh_config.default_config.proxy_headers


def http1_options(world: World) -> Envoy:
    """Return how HTTP/1.1 is written, to whoever is called and to whoever calls."""
    return _KEPT_CASE if proxy_headers(world).preserve_http1_header_case else {}


def manager_options(world: World) -> dict[str, Any]:
    """Return what an HTTP connection manager says of them, where the config says it."""
    headers = proxy_headers(world)
    options: dict[str, Any] = {}
    if headers.server.disabled:
        options["server_header_transformation"] = "PASS_THROUGH"
    elif headers.server.value:
        options |= {"server_header_transformation": "OVERWRITE", "server_name": headers.server.value}
    if headers.request_id.disabled:
        options["generate_request_id"] = False
    if headers.x_forwarded_port.enabled:
        options["append_x_forwarded_port"] = True
    return options


def seen_certificate(world: World, *, mutual: bool) -> dict[str, Any]:
    """Return what becomes of ``x-forwarded-client-cert`` at a workload.

    What a caller without a certificate of the mesh claims about itself is removed, unless all is to be passed on; a
    gateway says whom it has seen.
    """
    headers = proxy_headers(world)
    written = headers.forwarded_client_cert
    details = "APPEND_FORWARD" if written == "UNDEFINED" else written
    if not mutual:
        return {"forward_client_cert_details": details if details == "ALWAYS_FORWARD_ONLY" else "SANITIZE"}
    told = headers.set_current_client_cert_details
    shown = {"subject": told.subject, "dns": told.dns, "uri": told.uri, "cert": told.cert, "chain": told.chain}
    return {
        "forward_client_cert_details": details,
        "set_current_client_cert_details": {name: True for name, wanted in shown.items() if wanted},
    }
