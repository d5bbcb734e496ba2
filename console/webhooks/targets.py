"""Where webhooks may go. Decided on the addresses that a name resolves to, at every attempt."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

Address = IPv4Address | IPv6Address

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
    )
)
"""Where clouds hand out credentials."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
RESOLVE_S = 5


class TargetRefusedError(OSError):
    """A webhook's target is out of bounds; the message says why and the way out."""


class Targets:
    """The rule. *allow_private*: host names, addresses or networks."""

    def __init__(self, allow_private: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in allow_private:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._names.add(entry.lower().rstrip("."))

    def judge(self, host: str, address: str, *, encrypted: bool) -> None:
        """Raise :class:`TargetRefusedError` unless this address may be delivered to."""
        plain = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
        if plain in METADATA or plain.is_link_local or plain.is_multicast or plain.is_unspecified:
            raise TargetRefusedError(
                f"{host} is {plain}: link-local, metadata and multicast addresses are never delivered to"
            )
        listed = host.lower().rstrip(".") in self._names or any(plain in network for network in self._networks)
        if listed:
            return
        if not plain.is_global or plain.is_reserved:
            raise TargetRefusedError(f"{host} is {plain}, a private address; list it in webhooks.allow_private")
        if not encrypted:
            raise TargetRefusedError(
                f"{host} would get this unencrypted; use https, or list it in webhooks.allow_private"
            )

    def judge_url(self, url: URL) -> None:
        """Judge what can be judged before resolving: the scheme, and a host that is an address."""
        if url.scheme not in ("http", "https") or not url.host or url.user:
            raise TargetRefusedError(f"{url.with_user(None).with_query(None)} is not an http or https URL without user")
        try:
            ipaddress.ip_address(url.host.partition("%")[0])
        except ValueError:
            return
        self.judge(url.host, url.host, encrypted=url.scheme == "https")


class GuardedResolver(AbstractResolver):
    """Resolves names for one scheme and refuses them unless every address is allowed.

    The connection goes to the addresses returned, so a second, different answer of the name server
    (rebinding) is never asked for.
    """

    def __init__(self, targets: Targets, *, encrypted: bool) -> None:
        self._targets = targets
        self._encrypted = encrypted
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve and judge."""
        async with asyncio.timeout(RESOLVE_S):
            found = await self._resolver.resolve(host, port, family)
        for result in found:
            self._targets.judge(host, result["host"], encrypted=self._encrypted)
        return found

    async def close(self) -> None:
        """Nothing to give back."""
        await self._resolver.close()


def _unwrapped(address: Address) -> Address:
    """Find the IPv4 address inside a mapped, 6to4, Teredo or NAT64 one."""
    if isinstance(address, IPv6Address):
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        return inner or address
    return address
