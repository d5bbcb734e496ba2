"""What the API answers about proxies and certificates."""

from __future__ import annotations

from typing import Any

from console.web.answers.shape import Answer


class ResourceState(Answer):
    """How far a proxy is with one type of resources."""

    sent: str | int
    acked: str | int
    rejected: str
    at: str


class Proxy(Answer):
    """One proxy."""

    node: str
    instance: str
    namespace: str
    workload: str
    role: str
    connected: bool
    revision_acked: int
    in_sync: bool
    problem: str
    notes: list[str]
    types: dict[str, ResourceState]


class Proxies(Answer):
    """Every proxy, and the revision that they should have."""

    revision: int
    items: list[Proxy]


class ProxyConfig(Answer):
    """What a proxy was sent, as Envoy's JSON."""

    node: str
    resources: Any


class Certificates(Answer):
    """The certificates in use, and how far the rotation of the root is."""

    items: list[dict[str, Any]]
    rotation: dict[str, Any]
