"""Traces that Grafana Tempo keeps, found by TraceQL."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from collectors.errors import CollectorError
from collectors.inventory import DEFAULT_CLUSTER
from collectors.otlp.resources import workload_of
from collectors.traces.columns import Tables, chunk_of
from collectors.traces.jaeger import HOUR_MS, summary_of
from collectors.traces.jaeger_form import named
from collectors.traces.matching import matches, peer_tags, tags_of
from collectors.traces.parts import HeadPart
from collectors.traces.remote import TRACE_ID, Answer, RemoteTraces, each
from collectors.traces.searching import Search
from collectors.traces.tokens import Tag
from collectors.traces.walk import Buffer
from graph.ports import Dependency, Operation, Span, TraceQuery, TraceSummary

PROTOBUF = "application/protobuf"
APP = "resource.service.name"
NUMBER = re.compile(r"-?(0|[1-9]\d{0,15})(\.\d{1,9})?")
MOST_TRACES = 500
GRAPH_METRIC = "traces_service_graph_request_total"


class TempoTraces(RemoteTraces):
    """Implements :class:`graph.ports.TraceStore` by ``/api/search`` (Tempo 2.0 and later) and ``/api/traces``.

    What TraceQL of every version in use cannot say (who is called) is decided here, on whole traces. Failures raise
    :class:`CollectorError`.
    """

    backend = "tempo"

    async def search(self, query: TraceQuery) -> Sequence[TraceSummary]:
        """Find traces, newest first."""
        answer = await self._get("api", "search", query=_parameters(query))
        if answer.status == 404:
            raise CollectorError(
                f"{self._place} has no /api/search; see traces.url: it is Tempo's own address and port"
            )
        found = [one for one in _listed(answer.json(), "traces") if one.get("traceID")]
        unsure = [str(one["traceID"]) for one in found if query.peer_app or not one.get("serviceStats")]
        whole = dict(zip(unsure, await each(unsure, self.trace), strict=True))
        lines = [_line(one) for one in found if str(one["traceID"]) not in whole]
        lines += [summary_of(spans) for spans in whole.values() if spans and matches(query, spans)]
        return sorted(lines, key=lambda one: -one.start_ns)[: query.limit]

    async def trace(self, trace_id: str) -> Sequence[Span]:
        """All spans of a trace ordered by start; empty when Tempo has none."""
        if not TRACE_ID.fullmatch(trace_id):
            return ()
        answer = await self._get("api", "traces", trace_id, accept=PROTOBUF)
        return () if answer.status == 404 else self._spans(answer)

    async def apps(self) -> Sequence[str]:
        """Whose spans Tempo has seen lately."""
        return sorted(await self._values(APP))

    async def operations(self, app: str) -> Sequence[Operation]:
        """Which span names an app has used lately."""
        return sorted(Operation(name, "") for name in await self._values("name", f"{{ {APP} = {_quoted(app)} }}"))

    async def dependencies(self, since_ms: int, until_ms: int) -> Sequence[Dependency]:
        """Tempo keeps its service graph as metrics, not here."""
        raise CollectorError(
            f"{self._place} cannot say who called whom between {since_ms} and {until_ms}: its metrics generator writes"
            f" {GRAPH_METRIC} to a Prometheus; name that under [[sources]]"
        )

    async def _values(self, tag: str, query: str = "") -> set[str]:
        parameters = {"q": query} if query else {}
        answer = await self._get("api", "v2", "search", "tag", tag, "values", query=parameters)
        return {str(one["value"]) for one in _listed(answer.json(), "tagValues") if "value" in one}

    def _spans(self, answer: Answer) -> Sequence[Span]:
        """Decode what is OTLP under another name: ``batches`` are resource spans."""
        tables = Tables()
        chunk = chunk_of(Buffer([answer.body if answer.kind == PROTOBUF else _from_json(answer.json())]), tables)
        if not chunk.spans:
            return ()
        part = HeadPart([chunk], tables, DEFAULT_CLUSTER)
        search = Search([part], lambda _part, _trouble: None)
        return [self._renamed(span) for span in search.trace(part.trace_ids()[0].tobytes())]

    def _renamed(self, span: Span) -> Span:
        who = workload_of(named(span.resource), cluster=DEFAULT_CLUSTER)
        return replace(span, namespace=who.namespace, workload=who.workload, app=who.app)


def _parameters(query: TraceQuery) -> dict[str, str]:
    until_ms = query.until_ms or time.time_ns() // 1_000_000
    since_ms = query.since_ms or max(0, until_ms - 24 * HOUR_MS)
    return {
        "q": traceql(query),
        "start": str(since_ms // 1000),
        "end": str(-(-until_ms // 1000) + 1),
        "limit": str(min(MOST_TRACES, query.limit * (4 if query.peer_app else 1))),
        "spss": "1",
    }


def traceql(query: TraceQuery) -> str:
    """Write a search as TraceQL: one span set, so that one span has to fulfil every condition."""
    conditions = []
    if query.app:
        names = [query.app, *([f"{query.app}.{query.namespace}"] if query.namespace else [])]
        conditions.append(_any(f"{APP} = {_quoted(name)}" for name in names))
    if query.namespace:
        told = f"resource.service.namespace = {_quoted(query.namespace)}"
        pod = f"resource.k8s.namespace.name = {_quoted(query.namespace)}"
        istio = f"{APP} =~ {_quoted('.*[.]' + re.escape(query.namespace))}"
        conditions.append(_any((told, pod, istio)))
    if query.version:
        conditions.append(f"resource.service.version = {_quoted(query.version)}")
    if query.operation:
        conditions.append(f"name = {_quoted(query.operation)}")
    if query.kind:
        conditions.append(f"kind = {query.kind}")
    if query.errors_only:
        conditions.append("status = error")
    if query.min_duration_ms:
        conditions.append(f"duration >= {round(query.min_duration_ms * 1e6)}ns")
    if query.max_duration_ms:
        conditions.append(f"duration <= {round(query.max_duration_ms * 1e6)}ns")
    conditions += map(_tag, tags_of(query))
    if tags := peer_tags(query.peer_app):
        conditions.append(_any(map(_tag, tags)))
    return f"{{ {' && '.join(conditions)} }}" if conditions else "{}"


def _any(conditions: Iterable[str]) -> str:
    found = list(conditions)
    return found[0] if len(found) == 1 else f"({' || '.join(found)})"


def _tag(tag: Tag) -> str:
    name = f".{tag.key}" if re.fullmatch(r"[A-Za-z0-9_.\-/]+", tag.key) else f".{_quoted(tag.key)}"
    if tag.value is None:
        return f"{name} != nil"
    forms = [f"{name} = {_quoted(tag.value)}"]
    if NUMBER.fullmatch(tag.value) or tag.value in {"true", "false"}:
        forms.append(f"{name} = {tag.value}")
    return _any(forms)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _line(found: Mapping[str, Any]) -> TraceSummary:
    stats = found["serviceStats"]
    root = _app(str(found.get("rootServiceName", "")))
    return TraceSummary(
        trace_id=str(found["traceID"]).zfill(32),
        root_name=str(found.get("rootTraceName", "")),
        root_app=root,
        start_ns=int(found.get("startTimeUnixNano", 0)),
        duration_ns=int(found.get("durationMs", 0)) * 1_000_000,
        spans=sum(int(one.get("spanCount", 0)) for one in stats.values()),
        errors=sum(int(one.get("errorCount", 0)) for one in stats.values()),
        apps=tuple(dict.fromkeys((root, *map(_app, sorted(stats))))),
    )


def _app(service: str) -> str:
    return named({"service.name": service})["service.name"]


def _listed(answer: Any, name: str) -> Sequence[Mapping[str, Any]]:
    listed = answer.get(name) or [] if isinstance(answer, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise CollectorError(f"the trace store's answer is not in Tempo's form: {name} is no list of objects")
    return listed


def _from_json(answer: Any) -> bytes:
    """Read a trace as Tempo writes it where protobuf is not to be had; ids are base64, as protobuf's JSON has bytes."""
    try:
        trace = answer.get("trace", answer)
        batches = trace.get("batches") or trace.get("resourceSpans") or []
        told = json_format.ParseDict({"resourceSpans": batches}, TracesData(), ignore_unknown_fields=True)
        return bytes(told.SerializeToString())
    except (json_format.ParseError, AttributeError, DecodeError, TypeError) as trouble:
        raise CollectorError(f"the trace store's answer is not in Tempo's form: {trouble}") from trouble
