"""Patterns of the addresses of networks: each in any way that a URL may write it, and no other address."""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from mesh_runtime.xds.translate.listeners.networks import addresses_of

# Zeros make for many ways of writing: numbers of few bits, at either end.
NUMBERS = st.builds(
    lambda number, keep: number & keep,
    st.integers(0, 2**128 - 1),
    st.sampled_from((2**128 - 1, 0xFFFF << 112, 0xFFFF << 64, 0xFF, 0)),
)


def written(address):
    """Every way to write an IPv6 address, but for zeros before its groups."""
    groups = [f"{int(group, 16):x}" for group in address.exploded.split(":")]
    yield from (address.exploded, address.exploded.upper(), ":".join(groups))
    yield f"{':'.join(groups[:6])}:{IPv4Address(address.packed[-4:])}"
    for left in range(8):
        for right in range(8 - left):
            if set(groups[left : 8 - right]) == {"0"}:
                yield f"{':'.join(groups[:left])}::{':'.join(groups[8 - right :])}"


@given(NUMBERS, st.integers(0, 128), NUMBERS)
def test_an_ipv6_address_of_a_network_is_known_however_it_is_written(number, bits, other):
    network = IPv6Network((number, bits), strict=False)
    pattern = re.compile(addresses_of(str(network)))
    within = IPv6Address(int(network.network_address) | (other & int(network.hostmask)))
    for address in (within, IPv6Address(other)):
        for text in written(address):
            assert bool(pattern.fullmatch(f"[{text}]")) is (address in network)


def test_an_ipv4_address_of_a_network_is_known():
    pattern = re.compile(addresses_of("10.1.0.0/15"))
    known = [
        text for text in ("10.1.2.3", "10.0.255.0", "10.2.0.0", "10.01.2.3", "10.1.2.256") if pattern.fullmatch(text)
    ]
    assert known == ["10.1.2.3", "10.0.255.0"]
