"""A trace store with a few invented traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graph.ports import Span, TraceQuery, TraceStoreState, TraceSummary

MS = 1_000_000


def span(  # noqa: PLR0917
    trace: str, number: int, parent: int, name: str, app: str, start: float, length: float, **more: object
) -> Span:
    """One span; times in milliseconds."""
    attributes: Mapping[str, str] = more.get("attributes", {})  # type: ignore[assignment]
    return Span(
        trace_id=trace,
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name=name,
        kind=str(more.get("kind", "server")),
        start_ns=int(start * MS),
        end_ns=int((start + length) * MS),
        error=bool(more.get("error")),
        status_message=str(more.get("status", "")),
        cluster="Kubernetes",
        namespace="shop",
        workload=f"{app}-v1",
        app=app,
        version=str(more.get("version", "v1")),
        attributes=attributes,
        resource={"service.name": app, "service.namespace": "shop", "telemetry.sdk.language": "python"},
        events=tuple(more.get("events", ())),  # type: ignore[arg-type]
    )


def trace(number: int, at_ms: int, *, failing: bool) -> list[Span]:
    """A visit of the shop's front page."""
    name = f"{number:032x}"
    http = {"http.request.method": "GET", "http.response.status_code": "200", "server.address": "catalog"}
    version = "v2" if failing or number % 4 == 0 else "v1"
    wide = 60.0 if version == "v2" else 14.0
    at = float(at_ms)
    broken = {
        "error": failing,
        "status": "the shelf is empty" if failing else "",
        "events": (
            (int((at + 20) * MS), "exception", {"exception.type": "ShelfEmpty", "exception.message": "no such shelf"}),
        )
        if failing
        else (),
    }
    return [
        span(name, 1, 0, "GET /", "frontend", at, wide + 22, error=failing, attributes={"http.route": "/", **http}),
        span(name, 2, 1, "GET /products", "frontend", at + 2, wide + 4, kind="client", error=failing, attributes=http),
        span(name, 3, 2, "GET /products", "catalog", at + 3, wide + 1, version=version, attributes=http, **broken),
        span(name, 4, 3, "GET /stock", "catalog", at + 5, 8, kind="client", version=version, attributes=http),
        span(name, 5, 4, "GET /stock", "inventory", at + 6, 6, attributes=http),
        span(name, 6, 5, "MGET", "inventory", at + 7, 2.2, kind="client", attributes={"db.system.name": "redis"}),
        span(name, 7, 1, "GET /recent", "frontend", at + wide + 8, 11, kind="client", attributes=http),
        span(name, 8, 7, "GET /recent", "orders", at + wide + 9, 9, attributes=http),
        span(
            name, 9, 8, "LRANGE", "orders", at + wide + 10, 1.4, kind="client", attributes={"db.system.name": "redis"}
        ),
    ]


class FakeTraces:
    """Thirty traces of the last minutes."""

    def __init__(self, now_ms: int) -> None:
        self.traces = [trace(number, now_ms - number * 4200, failing=number % 7 == 3) for number in range(1, 31)]

    async def search(self, query: TraceQuery) -> Sequence[TraceSummary]:
        found = [self._summary(spans) for spans in self.traces if self._matches(spans, query)]
        return found[: query.limit]

    async def trace(self, trace_id: str) -> Sequence[Span]:
        return next((spans for spans in self.traces if spans[0].trace_id == trace_id), ())

    async def state(self) -> TraceStoreState:
        return TraceStoreState(
            traces=30,
            spans=270,
            bytes=24_000,
            capacity_bytes=268_435_456,
            oldest_ms=self.traces[-1][0].start_ns // MS,
            dropped_spans=0,
        )

    @staticmethod
    def _matches(spans: Sequence[Span], query: TraceQuery) -> bool:
        if query.errors_only and not any(item.error for item in spans):
            return False
        if query.min_duration_ms and (spans[0].end_ns - spans[0].start_ns) / MS < query.min_duration_ms:
            return False
        if query.operation and not any(query.operation in item.name for item in spans):
            return False
        own = [item for item in spans if query.app in {"", item.app} and query.version in {"", item.version}]
        return bool(own) and (not query.peer_app or any(item.app == query.peer_app for item in spans))

    @staticmethod
    def _summary(spans: Sequence[Span]) -> TraceSummary:
        return TraceSummary(
            trace_id=spans[0].trace_id,
            root_name=spans[0].name,
            root_app=spans[0].app,
            start_ns=spans[0].start_ns,
            duration_ns=max(item.end_ns for item in spans) - spans[0].start_ns,
            spans=len(spans),
            errors=sum(item.error for item in spans),
            apps=tuple(dict.fromkeys(item.app for item in spans)),
        )
