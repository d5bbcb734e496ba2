"""Logs: search, who has them, and what is written now."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import Depends, Query, WebSocket
from starlette.responses import Response, StreamingResponse

from collectors.logs.lines import trace_id_of
from collectors.logs.matching import matcher
from console.context import Console
from console.web.answers import logs as answers
from console.web.api.common import Here, also, instant, rfc3339, router
from console.web.api.live import NDJSON, Messages, as_lines, over_websocket
from console.web.errors import Invalid, Json
from graph.ports import LogLine, LogNews, LogPage, LogQuery, LogSource

api = router("logs")

Word = Annotated[str, Query(max_length=300)]
Instant = Annotated[str, Query(max_length=40)]
Lines = Annotated[int, Query(ge=1, le=10_000)]


def query_of(
    here: Here,
    *,
    namespace: Word = "",
    workload: Word = "",
    instance: Word = "",
    source: Word = "",
    grep: Annotated[str, Query(max_length=1000)] = "",
    regex: Annotated[str, Query(max_length=1000)] = "",
    level: Word = "",
    trace: Word = "",
    since: Instant = "",
) -> LogQuery:
    """Read what a reader wants."""
    query = LogQuery(
        namespace=namespace,
        workload=workload,
        instance=instance,
        sources=_sources(source),
        text=grep,
        pattern=regex,
        level=level.lower(),
        trace_id=_trace(trace),
        since_ms=instant(since, here.clock.now_ms()) if since else 0,
    )
    try:
        matcher(query)
    except ValueError as trouble:
        raise Invalid(str(trouble)) from trouble
    return query


Wanted = Annotated[LogQuery, Depends(query_of)]


@api.get("/logs", response_model=answers.Logs)
async def search(here: Here, query: Wanted, *, until: Instant = "", limit: Lines = 500) -> Response:
    """Find the newest lines that match, ordered by time; empty parameters do not restrict.

    ``workload`` is a workload or an app, ``source`` a list of ``output``, ``proxy``, ``access``, ``otlp``, ``grep`` a
    text in whatever case, ``level`` the least one, ``trace`` a trace's id.
    """
    until_ms = instant(until, here.clock.now_ms()) if until else 0
    page = await here.logs.search(replace(query, until_ms=until_ms, limit=limit))
    return Json(
        {
            "items": [line_json(line) for line in page.lines],
            "complete": page.complete,
            "reached": rfc3339(page.reached_ms),
            "store": asdict(await here.logs.state()),
        }
    )


@api.get("/logs/workloads", response_model=answers.LoggingWorkloads)
async def workloads(here: Here) -> Response:
    """List who has logs, and of which kind."""
    return Json(
        {
            "items": [{**ref._asdict(), "sources": sources} for ref, sources in (await here.logs.workloads()).items()],
        }
    )


@api.get("/logs/follow", response_class=StreamingResponse, responses=also(NDJSON))
async def follow(here: Here, query: Wanted, *, limit: Annotated[int, Query(ge=0, le=10_000)] = 10) -> Response:
    """Stream lines as NDJSON: the last ``limit`` ones, then each as it is written.

    A line is ``{"type": "line", …}``; ``{"type": "missed", "count": n}`` says that the reader was too slow for some.
    Empty lines are signs of life.
    """
    query = replace(query, limit=max(1, limit))
    news = here.logs.follow(query)
    return await as_lines(news, _messages(here, query, news, before=limit > 0))


@api.websocket("/logs/live")
async def live(websocket: WebSocket, here: Here, query: Wanted) -> None:
    """Send each line as it is written, in the same messages."""
    news = here.logs.follow(query)
    await over_websocket(websocket, news, _messages(here, query, news, before=False))


async def _messages(here: Console, query: LogQuery, news: AsyncGenerator[LogNews, None], *, before: bool) -> Messages:
    try:
        page = await here.logs.search(query) if before else LogPage(lines=())
        known = {_identity(line) for line in page.lines}
        for line in page.lines:
            yield {"type": "line", **line_json(line)}
        async for one in news:
            if one.missed:
                yield {"type": "missed", "count": one.missed}
            for line in one.lines:
                if _identity(line) not in known:
                    yield {"type": "line", **line_json(line)}
            if not one.lines:
                known.clear()
                yield None
    finally:
        await news.aclose()


def line_json(line: LogLine) -> dict[str, Any]:
    """Write a line for programs."""
    return {
        "at": rfc3339(line.at_ns // 1_000_000),
        "atNs": str(line.at_ns),
        "level": line.level,
        "source": line.source.value,
        "text": line.text,
        **line.workload._asdict(),
        "instance": line.instance,
        "traceId": line.trace_id,
        "spanId": line.span_id,
        "attributes": dict(line.attributes),
    }


def _identity(line: LogLine) -> tuple[int, str, str]:
    return line.at_ns, line.instance, line.text


def _sources(text: str) -> frozenset[LogSource]:
    try:
        return frozenset(LogSource(one.strip()) for one in text.split(",") if one.strip())
    except ValueError as trouble:
        raise Invalid(f"{text[:60]!r}: sources are {', '.join(LogSource)}") from trouble


def _trace(text: str) -> str:
    found = trace_id_of(text.zfill(16) if len(text) < 16 else text.zfill(32)) if text else ""
    if text and not found:
        raise Invalid(f"{text[:60]!r} is no trace id: up to 32 hexadecimal digits")
    return found
