"""Where issuers of tokens keep their keys, asked of themselves: OpenID Connect Discovery 1.0.

Proxies fetch keys, but cannot ask where they are; the control plane does that for them, as Istio's does.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from mesh_runtime.api.objects import Config
from mesh_runtime.api.security import RequestAuthentication
from mesh_runtime.api.security.request import Issuer, keys_address
from mesh_runtime.pauses import growing

log = logging.getLogger(__name__)

Places = Callable[[str, int], Sequence[tuple[str, int]]]
"""Where a host and port of the mesh are answered for, by address; nothing: it is none of the mesh's."""

CONFIGURATION: Final = "/.well-known/openid-configuration"
REFRESH_S: Final = 20 * 60.0
"""As Istio's ``PILOT_JWT_PUB_KEY_REFRESH_INTERVAL``."""
RETRY_S: Final = 1.0
RETRY_MOST_S: Final = 60.0
TIMEOUT_S: Final = 5.0
"""Istio's, where a rule has none of its own."""
START_S: Final = 5.0
"""How long proxies are kept at what they have by a server that starts and does not know yet where keys are."""
_MOST_BYTES: Final = 1 << 20


class DiscoveryError(Exception):
    """An issuer does not say where its keys are; the message is about it."""


class Issuers:
    """Keeps asking the issuers whose keys config does not have, and says when an answer is new."""

    def __init__(self, places: Places, changed: Callable[[], None]) -> None:
        self.known: Mapping[str, Issuer] = {}
        """What issuers said, by name; a new mapping with each change."""
        self._places = places
        self._changed = changed
        self._wanted: Mapping[str, float] = {}
        self._asked = asyncio.Event()

    async def run(self, configs: AsyncIterator[Config]) -> None:
        """Ask until cancelled: whom the newest config names, at once and again and again."""
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(self._places), use_dns_cache=False, force_close=True, socket_factory=_socket
        )
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            asking: dict[tuple[str, float], asyncio.Task[None]] = {}
            async for config in configs:
                self._want(_named(config))
                for question in asking.keys() - self._wanted.items():
                    asking.pop(question).cancel()
                for name, timeout_s in self._wanted.items() - asking.keys():
                    asking[name, timeout_s] = group.create_task(self._follow(session, name, timeout_s))

    async def asked(self) -> None:
        """Wait, for :data:`START_S` at most, until each issuer has been asked once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._asked.wait()

    def _want(self, wanted: Mapping[str, float]) -> None:
        self._wanted = wanted
        self._learn({name: issuer for name, issuer in self.known.items() if name in wanted})

    def _learn(self, known: Mapping[str, Issuer]) -> None:
        if known.keys() == self._wanted.keys():
            self._asked.set()
        if known != self.known:
            self.known = known
            self._changed()

    async def _follow(self, session: aiohttp.ClientSession, name: str, timeout_s: float) -> None:
        pauses = growing(RETRY_S, RETRY_MOST_S)
        while True:
            issuer = await _ask(session, name, timeout_s)
            if issuer.trouble:
                log.warning("keys not found", extra={"issuer": name, "reason": issuer.trouble})
            else:
                pauses = growing(RETRY_S, RETRY_MOST_S)
            before = self.known.get(name, issuer)
            # What was once said holds until something else is.
            self._learn({**self.known, name: before if issuer.trouble and before.keys_uri else issuer})
            await asyncio.sleep(next(pauses) if issuer.trouble else REFRESH_S)


def _named(config: Config) -> dict[str, float]:
    """Return the issuers that must be asked, and how long each may take to answer."""
    specs = (item.spec for item in config.of("RequestAuthentication"))
    rules = (rule for spec in specs if isinstance(spec, RequestAuthentication) for rule in spec.jwt_rules)
    found: dict[str, float] = {}
    for rule in rules:
        if rule.is_discovered:
            timeout_s = rule.timeout.seconds if rule.timeout else TIMEOUT_S
            found[rule.issuer] = max(timeout_s, found.get(rule.issuer, 0.0))
    return found


async def _ask(session: aiohttp.ClientSession, name: str, timeout_s: float) -> Issuer:
    url = f"{name.removesuffix('/')}{CONFIGURATION}"
    if keys_address(url) is None:
        return Issuer(name, trouble="it is not an http or https address that could be asked for its keys")
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=timeout_s)) as answer:
            return Issuer(name, keys_uri=_keys_uri(answer.status, await _body(answer)))
    except DiscoveryError as trouble:
        return Issuer(name, trouble=f"{url} {trouble}")
    except (aiohttp.ClientError, OSError, TimeoutError) as trouble:
        return Issuer(name, trouble=f"{url} cannot be read: {trouble or f'no answer within {timeout_s:g} s'}")


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    try:
        await answer.content.readexactly(_MOST_BYTES)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    raise DiscoveryError(f"answers with more than {_MOST_BYTES} bytes")


def _keys_uri(status: int, body: bytes) -> str:
    if not 200 <= status < 300:
        raise DiscoveryError(f"answers with status {status}")
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise DiscoveryError("answers with something that is not JSON") from None
    uri = said.get("jwks_uri") if isinstance(said, dict) else None
    if not isinstance(uri, str) or keys_address(uri) is None:
        raise DiscoveryError("has no jwks_uri that is an http or https address")
    return uri


def _socket(info: tuple[Any, ...]) -> socket.socket:
    """Make a socket for an address; none for those at which clouds tell machines their secrets, as in Istio."""
    family, kind, protocol, _, (host, *_) = info
    address = ip_address(host)
    if (getattr(address, "ipv4_mapped", None) or address).is_link_local:
        raise OSError(errno.EACCES, f"{address} is a link-local address, where no issuer may be")
    return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """Finds hosts of the mesh where their workloads are, and all others by DNS."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._dns = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        places = self._places(host, port)
        if not places:
            return await self._dns.resolve(host, port, family)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=number,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address, number in places
        ]

    async def close(self) -> None:
        await self._dns.close()
