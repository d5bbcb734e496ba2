"""What an agent and the control plane say to each other when a proxy is to be started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh_runtime.registry import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """An agent's request. ``token`` and ``id`` are set when it registers the same instance again."""

    role: Role
    namespace: str
    service: str
    """For a gateway: its name, which is its workload's."""
    version: str = ""
    service_account: str = ""
    """Empty: the service's name."""
    labels: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    """The application's port; 0 for gateways."""
    protocol: str = "http"
    """``http``, ``http2``, ``grpc`` or ``tcp``."""
    admin: str = ""
    epoch: int = 0
    id: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The control plane's answer: all that is needed to start the proxy and the command beside it."""

    id: str
    node_id: str
    workload: str
    address: str
    token: str
    """The secret that proves the proxy's identity on the xDS channel; only ever in 0600 files."""
    service_account: str
    outbound_port: int
    xds_socket: str
    tcp_services: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Service name to the address and port where this instance reaches it."""
    tracing: bool = False
