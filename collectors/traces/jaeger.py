"""Traces that Jaeger keeps, through the HTTP API of its query service."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from collectors.errors import CollectorError
from collectors.inventory import DEFAULT_CLUSTER
from collectors.traces.jaeger_form import spans_of
from collectors.traces.matching import matches, tags_of
from collectors.traces.remote import TRACE_ID, RemoteTraces, each
from collectors.traces.searching import Line, summary
from graph.ports import Dependency, Operation, Span, TraceQuery, TraceSummary

MOST_SERVICES = 30
"""Jaeger searches one service at a time: a search that names none asks so many."""
MOST_TRACES = 1500
HOUR_MS = 3_600_000


class JaegerTraces(RemoteTraces):
    """Implements :class:`graph.ports.TraceStore` by ``/api/services``, ``/api/traces`` and ``/api/dependencies``.

    What Jaeger cannot be asked (all conditions for one span, versions, who is called) is decided here, on the traces
    that it gives. Failures raise :class:`CollectorError`.
    """

    backend = "jaeger"

    async def search(self, query: TraceQuery) -> Sequence[TraceSummary]:
        """Find traces, newest first."""
        services = await self._services_for(query)
        answers = await each(services, lambda service: self._found(service, query))
        traces = {spans[0].trace_id: spans for of_service in answers for spans in of_service if spans}
        kept = [summary_of(spans) for spans in traces.values() if matches(query, spans)]
        return sorted(kept, key=lambda one: -one.start_ns)[: query.limit]

    async def trace(self, trace_id: str) -> Sequence[Span]:
        """All spans of a trace ordered by start; empty when Jaeger has none."""
        if not TRACE_ID.fullmatch(trace_id):
            return ()
        answer = await self._get("api", "traces", trace_id)
        if answer.status == 404:
            return ()
        return [span for one in _data(answer.json()) for span in self._spans(one)]

    async def apps(self) -> Sequence[str]:
        """Whose spans Jaeger has."""
        return sorted(map(str, _data((await self._get("api", "services")).json())))

    async def operations(self, app: str) -> Sequence[Operation]:
        """Which span names an app uses."""
        found = _data((await self._get("api", "operations", query={"service": app})).json())
        return sorted({Operation(str(one.get("name", "")), str(one.get("spanKind", ""))) for one in found})

    async def dependencies(self, since_ms: int, until_ms: int) -> Sequence[Dependency]:
        """Who called whom, as Jaeger's own job has counted it."""
        query = {"endTs": str(until_ms), "lookback": str(max(0, until_ms - since_ms))}
        found = _data((await self._get("api", "dependencies", query=query)).json())
        return [Dependency(str(one["parent"]), str(one["child"]), int(one["callCount"])) for one in found]

    async def _services_for(self, query: TraceQuery) -> Sequence[str]:
        """Say which services to ask. Istio's proxies call themselves ``app.namespace``."""
        known = await self.apps()
        if query.app:
            names = {query.app, f"{query.app}.{query.namespace}"}
            return [one for one in known if one in names or (not query.namespace and one.startswith(f"{query.app}."))]
        return known[:MOST_SERVICES]

    async def _found(self, service: str, query: TraceQuery) -> list[list[Span]]:
        answer = await self._get("api", "traces", query=_parameters(service, query))
        return [self._spans(one) for one in _data(answer.json())]

    def _spans(self, trace: Mapping[str, Any]) -> list[Span]:
        spans = spans_of(trace, cluster=DEFAULT_CLUSTER)
        return sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))


def _parameters(service: str, query: TraceQuery) -> dict[str, str]:
    until_ms = query.until_ms or time.time_ns() // 1_000_000
    since_ms = query.since_ms or max(0, until_ms - 48 * HOUR_MS)
    exact = bool(query.version or query.peer_app or query.kind)
    parameters = {
        "service": service,
        "start": str(since_ms * 1000),
        "end": str(until_ms * 1000 + 999),
        # What is decided here leaves out some of what Jaeger finds.
        "limit": str(min(MOST_TRACES, query.limit * (4 if exact else 1))),
        "operation": query.operation,
        "minDuration": f"{round(query.min_duration_ms * 1000)}us" if query.min_duration_ms else "",
        "maxDuration": f"{round(query.max_duration_ms * 1000)}us" if query.max_duration_ms else "",
        "tags": _tags(query),
    }
    return {name: value for name, value in parameters.items() if value}


def _tags(query: TraceQuery) -> str:
    # Jaeger finds tags by their value only; a bare key is decided here.
    tags = {tag.key: tag.value for tag in tags_of(query) if tag.value is not None}
    if query.errors_only:
        tags["error"] = "true"
    return orjson.dumps(tags).decode() if tags else ""


def _data(answer: Any) -> Iterable[Any]:
    if not isinstance(answer, dict) or answer.get("errors"):
        told = answer.get("errors") if isinstance(answer, dict) else answer
        raise CollectorError(f"jaeger refuses: {str(told)[:300]}")
    return answer.get("data") or ()


def summary_of(spans: Sequence[Span]) -> TraceSummary:
    """Sum up a trace that is here whole."""
    lines = [Line(one.start_ns, one.end_ns, not one.parent_id, one.error, one.app, one.name) for one in spans]
    return summary(spans[0].trace_id, lines)
