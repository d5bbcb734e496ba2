"""The spec of a config object whose kind is known."""

from __future__ import annotations

from typing import TypeVar

from mesh_runtime.api.objects import ConfigObject

T = TypeVar("T")


def spec_of(item: ConfigObject, kind: type[T]) -> T:
    """Return an object's spec as what it is."""
    assert isinstance(item.spec, kind)
    return item.spec
