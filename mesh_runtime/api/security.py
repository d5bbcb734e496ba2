"""Specs of ``security.istio.io``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from mesh_runtime.api.spec import Flaw, Spec
from mesh_runtime.api.values import Labels


class WorkloadSelector(Spec):
    """Workloads that carry all these labels."""

    match_labels: Labels = Field(default_factory=dict)

    def flaws(self) -> Iterator[Flaw]:
        """Kubernetes' selectors have no wildcard."""
        for key, value in self.match_labels.items():
            if not value:
                yield Flaw(("matchLabels", key), "is empty", "write the label's value")


class MutualTLS(Spec):
    """What a workload accepts."""

    mode: Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] = "UNSET"
    """``UNSET``: as the namespace says, then as the mesh says, then ``PERMISSIVE``."""


class PeerAuthentication(Spec):
    """Whether callers must prove who they are: of the mesh (in the root namespace), a namespace, or workloads."""

    later: ClassVar[frozenset[str]] = frozenset({"portLevelMtls"})

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
