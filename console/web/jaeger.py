"""Jaeger's query API over our traces, for whatever reads Jaeger's: Grafana, Kiali, its own command lines.

Addresses, parameters, defaults and the shape of errors are those of Jaeger's query service (``cmd/query/app``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import QueryParams
from starlette.responses import Response

from collectors.errors import CollectorError
from collectors.traces.jaeger_form import KINDS, trace_json
from console.context import Console
from console.web.api.common import Here, described, parameter, router
from console.web.errors import Json
from graph.ports import Operation, Span, TraceQuery

PREFIX = "/jaeger/api"

DEFAULT_LIMIT = 100
MOST_TRACES = 1500
MOST_IDS = 100
MOST_SPANS = 200_000
"""In one answer; traces beyond are left out, and the answer says so."""
AT_ONCE = 4
LOOKBACK_MS = 48 * 3_600_000
DEPENDENCIES_MS = 24 * 3_600_000
LATEST = 2**62
UNITS_MS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}
STEP = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(ns|us|µs|μs|ms|s|m|h)")
TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")

WHOLE = r"^\d{0,18}$"
SERVICE = parameter("service", about="Whose spans.", required=True)
SEARCH = described(
    parameter("traceID", about="Those traces, whatever else is asked for.", pattern="^[0-9a-fA-F]{1,32}$"),
    SERVICE | {"required": False},
    parameter("operation", about="A span's name, or all."),
    parameter("tag", about="key:value"),
    parameter("tags", about='A JSON object of strings: {"error":"true"}.'),
    parameter("minDuration", about="As Go writes it: 100ms, 1.2s."),
    parameter("maxDuration", about="As Go writes it: 100ms, 1.2s."),
    parameter("start", about="Unix microseconds; two days ago if not given.", pattern=WHOLE),
    parameter("end", about="Unix microseconds; now if not given.", pattern=WHOLE),
    parameter("limit", about=f"{DEFAULT_LIMIT} if not given, {MOST_TRACES} at most.", pattern=WHOLE),
)
DEPENDENCIES = described(
    parameter("endTs", about="Unix milliseconds; now if not given.", pattern=WHOLE),
    parameter("lookback", about="Milliseconds; a day if not given.", pattern=WHOLE),
)


class Answer(BaseModel):
    """The shape of all answers; ``data`` is null where ``errors`` says why."""

    data: list[Any] | None
    total: int
    limit: int
    offset: int
    errors: list[dict[str, Any]] | None


api = router("jaeger", {"default": {"model": Answer, "description": "Why it was not done."}})


class ParameterError(Exception):
    """A parameter cannot be read; the message names it."""


@api.get("/services", response_model=Answer)
async def services(here: Here) -> Response:
    """Name the services that have spans."""
    return await _answered(here.traces.apps)


@api.get("/services/{service}/operations", response_model=Answer)
async def operation_names(here: Here, service: str) -> Response:
    """Name a service's operations."""

    async def names() -> Sequence[str]:
        return sorted({operation.name for operation in await here.traces.operations(service)})

    return await _answered(names)


@api.get("/operations", response_model=Answer, openapi_extra=described(SERVICE, parameter("spanKind")))
async def operations(here: Here, request: Request) -> Response:
    """Name a service's operations, with their kind."""

    async def found() -> Sequence[Mapping[str, str]]:
        service, kind = request.query_params.get("service", ""), request.query_params.get("spanKind", "")
        if not service:
            raise ParameterError("parameter 'service' is required")
        return [_operation(one) for one in await here.traces.operations(service) if kind in {"", one.kind}]

    return await _answered(found)


@api.get("/traces", response_model=Answer, openapi_extra=SEARCH)
async def search(here: Here, request: Request) -> Response:
    """Find traces, newest first, each with all its spans; or those that ``traceID`` names."""
    try:
        ids = _ids(request.query_params)
        if not ids:
            query = trace_query(request.query_params, here.clock.now_ms())
            ids = [summary.trace_id for summary in await here.traces.search(query)]
        traces, left_out = await _whole(here, ids)
    except ParameterError as trouble:
        return _refusal(400, str(trouble))
    except CollectorError as trouble:
        return _refusal(500, str(trouble))
    told = [{"code": 206, "msg": f"{left_out} traces are left out: the answer is large; ask for less"}]
    return _shape([trace_json(spans) for spans in traces if spans], told if left_out else None)


@api.get("/traces/{trace_id}", response_model=Answer)
async def trace(here: Here, trace_id: str) -> Response:
    """Return a trace."""
    if not TRACE_ID.fullmatch(trace_id):
        return _refusal(400, "the trace id is not of 1 to 32 hexadecimal digits")
    try:
        spans = await here.traces.trace(trace_id.lower())
    except CollectorError as trouble:
        return _refusal(500, str(trouble))
    return _shape([trace_json(spans)]) if spans else _refusal(404, "trace not found")


