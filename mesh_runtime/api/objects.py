"""Config objects as values: their keys, their parsed form, the whole config at one revision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import BaseModel

V = TypeVar("V")

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
    since: int = field(default=0, compare=False)
    """The revision in which it came to be: of several objects for the same thing the oldest counts, as in Istio."""


class ByKind(Mapping[ObjectKey, V]):
    """Objects, or something about each, kept apart by kind: a kind in which nothing changes stays the same mapping."""

    __slots__ = ("kinds",)

    def __init__(self, kinds: Mapping[str, Mapping[ObjectKey, V]]) -> None:
        self.kinds = kinds

    @classmethod
    def of(cls, items: Mapping[ObjectKey, V]) -> Self:
        """Return items by kind; what is that already, as it is."""
        return items if isinstance(items, cls) else cls({}).changed(items)

    def changed(self, put: Mapping[ObjectKey, V], gone: Iterable[ObjectKey] = ()) -> Self:
        """Return these with others put in, or in their place, and without those that are *gone*."""
        touched = dict.fromkeys(key.kind for key in (*put, *gone))
        kinds = {kind: dict(self.kinds.get(kind, {})) for kind in touched}
        for key, value in put.items():
            kinds[key.kind][key] = value
        for key in gone:
            kinds[key.kind].pop(key, None)
        return type(self)({**self.kinds, **kinds})

    def __getitem__(self, key: ObjectKey) -> V:
        return self.kinds.get(key.kind, {})[key]

    def __iter__(self) -> Iterator[ObjectKey]:
        return chain.from_iterable(self.kinds.values())

    def __len__(self) -> int:
        return sum(map(len, self.kinds.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All config at one revision; immutable."""

    revision: int = 0
    objects: Mapping[ObjectKey, ConfigObject] = field(default_factory=dict)
    changed_in: Mapping[ObjectKey, int] = field(default_factory=dict)
    """The revision that last changed each object."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", ByKind.of(self.objects))
        object.__setattr__(self, "changed_in", ByKind.of(self.changed_in))

    @property
    def kinds(self) -> Mapping[str, Mapping[ObjectKey, ConfigObject]]:
        """The objects of each kind (Istio's, where two APIs share a name)."""
        return ByKind.of(self.objects).kinds

    def of(self, kind: str, namespace: str | None = None) -> Iterator[ConfigObject]:
        """Objects of a kind, by namespace and name."""
        for key, item in sorted(self.kinds.get(kind, {}).items()):
            if namespace is None or key.namespace == namespace:
                yield item

    def after(self, revision: int, put: Mapping[ObjectKey, ConfigObject], gone: Iterable[ObjectKey]) -> Config:
        """Return the config of the next *revision*, which puts some objects in and takes others out."""
        left = tuple(gone)
        known = self.objects
        aged = {key: replace(item, since=known[key].since if key in known else revision) for key, item in put.items()}
        return Config(
            revision=revision,
            objects=ByKind.of(known).changed(aged, left),
            changed_in=ByKind.of(self.changed_in).changed(dict.fromkeys(put, revision), left),
        )
