"""Config objects as Kubernetes' API serves them and as the bundled mesh keeps them: mappings, whoever checked them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Manifest = Mapping[str, Any]

CORE = ""
ISTIO = "networking.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"


class Object(NamedTuple):
    """One object, taken apart."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Manifest
    status: Manifest


class Objects:
    """Objects by group and kind; what has no name is left out."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self._of: defaultdict[tuple[str, str], list[Object]] = defaultdict(list)
        for manifest in manifests:
            group = str(manifest.get("apiVersion", "")).rpartition("/")[0]
            metadata = part(manifest, "metadata")
            if metadata.get("name"):
                self._of[group, str(manifest.get("kind", ""))].append(
                    Object(
                        str(metadata.get("namespace", "")),
                        str(metadata["name"]),
                        part(metadata, "labels"),
                        part(metadata, "annotations"),
                        part(manifest, "spec"),
                        part(manifest, "status"),
                    )
                )

    def of(self, group: str, kind: str) -> Sequence[Object]:
        """List the objects of a kind by namespace and name, whatever the version of their API."""
        return sorted(self._of.get((group, kind), ()), key=lambda one: (one.namespace, one.name))


def part(manifest: Manifest, name: str) -> Manifest:
    """Return a mapping within a mapping; empty where there is none."""
    found = manifest.get(name)
    return found if isinstance(found, Mapping) else {}


def parts(manifest: Manifest, name: str) -> Iterator[Manifest]:
    """Yield the mappings of a list within a mapping."""
    found = manifest.get(name)
    if isinstance(found, Sequence):
        yield from (one for one in found if isinstance(one, Mapping))


def texts(manifest: Manifest, name: str) -> tuple[str, ...]:
    """Return a list of texts within a mapping."""
    found = manifest.get(name)
    return tuple(map(str, found)) if isinstance(found, Sequence) and not isinstance(found, str) else ()


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Tell whether labels are what a selector wants; an empty selector wants nobody."""
    return bool(selector) and selector.items() <= labels.items()
