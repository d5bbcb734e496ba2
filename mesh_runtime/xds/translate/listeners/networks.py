"""Networks of addresses, as requests and tunnels name one of them."""

from __future__ import annotations

from ipaddress import IPv4Network

from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.services import MeshPort, MeshService

_ANY_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"


def addresses_of(network: str) -> str:
    """Return the pattern of the addresses of an IPv4 network."""
    found = IPv4Network(network, strict=False)
    ends = zip(found.network_address.packed, found.broadcast_address.packed, strict=True)
    return r"\.".join(_octets(low, high) for low, high in ends)


def addressed(service: MeshService, port: MeshPort, *, at_port: bool) -> Envoy:
    """Return the header match of what names an address of a service's networks, and a port of it.

    What came in by the port itself (*at_port*) means that one, whichever it names.
    """
    suffix = "(:[0-9]+)?" if at_port else f"(:{port.number})" + "?" * (port is service.default_http_port)
    pattern = f"({'|'.join(map(addresses_of, service.networks))}){suffix}"
    return {"name": ":authority", "string_match": {"safe_regex": {"regex": pattern}}}


def _octets(low: int, high: int) -> str:
    if low == high:
        return str(low)
    return _ANY_OCTET if (low, high) == (0, 255) else f"({'|'.join(map(str, range(low, high + 1)))})"
