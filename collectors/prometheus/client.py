"""The query API over HTTP: every query of a tick goes through here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp

from collectors.errors import CollectorError
from collectors.http_pages import unreachable
from collectors.prometheus import answers
from collectors.prometheus.answers import Answer, GarbageError
from collectors.prometheus.breaker import Breaker, RestingError
from collectors.prometheus.config import PrometheusConfig
from graph.ports import Clock

Read = TypeVar("Read")

CHUNK_BYTES = 1 << 20

TOO_MUCH = re.compile(
    r"too many samples|err-mimir-max-|series limit|max-?(unique-?timeseries|samples)|exceeded.*(limit|maximum)"
    r"|the maximum number of",
    re.IGNORECASE,
)
"""How Prometheus, Mimir, Thanos and VictoriaMetrics say that a query reads more than they allow."""

NO_TENANT = re.compile(r"no org id", re.IGNORECASE)

WAYS_OUT = {
    403: "; these credentials may not query it",
    404: "; set url to the path before /api/v1 (Mimir: /prometheus, VictoriaMetrics' cluster: /select/0/prometheus)",
    405: "; it takes no POST: is a read-only proxy in between?",
    429: "; it asks for fewer queries: set a longer interval_s",
}
"""What may help, by HTTP status."""


class QueryError(CollectorError):
    """The server works, and does not answer this query."""


class TooMuchError(QueryError):
    """The query reads, or brings, more than is allowed; a smaller one may be answered."""


class PrometheusClient:
    """Asks one server. What goes wrong is a :class:`CollectorError` that names it and the way out, and no secret."""

    def __init__(self, config: PrometheusConfig, clock: Clock) -> None:
        self.config = config
        self.breaker = Breaker(clock)
        self.bytes = 0
        """Received so far."""
        self.queries = 0
        self._ssl = config.tls(f"source {config.name}") if config.url.startswith("https:") else True
        self._at_once = asyncio.Semaphore(config.at_once)
        self._session: aiohttp.ClientSession | None = None

    async def query(self, expression: str, *, at_ms: int | None = None) -> Answer:
        """Evaluate at an instant of the server's clock; at its present one, unless told."""
        return await self._ask("query", self._instant(expression, at_ms), answers.read_answer)

    async def samples(self, expression: str, *, at_ms: int) -> Answer:
        """Select raw samples by a range up to an instant; their series come as :data:`answers.Sampled`."""
        return await self._ask("query", self._instant(expression, at_ms), answers.read_samples)

    async def query_range(self, expression: str, *, from_ms: int, at_ms: int, step_s: float) -> Answer:
        """Evaluate at every step from one instant to another."""
        form = {"query": expression, "step": f"{step_s:.3f}", "timeout": f"{self.config.timeout_s:g}s"}
        return await self._ask(
            "query_range",
            form | {"start": f"{from_ms / 1000:.3f}", "end": f"{at_ms / 1000:.3f}"},
            answers.read_answer,
        )

    async def series(self, selector: str, *, from_ms: int, at_ms: int, limit: int) -> list[Mapping[str, str]]:
        """Return label sets, ``__name__`` among them. Servers that know no limit send more than that."""
        form = {"match[]": selector, "start": f"{from_ms / 1000:.3f}", "end": f"{at_ms / 1000:.3f}"}
        found = await self._ask("series", form | {"limit": str(limit)}, answers.read_list)
        return [one for one in found[:limit] if isinstance(one, dict)]

    async def configuration(self) -> str:
        """Return its configuration as YAML; ``""`` where it tells none, as Thanos and Mimir, or does not answer."""
        try:
            status, _, body = await self._exchange("GET", "status/config", None)
            return answers.read_configuration(body) if status == 200 else ""
        except (aiohttp.ClientError, OSError, TimeoutError, CollectorError, GarbageError):
            return ""

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def headers(self) -> dict[str, str]:
        """Make the headers of a request; files are read anew."""
        return self.config.request_headers(f"prometheus {self.config.name}")

    def told(self, what: str) -> str:
        """Make a sentence about the server that holds no secret."""
        return f"prometheus {self.config.name} ({self.config.url}) {self.config.without_secrets(what)}"

    def _instant(self, expression: str, at_ms: int | None) -> dict[str, str]:
        form = {"query": expression, "timeout": f"{self.config.timeout_s:g}s"}
        return form if at_ms is None else form | {"time": f"{at_ms / 1000:.3f}"}

    async def _ask(self, path: str, form: Mapping[str, str], read: Callable[[bytes], Read]) -> Read:
        try:
            self.breaker.admit()
        except RestingError as resting:
            raise CollectorError(str(resting)) from None
        try:
            status, kind, body = await self._exchange("POST", path, form)
            if status == 200:
                answer = self._read(kind, body, read)
                self.breaker.succeeded()
                return answer
            raise self._refusal(status, body)
        except QueryError:
            self.breaker.succeeded()
            raise
        except CollectorError as trouble:
            self.breaker.failed(str(trouble))
            raise
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as trouble:
            sentence = self.told(unreachable(trouble, self.config.timeout_s))
            self.breaker.failed(sentence)
            raise CollectorError(sentence) from None
        except asyncio.CancelledError:
            self.breaker.abandoned()
            raise

    async def _exchange(self, method: str, path: str, form: Mapping[str, str] | None) -> tuple[int, str, bytes]:
        async with self._at_once, asyncio.timeout(self.config.timeout_s):
            self.queries += 1
            async with self._connected().request(
                method,
                f"{self.config.url}/api/v1/{path}",
                data=form,
                headers=self.headers(),
                allow_redirects=False,
                ssl=self._ssl,
                server_hostname=self.config.server_name or None,
            ) as answer:
                return answer.status, answer.content_type, await self._body(answer)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        chunks, size = [], 0
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > self.config.most_bytes:
                raise TooMuchError(self.told(f"sends more than {self.config.most_bytes} bytes (most_bytes)"))
        self.bytes += size
        return b"".join(chunks)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            # On the same machine compressing takes longer than sending.
            near = urlsplit(self.config.url).hostname in {"localhost", "127.0.0.1", "::1"}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.config.at_once),
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": "meshscope", "Accept-Encoding": "identity" if near else "gzip"},
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=CHUNK_BYTES,
            )
        return self._session

    def _read(self, kind: str, body: bytes, read: Callable[[bytes], Read]) -> Read:
        try:
            return read(body)
        except GarbageError as wrong:
            raise CollectorError(
                self.told(
                    f"answers something else than the query API does ({kind}: {wrong}); does the url end with the"
                    " path before /api/v1, and is there no login page in between?"
                )
            ) from None

    def _refusal(self, status: int, body: bytes) -> CollectorError:
        said = answers.read_error(body)
        sentence = self.told(f"answered {status}{f': {said}' if said else ''}{self._way_out(status, said)}")
        if status in {400, 413, 422} and not NO_TENANT.search(said):
            return TooMuchError(sentence) if TOO_MUCH.search(said) else QueryError(sentence)
        return CollectorError(sentence)

    def _way_out(self, status: int, said: str) -> str:
        if NO_TENANT.search(said):
            return '; it wants a tenant: set headers = { X-Scope-OrgID = "<tenant>" }'
        if 300 <= status < 400:
            return "; redirects are not followed: set url to where it leads"
        return f"; {self.config.way_in()}" if status == 401 else WAYS_OUT.get(status, "")
