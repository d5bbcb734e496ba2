"""WorkloadGroup: what workloads that register by themselves have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api.networking.service_entry import WorkloadTemplate
from mesh_runtime.api.problems import quoted
from mesh_runtime.api.spec import Flaw, Many, Some, Spec, text
from mesh_runtime.api.values import CString, Labels, Port

_PROBE_HEADER: Final = re.compile(r"[-_A-Za-z0-9]+")


def _probe_header(value: str) -> str | None:
    return None if _PROBE_HEADER.fullmatch(value) else f"{quoted(value)} is not the name of a probe's header"


def _ascii(value: str) -> str | None:
    return None if value.isascii() else f"{quoted(value)} is not the name of a gRPC service"


ProbeHeader = Annotated[str, AfterValidator(text(_probe_header, "use letters, digits, '-' and '_'"))]
Seconds = Annotated[int, Field(ge=0, le=2**31 - 1)]


class GroupMetadata(Spec):
    """Labels and annotations of each workload."""

    labels: Labels = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class HTTPHeader(Spec):
    """A header of a probe."""

    name: ProbeHeader
    value: str = ""


class HTTPHealthCheck(Spec):
    """A request that is answered with 200 to 399."""

    path: str = ""
    port: Port
    host: str = ""
    scheme: Literal["", "HTTP", "HTTPS"] = ""
    http_headers: Many[HTTPHeader] = ()


class TCPHealthCheck(Spec):
    """A connection that is accepted."""

    host: str = ""
    port: Port


class ExecHealthCheck(Spec):
    """A command that ends with 0: run by each workload's agent, as its user."""

    command: Some[CString]


class GRPCHealthCheck(Spec):
    """gRPC's health checking protocol."""

    port: Port
    service: Annotated[str, Field(max_length=127), AfterValidator(text(_ascii))] = ""


class ReadinessProbe(Spec):
    """How an agent tells whether a workload is ready."""

    initial_delay_seconds: Seconds = 0
    timeout_seconds: Seconds = 0
    """0: 1, as Istio."""
    period_seconds: Seconds = 0
    """0: 10, as Istio."""
    success_threshold: Seconds = 0
    """0: 1, as Istio."""
    failure_threshold: Seconds = 0
    """0: 3, as Istio."""
    http_get: HTTPHealthCheck | None = None
    tcp_socket: TCPHealthCheck | None = None
    exec: ExecHealthCheck | None = None
    grpc: GRPCHealthCheck | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One way of asking."""
        yield from self.one_of("http_get", "tcp_socket", "exec", "grpc")


class GroupTemplate(WorkloadTemplate):
    """What an agent registers for each workload, with the address that it has."""

    ignored: ClassVar[frozenset[str]] = frozenset({"address"})


class WorkloadGroup(Spec):
    """A template for the workloads that agents register under its name."""

    metadata: GroupMetadata = Field(default_factory=GroupMetadata)
    template: GroupTemplate
    probe: ReadinessProbe | None = None
