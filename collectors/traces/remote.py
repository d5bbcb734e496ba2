"""Trace stores that others run: one HTTP client for them, bounded in time and size."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from collectors.errors import CollectorError
from graph.ports import TraceStoreState

T = TypeVar("T")
TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
MOST_BYTES = 64 * 1024 * 1024
AT_ONCE = 8
"""Requests to one store at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where a trace store is and how to be let in."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
    """Sent as a bearer token."""
    ca_file: str = ""
    """Certificates to trust instead of the system's."""
    timeout_s: float = 15.0
    """For one request."""

    def __post_init__(self) -> None:
        """Refuse what is no address."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CollectorError(
                f"traces.url: {parts.hostname or 'it'} is no http:// or https:// address of a trace store"
            )
        if parts.username or parts.password:
            raise CollectorError(
                "traces.url: write user and password as traces.headers.Authorization, not into the URL"
            )


class Answer:
    """What came back."""

    def __init__(self, status: int, kind: str, body: bytes) -> None:
        self.status = status
        self.kind = kind
        """Its content type."""
        self.body = body

    def json(self) -> Any:
        """Decode; raises :class:`CollectorError`."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as trouble:
            raise CollectorError(f"the trace store's answer is no JSON: {trouble}") from trouble


class RemoteTraces:
    """What stores behind HTTP have in common. Use it as an async context manager."""

    backend = ""
    """How users name it."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._place = f"{self.backend} at {urlsplit(remote.url).netloc}"
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._error = ""

    async def __aenter__(self) -> Self:
        """Make ready; nobody is asked anything yet."""
        context: ssl.SSLContext | bool = True
        if self._remote.ca_file:
            try:
                context = await asyncio.to_thread(ssl.create_default_context, cafile=self._remote.ca_file)
            except (OSError, ssl.SSLError) as trouble:
                raise CollectorError(f"traces.ca_file {self._remote.ca_file}: {trouble}") from trouble
        headers = dict(self._remote.headers)
        if self._remote.token:
            headers["Authorization"] = f"Bearer {self._remote.token}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=self._remote.timeout_s),
            connector=aiohttp.TCPConnector(ssl=context),
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    async def state(self) -> TraceStoreState:
        """Say whether the last question was answered; how full it is only the store itself knows."""
        return TraceStoreState(
            traces=0,
            spans=0,
            bytes=0,
            capacity_bytes=0,
            oldest_ms=0,
            dropped_spans=0,
            backend=self.backend,
            error=self._error,
        )

    async def _get(
        self, *path: str, query: Mapping[str, str] | None = None, accept: str = "application/json"
    ) -> Answer:
        """Ask; raises :class:`CollectorError` unless the answer is a success or "not found"."""
        try:
            answer = await self._asked(path, query or {}, accept)
            self._check(answer)
        except CollectorError as trouble:
            self._error = str(trouble)
            raise
        self._error = ""
        return answer

    def _check(self, answer: Answer) -> None:
        if answer.status not in {200, 404}:
            way_out = "; see traces.token and traces.headers" if answer.status in {401, 403} else ""
            raise CollectorError(f"{self._place} answers {answer.status}: {_sentence(answer)}{way_out}")

    async def _asked(self, path: Sequence[str], query: Mapping[str, str], accept: str) -> Answer:
        assert self._session is not None, "the trace store is not open"
        url = "/".join((self._remote.url.rstrip("/"), *(quote(step, safe="") for step in path)))
        try:
            async with (
                self._turns,
                self._session.get(url, params=query, headers={"Accept": accept}, allow_redirects=False) as answer,
            ):
                body = await answer.content.read(MOST_BYTES + 1)
                while len(body) <= MOST_BYTES and (more := await answer.content.read(MOST_BYTES + 1 - len(body))):
                    body += more
                if len(body) > MOST_BYTES:
                    raise CollectorError(
                        f"{self._place}: the answer is larger than {MOST_BYTES >> 20} MiB; ask for less"
                    )
                return Answer(answer.status, answer.content_type, body)
        except TimeoutError as trouble:
            raise CollectorError(
                f"{self._place} did not answer within {self._remote.timeout_s:g} s; see traces.timeout_s"
            ) from trouble
        except aiohttp.ClientError as trouble:
            raise CollectorError(
                f"{self._place} cannot be reached: {type(trouble).__name__}; see traces.url"
            ) from trouble


def _sentence(answer: Answer) -> str:
    return " ".join(answer.body[:200].decode(errors="replace").split())


async def each(items: Iterable[str], work: Callable[[str], Awaitable[T]]) -> list[T]:
    """Do the same with each item, side by side; the first failure ends them all."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_awaited(work, item)) for item in items]
    except BaseExceptionGroup as troubles:
        raise troubles.exceptions[0] from None
    return [task.result() for task in tasks]


async def _awaited(work: Callable[[str], Awaitable[T]], item: str) -> T:
    return await work(item)
