"""A host outside the mesh, as the ServiceEntry that declares it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PROTOCOLS: Mapping[str, int] = {"HTTP": 80, "HTTPS": 443, "GRPC": 443, "TLS": 443, "TCP": 9000}
"""What a host may speak, and at which port it usually does."""
LONGEST_NAME = 63


def service_entry(namespace: str, host: str, port: str, protocol: str) -> dict[str, Any]:
    """Write the manifest; whether it is right is for the config API to say."""
    number: int | str = int(port) if port.isascii() and port.isdecimal() else port
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": _name(host), "namespace": namespace or "default"},
        "spec": {
            "hosts": [host],
            "location": "MESH_EXTERNAL",
            # A wildcard has no address of its own to look up.
            "resolution": "NONE" if host.startswith("*") else "DNS",
            "ports": [{"number": number, "name": protocol.lower(), "protocol": protocol}],
        },
    }


def _name(host: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", host.lower().replace("*", "any")).strip("-")
    return plain[:LONGEST_NAME].strip("-") or "host"
