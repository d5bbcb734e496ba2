"""What an agent and the control plane say to each other when a proxy is to be started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from mesh_runtime.registry import Role

PROTOCOLS: Final = ("http", "http2", "grpc", "grpc-web", "tcp", "tls", "auto")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class InvalidRegistrationError(ValueError):
    """A registration that no control plane would accept; the message names the field and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """An agent's request. ``token`` and ``id`` are set when it registers the same instance again.

    Names are DNS labels, labels are Kubernetes's, protocol and port fit the role; anything else raises
    :class:`InvalidRegistrationError`.
    """

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
    """One of ``PROTOCOLS``; with ``auto`` each connection shows what it speaks."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """The application's further ports by name, such as ``http-admin``; of a gateway, those of its Service."""
    locality: str = ""
    """``region/zone/subzone``."""
    address: str = ""
    """Where a gateway is to listen, instead of an address of the server's own network."""
    admin: str = ""
    """Path of the proxy's admin socket."""
    epoch: int = 0
    """Unix ms when the proxy is started."""
    id: str = ""
    token: str = ""
    starting: bool = False
    """The application does not listen yet: known, but not to be sent traffic until registered again without it."""
    trouble: str = ""
    """Why that is so for longer than it takes to start."""

    def __post_init__(self) -> None:
        for name in ("namespace", "service", "service_account"):
            value = getattr(self, name)
            if not _LABEL.fullmatch(value) and (value or name != "service_account"):
                raise InvalidRegistrationError(
                    f"{name} {value!r} is not a DNS label: use up to 63 lower-case letters, digits and '-'"
                )
        for key, value in {**self.labels, "version": self.version}.items():
            if not (_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)):
                raise InvalidRegistrationError(
                    f"label {key}={value} is not valid: use up to 63 letters, digits, '-', '_' and '.'"
                )
        if self.protocol not in PROTOCOLS:
            raise InvalidRegistrationError(f"protocol {self.protocol!r} is unknown: use one of {', '.join(PROTOCOLS)}")
        if self.address:
            _check_address(self.address)
        if self.role is Role.SIDECAR and not 0 < self.port < 65536:
            raise InvalidRegistrationError(f"port {self.port} is not between 1 and 65535")


def _check_address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError as trouble:
        raise InvalidRegistrationError(f"address {text!r} is not an IP address") from trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an application shows that it is ready, as Kubernetes' readiness probes ask."""

    path: str = ""
    """Ready while a GET of it is answered with 200 to 399; ``""``: while the port is open."""
    host: str = "127.0.0.1"
    port: int = 0
    """0: the application's own."""
    encrypted: bool = False
    """Ask with HTTPS, whatever certificate is shown."""
    grpc: str | None = None
    """Ready while gRPC's health service says that this service is; ``""``: the server as a whole."""
    command: tuple[str, ...] = ()
    """Ready while this ends with 0, run beside the application with its environment. Comes before all else."""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """Nobody asks before that."""
    interval_s: float = 2.0
    timeout_s: float = 1.0
    successes: int = 1
    """This many in a row, and it gets requests."""
    failures: int = 3
    """This many in a row, and it gets no more requests until it answers again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a proxy's process is started."""

    concurrency: int = 1
    """Threads that serve requests; 0: as many as the machine has processors."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those of its agent."""


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
    health: Health | None = None
    """How the workload's WorkloadGroup would have it asked whether it is ready; ``None``: it does not say."""
    start: Start = field(default_factory=Start)
