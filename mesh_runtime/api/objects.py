"""Config objects as values: their keys, their parsed form, the whole config at one revision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel

ROOT_NAMESPACE = "istio-system"
TRUST_DOMAIN = "cluster.local"
DOMAIN = "cluster.local"
CLUSTER = "Kubernetes"


class ObjectKey(NamedTuple):
    """Identifies an object. ``group`` is ``""`` for core kinds; ``namespace`` is ``""`` for Namespaces."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"


class Problem(NamedTuple):
    """One reason to refuse: which object, where in it, what is wrong, and the way out."""

    object: str
    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        where = f" {self.path}" if self.path else ""
        way_out = f"; {self.fix}" if self.fix else ""
        return f"{self.object}{where}: {self.message}{way_out}"


class ConfigError(Exception):
    """The config was refused as a whole; nothing was changed."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigObject:
    """One valid object: the manifest in canonical form, and its spec parsed and defaulted."""

    key: ObjectKey
    api_version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: BaseModel
    manifest: Mapping[str, Any] = field(repr=False)
    """Canonical: fixed key order, no server fields, nothing defaulted; what ``get -o yaml`` prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All config at one revision; immutable."""

    revision: int = 0
    objects: Mapping[ObjectKey, ConfigObject] = field(default_factory=dict)
    changed_in: Mapping[ObjectKey, int] = field(default_factory=dict)
    """The revision that last changed each object."""

    def of(self, kind: str, namespace: str | None = None) -> Iterator[ConfigObject]:
        """Objects of a kind (Istio's, where two APIs share a name), by namespace and name."""
        for key in sorted(key for key in self.objects if key.kind == kind):
            if namespace is None or key.namespace == namespace:
                yield self.objects[key]
