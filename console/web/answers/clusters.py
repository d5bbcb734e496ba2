"""What the API answers about Kubernetes clusters, as its OpenAPI says it."""

from __future__ import annotations

from typing import Any

from console.web.answers.shape import Answer, Service, Workload
from graph.model import NodeKind


class Denied(Answer):
    """What may not be read."""

    group: str
    resource: str


class Cluster(Answer):
    """One cluster, and how many of what it holds."""

    name: str
    context: str
    server: str
    error: str
    since: str
    kinds: int
    absent: list[str]
    forbidden: list[Denied]
    workloads: int
    services: int
    objects: int


class Clusters(Answer):
    """All that are followed."""

    items: list[Cluster]


class ClusterObjects(Answer):
    """Manifests, as a cluster has them."""

    items: list[dict[str, Any]]


class KnownWorkload(Workload):
    """A workload; null: not told."""

    kind: NodeKind
    replicas: int
    available: int | None
    desired: int | None
    service_account: str
    labels: dict[str, str]
    annotations: dict[str, str]
    badges: list[str]
    hosts: list[str]
    entries: list[str]


class KnownService(Service):
    """A service; ``ports``: protocols by number; ``ready`` of its ``endpoints`` answer, null: not told."""

    kind: NodeKind
    hosts: list[str]
    workloads: list[Workload]
    ports: dict[str, str]
    labels: dict[str, str]
    annotations: dict[str, str]
    badges: list[str]
    routes: list[str]
    addresses: list[str]
    entry: str
    location: str
    endpoints: int | None
    ready: int | None


class Inventory(Answer):
    """What exists, traffic or not."""

    workloads: list[KnownWorkload]
    services: list[KnownService]
