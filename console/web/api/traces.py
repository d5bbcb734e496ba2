"""Traces: search, and one with all its spans."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from collectors.errors import CollectorError
from console.context import Console
from console.web.answers import analysis
from console.web.answers import traces as answers
from console.web.api.common import Here, instant, rfc3339, router
from console.web.errors import Json, NotFound, refusal
from graph.ports import Span, TraceQuery, TraceSummary

api = router("traces")

Word = Annotated[str, Query(max_length=300)]


@api.get("/traces", response_model=answers.Traces)
async def search(
    here: Here,
    *,
    namespace: Word = "",
    app: Word = "",
    version: Word = "",
    peer: Word = "",
    operation: Word = "",
    tag: Annotated[list[Word] | None, Query(max_length=20)] = None,
    kind: Annotated[str, Query(pattern="^(internal|server|client|producer|consumer)?$")] = "",
    errors: bool = False,
    min_ms: Annotated[float, Query(ge=0, le=1e9, alias="minMs")] = 0,
    max_ms: Annotated[float, Query(ge=0, le=1e9, alias="maxMs")] = 0,
    since: Annotated[str, Query(max_length=40)] = "",
    until: Annotated[str, Query(max_length=40)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:
    """Search traces, newest first; empty parameters do not restrict. One span must fulfil everything, and have every tag."""
    now_ms = here.clock.now_ms()
    query = TraceQuery(
        namespace=namespace,
        app=app,
        version=version,
        peer_app=peer,
        operation=operation,
        tags=tuple(tag or ()),
        kind=kind,
        errors_only=errors,
        min_duration_ms=min_ms,
        max_duration_ms=max_ms,
        since_ms=instant(since, now_ms) if since else 0,
        until_ms=instant(until, now_ms) if until else 0,
        limit=limit,
    )
    try:
        found = await here.traces.search(query)
    except CollectorError as trouble:
        return refusal(503, str(trouble))
    return Json({"items": [_line(s) for s in found], "store": asdict(await here.traces.state())})


TraceId = Annotated[str, Path(pattern="^[0-9a-fA-F]{1,32}$")]


@api.get("/traces/{trace_id}", response_model=answers.Trace)
async def trace(here: Here, trace_id: TraceId) -> Response:
    """Return all spans of a trace, ordered by start."""
    try:
        spans = await _spans(here, trace_id)
    except CollectorError as trouble:
        return refusal(503, str(trouble))
    return Json({"traceId": trace_id.lower(), "spans": [_span(s) for s in spans]})


@api.get("/traces/{trace_id}/critical-path", response_model=analysis.TracePath)
async def critical_path(here: Here, trace_id: TraceId) -> Response:
    """Say where a trace's time goes: at each instant the one span whose own work the answer waited for.

    ``segments`` are that path in order of time; ``spans`` sum it up per span (``criticalMs``), beside the time in
    which none of its children ran (``selfMs``). ``apart``: spans that do not hang on the root. The definition is that
    of CRISP (Zhang et al., USENIX ATC 2022).
    """
    from graph.analysis import trace_path, wire  # noqa: PLC0415  (networkx costs the server's start half a second)

    try:
        spans = await _spans(here, trace_id)
    except CollectorError as trouble:
        return refusal(503, str(trouble))
    found = await asyncio.to_thread(trace_path.critical_path, spans)
    if found is None:
        raise NotFound(f"trace {trace_id} has no root: its spans are each other's parents")
    return Json({"traceId": trace_id.lower(), **wire.trace_path_json(found)})


async def _spans(here: Console, trace_id: str) -> Sequence[Span]:
    spans = await here.traces.trace(trace_id.lower())
    if not spans:
        raise NotFound(f"trace {trace_id} is not, or no longer, here")
    return spans


def _line(summary: TraceSummary) -> dict[str, Any]:
    return {
        "traceId": summary.trace_id,
        "name": summary.root_name,
        "app": summary.root_app,
        "start": rfc3339(summary.start_ns // 1_000_000),
        "durationMs": summary.duration_ns / 1e6,
        "spans": summary.spans,
        "errors": summary.errors,
        "apps": summary.apps,
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentId": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "startNs": str(span.start_ns),
        "endNs": str(span.end_ns),
        "error": span.error,
        "statusMessage": span.status_message,
        "cluster": span.cluster,
        "namespace": span.namespace,
        "workload": span.workload,
        "app": span.app,
        "version": span.version,
        "attributes": dict(span.attributes),
        "resource": dict(span.resource),
        "scope": span.scope,
        "links": [{"traceId": linked, "spanId": one} for linked, one in span.links],
        "events": [{"atNs": str(at), "name": name, "attributes": dict(more)} for at, name, more in span.events],
    }
