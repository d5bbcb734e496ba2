"""What a security policy is for: workloads by their labels, or gateways by their name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from mesh_runtime.api.spec import Flaw, Many, Spec, refusing
from mesh_runtime.api.values import DnsName, Labels

GATEWAY_NAME: Final = "gateway.networking.k8s.io/gateway-name"
"""The label of a gateway's instances that names the Gateway (of the Gateway API) they stand for."""


_OF_WAYPOINTS: Final = dict.fromkeys(
    ("GatewayClass", "Service", "ServiceEntry"),
    ("is for waypoints, which this runtime does not support", "use a selector"),
)


class WorkloadSelector(Spec):
    """Workloads that carry all these labels."""

    match_labels: Labels = Field(default_factory=dict)

    def flaws(self) -> Iterator[Flaw]:
        """Kubernetes' selectors have no wildcard."""
        for key, value in self.match_labels.items():
            if not value:
                yield Flaw(("matchLabels", key), "is empty", "write the label's value")


class PolicyTargetReference(Spec):
    """A Gateway of the policy's own namespace. Istio's other kinds are for waypoints."""

    group: Literal["gateway.networking.k8s.io"]
    kind: Annotated[Literal["Gateway"], refusing(_OF_WAYPOINTS)]
    name: DnsName = Field(min_length=1)
    namespace: DnsName = ""


class Targeted(Spec):
    """A policy with a selector or references. With neither it is for its namespace; in the root one, for the mesh."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: Annotated[Many[PolicyTargetReference], Field(max_length=16)] = ()

    @property
    def references(self) -> tuple[PolicyTargetReference, ...]:
        """The references, written in either form."""
        return self.target_refs or ((self.target_ref,) if self.target_ref else ())

    def flaws(self) -> Iterator[Flaw]:
        """Either labels or references."""
        yield from self.one_of("selector", "target_ref", "target_refs", needed=False)
