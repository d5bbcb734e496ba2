"""One cluster's API server: requests, and changes as they come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient

from collectors.errors import CollectorError
from collectors.kubernetes.config import ClusterConfig
from collectors.kubernetes.credentials import client_of

WATCH_S = 300.0
"""How long the server is asked to keep a watch open. Clients end them at different times."""
GRACE_S = 15.0
"""A watch that is open for so much longer is dead."""
UNAUTHORIZED = 401
SHOWN = 300
"""Most characters of an answer in an error text."""

JsonObject = dict[str, Any]


class ApiError(CollectorError):
    """The API server refuses."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status
        """HTTP's; 0: it could not be reached, or made no sense."""

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed later, with credentials that are renewed, too."""
        return self.status in {0, UNAUTHORIZED, 429} or self.status >= 500


class Change(NamedTuple):
    """One line of a watch."""

    type: str
    """``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``."""
    object: JsonObject


class KubernetesApi:
    """Speaks to the API server through the official client's transport and credentials.

    The client's own ``Watch`` is not used: it resumes a watch at a version that the server has just called gone, and
    knows one function per kind, where we read whatever kinds there are. Every failure is an :class:`ApiError`.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.server = ""
        """Its address; empty before the first request."""
        self._lent: _Lent | None = None
        self._connecting = asyncio.Lock()

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: JsonObject | None = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        """Send one request, and return what it is answered. The body goes as JSON, which is YAML, too."""
        timeout = aiohttp.ClientTimeout(total=self.config.timeout_s)
        async with self._answer(method, path, query or {}, timeout, body=body, content_type=content_type) as response:
            return _decoded(await response.read())

    @asynccontextmanager
    async def watch(self, path: str, version: str) -> AsyncIterator[AsyncIterator[Change]]:
        """Watch what changes after a version, until the server has enough of it; entered once it has agreed."""
        last_s = random.uniform(WATCH_S, 1.2 * WATCH_S)  # noqa: S311 - no secret
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": f"{last_s:.0f}",
        }
        timeout = aiohttp.ClientTimeout(total=last_s + GRACE_S, sock_connect=self.config.timeout_s)
        async with self._answer("GET", path, query, timeout) as response, aclosing(_changes(response, path)) as changes:
            yield changes

    async def close(self) -> None:
        """End all connections, once nobody asks anything any more."""
        lent, self._lent = self._lent, None
        if lent is not None:
            await lent.client.close()

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
        *,
        body: JsonObject | None = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._client() as lent:
            try:
                request = await lent.client.param_serialize(
                    method,
                    path,
                    query_params=list(query.items()),
                    header_params={"Accept": "application/json", "Content-Type": content_type},
                    body=body,
                    auth_settings=["BearerToken"],
                )
                answer = await lent.client.call_api(*request, _request_timeout=timeout)
                async with answer.response as response:
                    if response.status == UNAUTHORIZED and lent is self._lent:
                        self._lent = None  # the next request reads the credentials anew
                    if not response.ok:
                        raise _refusal(_status(await response.read()), response.status, path)
                    yield response
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as trouble:
                raise ApiError(f"{self.server} does not answer: {_reason(trouble)[:SHOWN]}", 0) from trouble

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[_Lent]:
        """Lend the client; one whose credentials were refused is closed when the last one gives it back."""
        async with self._connecting:
            if self._lent is None:
                self._lent = _Lent(await client_of(self.config))
                self.server = str(self._lent.client.configuration.host)
            lent = self._lent
        lent.users += 1
        try:
            yield lent
        finally:
            lent.users -= 1
            if lent is not self._lent and not lent.users:
                await lent.client.close()


@dataclass(slots=True)
class _Lent:
    """A client, and how many use it."""

    client: ApiClient
    users: int = 0


async def _changes(response: aiohttp.ClientResponse, path: str) -> AsyncGenerator[Change]:
    async for line in response.content:
        event = _decoded(line)
        if event["type"] == "ERROR":
            raise _refusal(event["object"], int(event["object"].get("code", 0)), path)
        yield Change(event["type"], event["object"])


def _reason(trouble: Exception) -> str:
    """Say why there is no answer; of a certificate what is wrong with it, and the way out."""
    if isinstance(trouble, aiohttp.ClientConnectorCertificateError):
        verdict = getattr(trouble.certificate_error, "verify_message", str(trouble.certificate_error))
        return f"its certificate cannot be trusted: {verdict}; have it renewed, or name who signed it as its authority"
    return str(trouble) or type(trouble).__name__


def _decoded(line: bytes) -> JsonObject:
    decoded: JsonObject = orjson.loads(line)
    return decoded


def _status(body: bytes) -> JsonObject:
    """Read the ``Status`` of a refusal; proxies on the way write what they like."""
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    return status if isinstance(status, dict) else {"message": body.decode(errors="replace")}


def _refusal(status: JsonObject, code: int, path: str) -> ApiError:
    way_out = "; renew the credentials" if code == UNAUTHORIZED else ""
    return ApiError(f"{path} is answered {code}: {str(status.get('message', ''))[:SHOWN].strip()}{way_out}", code)
