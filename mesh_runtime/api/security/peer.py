"""PeerAuthentication: whether callers must prove who they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api.security.targets import WorkloadSelector
from mesh_runtime.api.spec import Flaw, Spec, refused


class MutualTLS(Spec):
    """What a workload accepts."""

    mode: Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] = "UNSET"
    """``UNSET``: as the namespace says, then as the mesh says, then ``PERMISSIVE``."""


def _number(value: str) -> str:
    if not (value.isascii() and value.isdecimal() and 1 <= int(value[:6]) <= 65535 and value == str(int(value))):
        raise refused("is not a port number", "use the workload's port, 1 to 65535")
    return value


class PeerAuthentication(Spec):
    """Whether callers must prove who they are: of the mesh (in the root namespace), a namespace, or workloads."""

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: dict[Annotated[str, AfterValidator(_number)], MutualTLS] = Field(default_factory=dict)
    """By the workload's own port, not the Service's. ``UNSET``: as the workload's other ports."""

    def flaws(self) -> Iterator[Flaw]:
        """Ports belong to workloads."""
        if not self.has("port_level_mtls"):
            return
        if not self.port_level_mtls:
            yield Flaw(("portLevelMtls",), "is empty", "name a port, or remove it")
        elif self.selector is None or not self.selector.match_labels:
            yield Flaw(("portLevelMtls",), "needs a selector", "add selector.matchLabels")
