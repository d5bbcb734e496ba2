"""What a user can say about a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from collectors.errors import CollectorError
from collectors.inventory import DEFAULT_CLUSTER

MESH_GROUPS = (
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "gateway.networking.k8s.io",
    "linkerd.io",
    "policy.linkerd.io",
    "split.smi-spec.io",
    "specs.smi-spec.io",
    "access.smi-spec.io",
)
"""The API groups of Istio, Gateway API, Linkerd and SMI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """One ``[[clusters]]`` table."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str = ""
    """What the cluster is called in its mesh's metrics. Empty: the only cluster is called as its istiod says, or
    ``Kubernetes``, and each of several like its context."""
    context: str = ""
    """A context of the kubeconfig. Empty: its current one."""
    kubeconfig: str = ""
    """The kubeconfig. Empty: what ``KUBECONFIG`` says, else ``~/.kube/config``."""
    in_cluster: bool = False
    """Use the service account of the pod that we run in, instead of a kubeconfig."""
    service_account: str = "/var/run/secrets/kubernetes.io/serviceaccount"
    """With ``in_cluster``: where the account's ``token`` and ``ca.crt`` are; another directory where a volume projects
    them."""
    namespaces: tuple[str, ...] = ()
    """Read only these, where one may not read all."""
    config_groups: tuple[str, ...] = MESH_GROUPS
    """The API groups whose objects are a mesh's config; all kinds that they have are read."""
    timeout_s: float = 15.0
    """Time for one request, and for one page of a list."""
    look_again_s: float = 60.0
    """How often kinds that were not installed, or may not be read, are looked for again."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.in_cluster and (self.context or self.kubeconfig):
            raise CollectorError("clusters: give in_cluster, or context and kubeconfig, not both")
        if core := [group for group in self.config_groups if "." not in group]:
            raise CollectorError(f"clusters: config_groups: {core[0]!r} is no mesh's API group, such as kuma.io")
        for name in ("timeout_s", "look_again_s"):
            if getattr(self, name) <= 0:
                raise CollectorError(f"clusters: {name} must be above 0")

    @property
    def title(self) -> str:
        """What to call it to a user, as long as it has not said its own name."""
        return self.name or self.context or ("in-cluster" if self.in_cluster else DEFAULT_CLUSTER)


def apart(configs: Sequence[ClusterConfig]) -> Sequence[ClusterConfig]:
    """Give each of several clusters a name; refuse two of one name, whose workloads nobody could tell apart."""
    if len(configs) > 1:
        configs = [replace(config, name=config.title) for config in configs]
    names = [config.name for config in configs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CollectorError(f"several clusters are called {', '.join(twice)}; name them apart: --context CLUSTER=NAME")
    return configs
