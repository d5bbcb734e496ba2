"""MeshConfig's ``defaultConfig.proxyHeaders``: which headers proxies add of their own accord."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from mesh_runtime.api.providers import PlainValue
from mesh_runtime.api.spec import Spec

ForwardedClientCert = Literal[
    "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"
]
"""What becomes of ``x-forwarded-client-cert``."""


class _Off(Spec):
    """A header that is there unless it is switched off."""

    disabled: bool = False


class _On(Spec):
    """A header that is there where it is switched on."""

    enabled: bool = False


class _Server(_Off):
    """``server``: off, it is the application's own."""

    value: PlainValue = ""
    """What proxies call themselves; empty: gateways ``meshscope``, and sidecars leave the application's word."""


class _ClientCert(Spec):
    """What ``x-forwarded-client-cert`` says of a caller's certificate."""

    subject: bool = True
    cert: bool = False
    chain: bool = False
    dns: bool = True
    uri: bool = True


class ProxyHeaders(Spec):
    """The headers, each with Istio's default."""

    ignored: ClassVar[frozenset[str]] = frozenset({"metadataExchangeHeaders"})
    """There are none: proxies tell each other who they are by certificate."""

    forwarded_client_cert: ForwardedClientCert = "UNDEFINED"
    """At sidecars; gateways have ``gatewayTopology.forwardClientCertDetails``."""
    set_current_client_cert_details: _ClientCert = Field(default_factory=_ClientCert)
    request_id: _Off = Field(default_factory=_Off)
    """``x-request-id``, for requests that have none."""
    server: _Server = Field(default_factory=_Server)
    attempt_count: _Off = Field(default_factory=_Off)
    """``x-envoy-attempt-count``, to whoever is called."""
    envoy_debug_headers: _Off = Field(default_factory=_Off)
    """``x-envoy-upstream-service-time`` and the like, to the caller."""
    x_forwarded_host: _On = Field(default_factory=_On)
    """The host before a rule's ``rewrite``."""
    x_forwarded_port: _On = Field(default_factory=_On)
    preserve_http1_header_case: bool = False
    """Names of headers keep their capitals, where HTTP/1.1 is spoken on both sides."""
