"""What a user wants of the mesh, in words that no mesh owns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mesh_runtime.api.objects import ObjectKey

MESH = "mesh"
"""Stands for all sidecars where a gateway could be named; Istio's word."""

_SUBSET = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", re.ASCII)


class WizardError(Exception):
    """A wizard could not do it; nothing was changed."""


class InvalidIntentError(WizardError):
    """An intent that makes no sense; ``field`` says where."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.field = where


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Requests for a service are shared among its subsets, in percent.

    Only requests that no more special rule has taken. Subsets that are left out get nothing.
    """

    label: ClassVar[str] = "traffic shifting"

    namespace: str
    service: str
    """The Service's short name."""
    weights: Mapping[str, int]
    """Subset to percent; 100 in total."""
    gateway: str = MESH
    """Whose requests: ``mesh`` for the sidecars', or ``namespace/name`` of a Gateway."""
    versions: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The ``version`` label of subsets that do not exist yet, where it differs from the subset's name."""

    def __post_init__(self) -> None:
        for name in ("namespace", "service"):
            if not _SUBSET.fullmatch(getattr(self, name)):
                raise InvalidIntentError(name, f"{getattr(self, name)!r} is not a name")
        if self.gateway != MESH and "/" not in self.gateway:
            object.__setattr__(self, "gateway", f"{self.namespace}/{self.gateway}")
        for subset, weight in self.weights.items():
            if not _SUBSET.fullmatch(subset):
                raise InvalidIntentError(f"weights.{subset}", "a subset's name has lower-case letters, digits and '-'")
            if isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= 100:
                raise InvalidIntentError(f"weights.{subset}", f"{weight!r} is not a percentage from 0 to 100")
        for subset, version in self.versions.items():
            if not _LABEL.fullmatch(version):
                raise InvalidIntentError(f"versions.{subset}", f"{version!r} is not a label's value")
        total = sum(self.weights.values())
        if total != 100:
            raise InvalidIntentError("weights", f"add up to {total}, not 100")

    def weight(self, subset: str) -> int:
        """Give a subset's share in percent; 0 for one that is not mentioned."""
        return self.weights.get(subset, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsplit:
    """Nothing shares the requests out: every instance of the service may get any of them."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """There is config that a wizard cannot express. It is left alone."""

    reason: str
    object: ObjectKey | None = None


Reading = Split | Unsplit | Foreign
"""What the live config says about a split."""


def share(total: int, parts: Mapping[str, float]) -> dict[str, int]:
    """Share out whole percents in proportion to the parts (evenly where all are 0); the sum is exactly *total*."""
    if not parts:
        return {}
    whole = sum(parts.values())
    exact = {name: total * (part / whole if whole else 1 / len(parts)) for name, part in parts.items()}
    shares = {name: int(value) for name, value in exact.items()}
    rest = total - sum(shares.values())
    for name in sorted(exact, key=lambda name: (shares[name] - exact[name], name))[:rest]:
        shares[name] += 1
    return shares
