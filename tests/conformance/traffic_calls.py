"""Calls as an application or a visitor of a gateway would make them, and what comes back."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import grpc

from tests.conformance.echo_apps import DIAL
from tests.conformance.traffic_mesh import GATEWAY, TrafficMesh

MAX_REDIRECTS = 5
TIMEOUT_S = 5
_RAW = frozenset({"tcp", "tls", "https"})
"""What a sidecar sees as bytes. Services share the addresses of this host, and so cannot share such ports' numbers."""
_GRPC_METHOD = "/proto.EchoTestService/Echo"


@dataclass
class Reply:
    """The answer to one call."""

    status: int = 0
    """0: there was none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, Any] = field(default_factory=dict)
    """The request as the application saw it; empty: it did not."""
    grpc_status: str = ""
    error: str = ""


class Caller:
    """Makes the calls of cases."""

    def __init__(self, traffic: TrafficMesh) -> None:
        self._traffic = traffic
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    async def call(self, described: Mapping[str, Any]) -> list[Reply]:
        """Make a call as often as it says."""
        return [await self._once(described) for _ in range(described["count"])]

    async def _once(self, described: Mapping[str, Any]) -> Reply:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._by_scheme(described)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Reply(error=f"{type(error).__name__} {error}".strip())

    async def _by_scheme(self, described: Mapping[str, Any]) -> Reply:
        target = self._target(described, described["port"])
        if target is None:
            return Reply(error=f"nobody listens for port {described['port']}")
        scheme, host = described["scheme"], self._host(described)
        if scheme == "grpc":
            return await _grpc(target, host)
        if scheme in {"tcp", "tls"}:
            return await self._tcp(target, host if scheme == "tls" else None)
        path = described["path"]
        for _ in range(MAX_REDIRECTS):
            reply = await self._http(described, scheme, target, host, path)
            location = reply.headers.get("location", "")
            if not described.get("follow_redirects") or not 300 <= reply.status < 400 or not location:
                break
            scheme, host, path, port = _followed(location, scheme, host, target[1], described["port"])
            target = self._target(described, port) or target
        return reply

    def _target(self, described: Mapping[str, Any], port: int) -> tuple[str, int] | None:
        if described.get("via") or described["from"] == GATEWAY:
            return self._traffic.gateway(port)
        if described["scheme"] in _RAW and "to" in described:
            service = f"{described['to']}.{self._traffic.namespace}.svc.cluster.local"
            return self._traffic.raw(described["from"], service, port)
        return self._traffic.dialled(described["from"], port)

    def _host(self, described: Mapping[str, Any]) -> str:
        host: str = described["host"]
        if host.startswith("<pod-ip:"):
            app, _, rest = host.removeprefix("<pod-ip:").partition(">")
            return self._traffic.address(app) + rest
        return host

    async def _http(
        self, described: Mapping[str, Any], scheme: str, target: tuple[str, int], host: str, path: str
    ) -> Reply:
        headers = {**described.get("headers", {}), "Host": host}
        tls = scheme == "https"
        if described.get("http2"):
            address, port = target
            headers[DIAL] = f"{address}:{port}"
            target = ("127.0.0.1", self._traffic.echo.client["https2" if tls else "http2"])
        secured = tls and not described.get("http2")
        options: dict[str, Any] = {"ssl": self._tls, "server_hostname": host.partition(":")[0]} if secured else {}
        url = f"{'https' if secured else 'http'}://{target[0]}:{target[1]}{path}"
        http = self._traffic.mesh.http
        async with http.request(
            described["method"],
            url,
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=("User-Agent",),
            **options,
        ) as answer:
            lower = {name.lower(): value for name, value in answer.headers.items()}
            text = await answer.text()
            seen = _seen(text)
            return Reply(status=answer.status, headers=lower, seen=seen, error="" if seen else text[:160].strip())

    async def _tcp(self, target: tuple[str, int], sni: str | None) -> Reply:
        options: dict[str, Any] = {"ssl": self._tls, "server_hostname": sni} if sni else {}
        reader, writer = await asyncio.open_connection(*target, **options)
        writer.write(b"ping\n")
        found = b""
        while b"ping" not in found and (more := await reader.read(4096)):
            found += more
        writer.close()
        return Reply(status=200 if b"ping" in found else 0, error="" if found else "closed without an answer")


async def _grpc(target: tuple[str, int], host: str) -> Reply:
    options = [("grpc.default_authority", host), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(f"{target[0]}:{target[1]}", options=options) as channel:
        try:
            answer = await channel.unary_unary(_GRPC_METHOD)(b"", timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return Reply(grpc_status=_words(error.code().name), error=error.details() or "")
    return Reply(status=200, grpc_status="ok", seen=_seen(answer))


def same_code(one: str, other: str) -> bool:
    """Compare two spellings of a gRPC code, such as ``Unavailable`` and ``UNAVAILABLE``."""
    return _words(one) == _words(other)


def _words(code: str) -> str:
    return code.lower().replace("_", "").replace("cancelled", "canceled")


def _seen(text: str | bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "app" in found else {}


def _followed(location: str, scheme: str, host: str, bound: int, port: int) -> tuple[str, str, str, int]:
    """Return scheme, host, path and port of what a redirect leads to."""
    to = urlsplit(location)
    path = (to.path or "/") + (f"?{to.query}" if to.query else "")
    if not to.netloc:
        return scheme, host, path, port
    default = 443 if to.scheme == "https" else 80
    there = to.port or default
    return to.scheme, to.netloc, path, port if there == bound else there