@api.get("/dependencies", response_model=Answer, openapi_extra=DEPENDENCIES)
async def dependencies(here: Here, request: Request) -> Response:
    """Count who called whom before ``endTs``, within ``lookback``, both in milliseconds."""

    async def found() -> Sequence[Mapping[str, Any]]:
        until_ms = _integer(request.query_params, "endTs", here.clock.now_ms())
        lookback_ms = _integer(request.query_params, "lookback", DEPENDENCIES_MS)
        calls = await here.traces.dependencies(max(0, until_ms - lookback_ms), until_ms)
        return [{"parent": one.caller, "child": one.callee, "callCount": one.calls} for one in calls]

    return await _answered(found)


def trace_query(parameters: QueryParams, now_ms: int) -> TraceQuery:
    """Read Jaeger's parameters; raises :class:`ParameterError`."""
    if not parameters.get("service"):
        raise ParameterError("parameter 'service' is required")
    least_ms, most_ms = _duration_ms(parameters, "minDuration"), _duration_ms(parameters, "maxDuration")
    if least_ms and most_ms and most_ms < least_ms:
        raise ParameterError("'maxDuration' should be greater than 'minDuration'")
    tags = _tags(parameters)
    failed = tags.get("error") == "true" or tags.get("otel.status_code") == "ERROR"
    if failed:
        tags = {key: value for key, value in tags.items() if key not in {"error", "otel.status_code"}}
    kind = tags.pop("span.kind", "")
    if kind and kind not in KINDS:
        raise ParameterError(f"tag 'span.kind' is none of {', '.join(sorted(KINDS))}")
    return TraceQuery(
        app=parameters["service"],
        operation="" if parameters.get("operation") == "all" else parameters.get("operation", ""),
        tags=tuple(f"{key}={value}" for key, value in tags.items()),
        kind=kind,
        errors_only=failed,
        min_duration_ms=least_ms,
        max_duration_ms=most_ms,
        since_ms=_integer(parameters, "start", (now_ms - LOOKBACK_MS) * 1000) // 1000,
        until_ms=-(-_integer(parameters, "end", now_ms * 1000) // 1000),
        limit=max(1, min(MOST_TRACES, _integer(parameters, "limit", DEFAULT_LIMIT))),
    )


def _tags(parameters: QueryParams) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in parameters.getlist("tag"):
        key, given, value = text.partition(":")
        if not given:
            raise ParameterError(f"malformed 'tag' parameter, expecting key:value, received: {text[:100]}")
        found[key] = value
    for text in parameters.getlist("tags"):
        found |= _tags_json(text)
    return found


def _tags_json(text: str) -> dict[str, str]:
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError as trouble:
        raise ParameterError(f"malformed 'tags' parameter, cannot unmarshal JSON: {trouble}") from trouble
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise ParameterError('malformed \'tags\' parameter, expecting an object of strings such as {"error":"true"}')
    return told


def _duration_ms(parameters: QueryParams, name: str) -> float:
    """Read a duration as Go writes it: ``1.2s``, ``100ms``, ``1h30m``; 0 when it is not given."""
    text = parameters.get(name, "")
    if not text or text == "0":
        return 0.0
    steps = list(STEP.finditer(text))
    if not steps or "".join(step[0] for step in steps) != text:
        raise ParameterError(f"unable to parse param '{name}': write it as 500us, 100ms, 1.2s or 1m")
    return sum(float(step[1]) * UNITS_MS[step[2]] for step in steps)


def _integer(parameters: QueryParams, name: str, default: int) -> int:
    text = parameters.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > LATEST:
        raise ParameterError(f"unable to parse param '{name}': it is no positive whole number")
    return int(text)


def _ids(parameters: QueryParams) -> list[str]:
    ids = [one.lower() for one in parameters.getlist("traceID")]
    if len(ids) > MOST_IDS:
        raise ParameterError(f"more than {MOST_IDS} traceID parameters")
    if not all(TRACE_ID.fullmatch(one) for one in ids):
        raise ParameterError("cannot parse traceID param: 1 to 32 hexadecimal digits are")
    return ids


async def _whole(here: Console, ids: Sequence[str]) -> tuple[list[Sequence[Span]], int]:
    """Read traces, a few at a time; give also how many are left out because the answer is large enough."""
    found: list[Sequence[Span]] = []
    spans = 0
    for start in range(0, len(ids), AT_ONCE):
        if spans >= MOST_SPANS:
            return found, len(ids) - start
        some = await asyncio.gather(*(here.traces.trace(one) for one in ids[start : start + AT_ONCE]))
        found += some
        spans += sum(map(len, some))
    return found, 0


def _operation(one: Operation) -> Mapping[str, str]:
    return {"name": one.name, "spanKind": one.kind}


async def _answered(ask: Any) -> Response:
    try:
        return _shape(list(await ask()))
    except ParameterError as trouble:
        return _refusal(400, str(trouble))
    except CollectorError as trouble:
        return _refusal(500, str(trouble))


def _shape(data: Sequence[Any], errors: Iterable[Mapping[str, Any]] | None = None) -> Response:
    return Json({"data": data, "total": len(data), "limit": 0, "offset": 0, "errors": errors})


def _refusal(status: int, message: str) -> Response:
    errors = [{"code": status, "msg": message}]
    return Json({"data": None, "total": 0, "limit": 0, "offset": 0, "errors": errors}, status)
