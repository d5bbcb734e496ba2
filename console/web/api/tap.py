"""The tap: the newest requests of each edge, and a live stream of them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Query, WebSocket
from starlette.responses import Response

from collectors.als.tap import TappedRequest, TapQuery
from collectors.logs.feed import Batch
from console.context import Console
from console.web.answers import logs as answers
from console.web.api.common import Here, also, rfc3339, router
from console.web.api.live import NDJSON, Messages, as_lines, over_websocket
from console.web.errors import Invalid, Json
from graph.model import WorkloadRef
from mesh_runtime.api.objects import ROOT_NAMESPACE

api = router("tap")

STATUS = re.compile(r"([0-9]{1,3}|[1-5][xX]{2})(,([0-9]{1,3}|[1-5][xX]{2}))*")
MANIFEST = """\
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: meshscope-tap, namespace: {namespace}}}
spec:
  accessLogging:
  - providers: [{{name: envoy}}]
    match: {{mode: CLIENT}}
"""

Word = Annotated[str, Query(max_length=300)]


def query_of(
    *,
    namespace: Word = "",
    source: Word = "",
    target: Word = "",
    path: Word = "",
    method: Annotated[str, Query(max_length=20)] = "",
    status: Annotated[str, Query(max_length=40)] = "",
    errors: bool = False,
    min_ms: Annotated[float, Query(ge=0, le=1e9, alias="minMs")] = 0,
) -> TapQuery:
    """Read what a reader wants; empty parameters do not restrict.

    ``source`` and ``target`` are a workload, an app or a service, with ``.namespace`` where that is wanted; ``path`` is a
    prefix or a pattern with ``*``; ``status`` is ``503``, ``5xx`` or a list of them.
    """
    if status and not STATUS.fullmatch(status):
        raise Invalid(f"{status!r} is no status; write 503, 5xx, or several with commas")
    return TapQuery(
        namespace=namespace,
        source=source,
        target=target,
        path=path,
        method=method,
        status=status,
        errors_only=errors,
        min_duration_ms=min_ms,
    )


Wanted = Annotated[TapQuery, Depends(query_of)]


@api.get("/tap", response_model=answers.Tapped, responses=also(NDJSON))
async def tap(
    here: Here,
    query: Wanted,
    *,
    follow: bool = False,
    switch: bool = True,
    limit: Annotated[int, Query(ge=0, le=10_000)] = 200,
) -> Response:
    """Return the newest requests that match, ordered by time, and how to have proxies tell where none do.

    With ``follow`` a stream of NDJSON: ``{"type": "request", …}`` for each, and ``{"type": "missed", "count": n}`` where
    the reader was too slow. As long as it is read, the proxies concerned log access by a Telemetry of the console's own;
    ``{"type": "hint", …}`` says why some do not. Without ``switch`` nothing is written, and the hint says what to apply.
    Empty lines are signs of life.
    """
    if not follow:
        recent = here.tap.recent(query, limit)
        return Json(
            {"items": [request_json(one) for one in recent], "state": asdict(here.tap.state), "hint": hint(here, query)}
        )
    news = here.tap.watch(query)
    return await as_lines(news, _watched(here, query, _messages(here, query, news, limit), switch=switch))


@api.websocket("/tap/live")
async def live(websocket: WebSocket, here: Here, query: Wanted, *, switch: bool = True) -> None:
    """Send the same messages over a WebSocket, without the signs of life."""
    news = here.tap.watch(query)
    await over_websocket(websocket, news, _watched(here, query, _messages(here, query, news, 0), switch=switch))


def request_json(request: TappedRequest) -> dict[str, Any]:
    """Write a request for programs."""
    return {
        "at": rfc3339(request.at_ns // 1_000_000),
        "atNs": str(request.at_ns),
        "source": _end(request.source),
        "target": _end(request.target),
        "service": request.service._asdict() if request.service else None,
        "reporter": request.reporter,
        "protocol": request.protocol.value,
        "method": request.method,
        "path": request.path,
        "authority": request.authority,
        "code": request.code,
        "grpc": request.grpc,
        "flags": request.flags,
        "details": request.details,
        "durationMs": request.duration_ms,
        "receivedBytes": request.received,
        "sentBytes": request.sent,
        "requestId": request.request_id,
        "traceId": request.trace_id,
        "userAgent": request.user_agent,
        "failed": request.failed,
    }


def hint(here: Console, query: TapQuery) -> dict[str, str] | None:
    """Say what to apply where no proxy of the bundled mesh is told to log; ``None``: some are."""
    namespaces = sorted({one.namespace for one in here.registry.current.instances.values()})
    wanted = [query.namespace] if query.namespace in namespaces else namespaces
    silent = [one for one in wanted if not _logs_access(here, one)]
    if not silent:
        return None
    namespace = silent[0] if len(silent) == 1 or query.namespace else ROOT_NAMESPACE
    taken = _wide(here, namespace)
    message = f"no proxy in {', '.join(silent)} logs access yet; apply this, and delete Telemetry {namespace}/meshscope-tap when you are done"
    if taken:
        message = f"no proxy in {', '.join(silent)} logs access yet; Telemetry {namespace}/{taken} needs accessLogging as in this"
    return {"message": message, "manifest": MANIFEST.format(namespace=namespace)}


def _logs_access(here: Console, namespace: str) -> bool:
    config = here.store.current
    specs = [
        item.manifest.get("spec") or {} for one in (ROOT_NAMESPACE, namespace) for item in config.of("Telemetry", one)
    ]
    if any(not rule.get("disabled") for spec in specs for rule in spec.get("accessLogging") or ()):
        return True
    meshes = (item.manifest.get("data") or {} for item in config.of("ConfigMap", ROOT_NAMESPACE))
    return any(word in str(data.get("mesh", "")) for data in meshes for word in ("accessLogFile", "accessLogging"))


def _wide(here: Console, namespace: str) -> str:
    """Name the Telemetry that is already for the whole namespace: there can be one."""
    items = here.store.current.of("Telemetry", namespace)
    return next((item.key.name for item in items if not (item.manifest.get("spec") or {}).get("selector")), "")


async def _watched(here: Console, query: TapQuery, messages: Messages, *, switch: bool) -> Messages:
    """Have proxies tell as long as somebody reads, or say what would have them do so."""
    with here.tap_switch.watching(query) if switch else nullcontext():
        async with aclosing(messages):
            if advice := _advice(here, query, switch=switch):
                yield {"type": "hint", **advice}
            async for message in messages:
                yield message


def _advice(here: Console, query: TapQuery, *, switch: bool) -> dict[str, str] | None:
    if not switch:
        return hint(here, query)
    why = here.tap_switch.why_not(query)
    return {"message": why, "manifest": ""} if why else None


async def _messages(
    here: Console, query: TapQuery, news: AsyncGenerator[Batch[TappedRequest], None], recent: int
) -> Messages:
    """Yield what to tell a reader; ``None``: nothing new."""
    try:
        for one in here.tap.recent(query, recent):
            yield {"type": "request", **request_json(one)}
        async for batch in news:
            if batch.missed:
                yield {"type": "missed", "count": batch.missed}
            for one in batch.items:
                yield {"type": "request", **request_json(one)}
            if not batch.items:
                yield None
    finally:
        await news.aclose()


def _end(workload: WorkloadRef | None) -> dict[str, str] | None:
    return workload._asdict() if workload else None
