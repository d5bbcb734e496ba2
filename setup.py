"""Build hook: make the Envoy descriptor set and carry the page's assets in the wheel."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # a PEP 517 front end does not add it


class BuildPy(build_py):
    """Editable installs read the descriptor set and the assets from the checkout; wheels carry both."""

    def run(self) -> None:
        from xds_export import export

        if self.editable_mode:
            export(ROOT / "mesh_runtime/xds/envoy.fds")
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)  # or a deleted module lives on in the next wheel
        super().run()
        built = Path(self.build_lib)
        export(built / "mesh_runtime/xds/envoy.fds")
        shutil.copytree(ROOT / "assets", built / "console/assets", ignore=shutil.ignore_patterns("screenshots"))


setup(cmdclass={"build_py": BuildPy})
