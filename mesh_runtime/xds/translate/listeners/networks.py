"""Networks of addresses, as requests and tunnels name one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.services import MeshPort, MeshService

_ANY_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ANY_GROUP = "[0-9a-f]{1,4}"
_HEX = "0123456789abcdef"
_GROUPS = 8


def addresses_of(network: str) -> str:
    """Return the pattern of the addresses of a network as a URL names them, each in any way it can be written."""
    found = ip_network(network, strict=False)
    if isinstance(found, IPv4Network):
        return _dotted(found.network_address.packed, found.broadcast_address.packed)
    return rf"\[(?i:{'|'.join(_written(found))})\]"


def addressed(service: MeshService, port: MeshPort, *, at_port: bool) -> Envoy:
    """Return the header match of what names an address of a service's networks, and a port of it.

    What came in by the port itself (*at_port*) means that one, whichever it names.
    """
    suffix = "(:[0-9]+)?" if at_port else f"(:{port.number})" + "?" * (port is service.default_http_port)
    pattern = f"({'|'.join(map(addresses_of, service.networks))}){suffix}"
    return {"name": ":authority", "string_match": {"safe_regex": {"regex": pattern}}}


def _dotted(first: bytes, last: bytes) -> str:
    return r"\.".join(map(_octets, first, last))


def _octets(low: int, high: int) -> str:
    if low == high:
        return str(low)
    return _ANY_OCTET if (low, high) == (0, 255) else f"({'|'.join(map(str, range(low, high + 1)))})"


def _written(network: IPv6Network) -> Iterator[str]:
    """Yield patterns of an IPv6 network's addresses: with all groups, and with ``::`` wherever zeros may be."""
    first, last = network.network_address, network.broadcast_address
    lows, highs = _numbers(first), _numbers(last)
    groups = list(map(_group, lows, highs))
    end = f"({groups[-2]}:{groups[-1]}|{_dotted(first.packed[-4:], last.packed[-4:])})"
    yield ":".join([*groups[:-2], end])
    for left in range(_GROUPS):
        for right in range(_GROUPS - left):
            if not any(lows[left : _GROUPS - right]):
                yield f"{':'.join(groups[:left])}::{':'.join(_last(groups, right, end))}"


def _numbers(address: IPv6Address) -> Sequence[int]:
    return [int(group, 16) for group in address.exploded.split(":")]


def _last(groups: Sequence[str], count: int, end: str) -> Sequence[str]:
    """Return the last groups; two of them may be written as an IPv4 address, which *end* allows for."""
    return groups[_GROUPS - count :] if count < 2 else [*groups[_GROUPS - count : -2], end]


def _group(low: int, high: int) -> str:
    """Return the pattern of a group of 16 bits, without zeros before it or with some."""
    if (low, high) == (0, 0xFFFF):
        return _ANY_GROUP
    first, last = f"{low:04x}", f"{high:04x}"
    digits = [f"[{_HEX[int(a, 16) : int(b, 16) + 1]}]" for a, b in zip(first, last, strict=True)]
    zeros = len(first) - len(first.lstrip("0"))
    return f"({'|'.join(''.join(digits[begin:]) for begin in range(min(zeros, 3) + 1))})"
