"""Spans in the JSON of Jaeger's query API, out and in. Pure.

The form is ``model/json`` of Jaeger; what has no place in it travels as the tags that Jaeger's own translation from
OTLP uses (``span.kind``, ``otel.status_description``, ``error``, ``otel.scope.name``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collectors.errors import CollectorError
from collectors.otlp.resources import workload_of
from graph.ports import Span

KINDS = {"server", "client", "producer", "consumer", "internal"}
OWN_TAGS = {"span.kind", "otel.status_code", "otel.status_description", "otel.scope.name", "otel.library.name"}
"""What becomes a field of a span, and no attribute."""
FAILURES = {"true", "1"}


def trace_json(spans: Sequence[Span]) -> dict[str, Any]:
    """Write a trace; processes are numbered in the order in which they appear."""
    processes: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
    written = []
    for span in spans:
        process = (span.app, tuple(sorted(span.resource.items())))
        written.append(_span_json(span, processes.setdefault(process, f"p{len(processes) + 1}")))
    return {
        "traceID": spans[0].trace_id if spans else "",
        "spans": written,
        "processes": {
            name: {
                "serviceName": app,
                "tags": [_tag(key, value) for key, value in tags if key != "service.name"],
            }
            for (app, tags), name in processes.items()
        },
        "warnings": None,
    }


def _span_json(span: Span, process: str) -> dict[str, Any]:
    references = [("CHILD_OF", span.trace_id, span.parent_id)] if span.parent_id else []
    references += [("FOLLOWS_FROM", *link) for link in span.links]
    return {
        "traceID": span.trace_id,
        "spanID": span.span_id,
        "operationName": span.name,
        "references": [{"refType": kind, "traceID": trace, "spanID": one} for kind, trace, one in references],
        "startTime": span.start_ns // 1000,
        "duration": (span.end_ns - span.start_ns) // 1000,
        "tags": list(_tags(span)),
        "logs": [_log(*event) for event in span.events],
        "processID": process,
        "warnings": None,
    }


def _tags(span: Span) -> Iterable[dict[str, Any]]:
    yield from (_tag(key, value) for key, value in span.attributes.items())
    yield _tag("span.kind", span.kind)
    if span.scope:
        yield _tag("otel.scope.name", span.scope)
    if span.error:
        yield {"key": "error", "type": "bool", "value": True}
        yield _tag("otel.status_code", "ERROR")
        if span.status_message:
            yield _tag("otel.status_description", span.status_message)


def _tag(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "type": "string", "value": value}


def _log(at_ns: int, name: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    fields = [_tag("event", name)] if name else []
    return {"timestamp": at_ns // 1000, "fields": [*fields, *(_tag(key, value) for key, value in attributes.items())]}


def spans_of(trace: Mapping[str, Any], *, cluster: str) -> list[Span]:
    """Read a trace; raises :class:`CollectorError` when it is not in Jaeger's form."""
    try:
        processes = trace.get("processes") or {}
        return [_span(one, processes.get(one.get("processID"), {}), cluster) for one in trace["spans"]]
    except (KeyError, TypeError, ValueError, AttributeError) as trouble:
        raise CollectorError(f"the trace store's answer is not in Jaeger's form: {trouble!r}") from trouble


def _span(of: Mapping[str, Any], process: Mapping[str, Any], cluster: str) -> Span:
    tags = _texts(of.get("tags") or ())
    service = str(process.get("serviceName", ""))
    resource = {"service.name": service, **_texts(process.get("tags") or ())}
    workload = workload_of(named(resource), cluster=cluster)
    references = of.get("references") or []
    parents = [one for one in references if one.get("refType") == "CHILD_OF" and one["traceID"] == of["traceID"]]
    start_ns = int(of["startTime"]) * 1000
    failed = tags.get("error", "").lower() in FAILURES or tags.get("otel.status_code") == "ERROR"
    kind = tags.get("span.kind", "")
    return Span(
        trace_id=str(of["traceID"]).zfill(32),
        span_id=str(of["spanID"]).zfill(16),
        parent_id=str(parents[0]["spanID"]).zfill(16) if parents else "",
        name=str(of["operationName"]),
        kind=kind if kind in KINDS else "internal",
        start_ns=start_ns,
        end_ns=start_ns + int(of["duration"]) * 1000,
        error=failed,
        status_message=tags.get("otel.status_description", "") if failed else "",
        cluster=workload.cluster,
        namespace=workload.namespace,
        workload=workload.workload,
        app=workload.app,
        version=workload.version,
        attributes={
            key: value for key, value in tags.items() if key not in OWN_TAGS and (key != "error" or not failed)
        },
        resource=resource,
        events=tuple(_event(one) for one in of.get("logs") or ()),
        links=tuple((str(one["traceID"]).zfill(32), str(one["spanID"])) for one in references if one not in parents),
        scope=tags.get("otel.scope.name") or tags.get("otel.library.name", ""),
    )


def named(resource: Mapping[str, str]) -> Mapping[str, str]:
    """Read ``reviews.bookinfo``, as Istio's proxies name their service, where nothing else tells the namespace."""
    app, dotted, namespace = resource.get("service.name", "").partition(".")
    told = resource.keys() & {"service.namespace", "k8s.namespace.name"}
    if not dotted or "." in namespace or told:
        return resource
    return {**resource, "service.name": app, "service.namespace": namespace}


def _texts(tags: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {str(one["key"]): _text(one.get("value")) for one in tags}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _event(log: Mapping[str, Any]) -> tuple[int, str, Mapping[str, str]]:
    fields = _texts(log.get("fields") or ())
    return int(log["timestamp"]) * 1000, fields.pop("event", fields.pop("message", "")), fields
