"""Our traces as Jaeger's query API gives them: what Grafana's and Kiali's Jaeger data sources ask."""

import json
from types import SimpleNamespace

import pytest
from asgi import Visitor, with_routes
from clocks import FixedClock
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from starlette.datastructures import QueryParams

from collectors.errors import CollectorError
from collectors.traces.embedded import EmbeddedTraces
from collectors.traces.jaeger_form import spans_of
from console.web import jaeger
from console.web.jaeger import ParameterError, trace_query
from graph.ports import Span, TraceQuery

NOW_MS = 1_790_000_600_000


def pairs(attributes):
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()]


def sent(trace, ids, kind, name, ms, *, failed=False, **attributes):
    number, parent = ids
    start = (1_790_000_000 + trace) * 10**9 + number - 1
    return OtlpSpan(
        trace_id=trace.to_bytes(16),
        span_id=number.to_bytes(8),
        parent_span_id=parent.to_bytes(8) if parent else b"",
        name=name,
        kind=kind,
        start_time_unix_nano=start,
        end_time_unix_nano=start + ms * 10**6,
        attributes=pairs({key.replace("__", "."): value for key, value in attributes.items()}),
        status=Status(code=2, message="no stock") if failed else None,
    )


def purchase(trace, *, ms=100, failed=False, version="v1", user="ann"):
    web = [
        sent(trace, (1, 0), OtlpSpan.SPAN_KIND_SERVER, "GET /buy", ms, user=user),
        sent(trace, (2, 1), OtlpSpan.SPAN_KIND_CLIENT, "GET", ms - 10, server__address="cart"),
    ]
    cart = [
        sent(trace, (3, 2), OtlpSpan.SPAN_KIND_SERVER, "GET /cart", ms - 20, failed=failed),
        sent(trace, (4, 3), OtlpSpan.SPAN_KIND_CLIENT, "HGETALL", 5, db__system__name="redis"),
    ]
    request = ExportTraceServiceRequest()
    for app, more, spans in (("web", {}, web), ("cart", {"service.version": version}, cart)):
        part = ResourceSpans()
        part.resource.attributes.extend(pairs({"service.name": app, "service.namespace": "shop", **more}))
        part.scope_spans.add(spans=spans).scope.name = "tests"
        request.resource_spans.append(part)
    return request.SerializeToString()


PURCHASES = [purchase(1, user="bob"), purchase(2, version="v2"), purchase(3, failed=True), purchase(4, ms=300)]


def application(traces):
    console = SimpleNamespace(traces=traces, clock=FixedClock(NOW_MS))
    return Visitor(with_routes(console, jaeger.api, prefix=jaeger.PREFIX))


@pytest.fixture
async def grafana(tmp_path):
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        for request in PURCHASES:
            store.append(request, 4)
        store.flush()
        yield application(store)


async def get(visitor, path):
    return await visitor.get(f"/jaeger/api/{path}")


def names(traces):
    return sorted(int(one["traceID"], 16) for one in traces)


async def test_services_and_their_operations_are_listed(grafana):
    assert await get(grafana, "services") == (
        200,
        {"data": ["cart", "web"], "total": 2, "limit": 0, "offset": 0, "errors": None},
    )
    assert (await get(grafana, "services/cart/operations"))[1]["data"] == ["GET /cart", "HGETALL"]
    assert (await get(grafana, "operations?service=web&spanKind=server"))[1]["data"] == [
        {"name": "GET /buy", "spanKind": "server"}
    ]


async def test_a_trace_is_in_jaegers_shape(grafana):
    status, answer = await get(grafana, f"traces/{3:032x}")
    [trace] = answer["data"]
    web, call, cart, store = trace["spans"]
    assert status == 200
    assert trace["traceID"] == f"{3:032x}"
    assert {name: process["serviceName"] for name, process in trace["processes"].items()} == {"p1": "web", "p2": "cart"}
    assert trace["processes"]["p2"]["tags"] == [
        {"key": "service.namespace", "type": "string", "value": "shop"},
        {"key": "service.version", "type": "string", "value": "v1"},
    ]
    assert [span["processID"] for span in trace["spans"]] == ["p1", "p1", "p2", "p2"]
    assert web["references"] == []
    assert call["references"] == [{"refType": "CHILD_OF", "traceID": f"{3:032x}", "spanID": web["spanID"]}]
    assert (cart["operationName"], cart["startTime"], cart["duration"]) == ("GET /cart", 1_790_000_003_000_000, 80_000)
    assert {tag["key"]: tag["value"] for tag in cart["tags"]} == {
        "span.kind": "server",
        "otel.scope.name": "tests",
        "error": True,
        "otel.status_code": "ERROR",
        "otel.status_description": "no stock",
    }
    assert store["logs"] == []


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ("service=cart", [1, 2, 3, 4]),
        ("service=cart&limit=2", [3, 4]),
        ("service=nobody", []),
        ("service=cart&operation=GET%20/buy", []),
        ("service=web&operation=GET%20/buy&minDuration=250ms", [4]),
        ("service=web&operation=GET%20/buy&maxDuration=0.25s", [1, 2, 3]),
        ('service=cart&tags={"error":"true"}', [3]),
        ('service=cart&tags={"error":"true","span.kind":"client"}', []),
        ('service=web&tags={"user":"bob"}', [1]),
        ("service=web&tag=user:bob", [1]),
        ('service=cart&tags={"service.version":"v2","db.system.name":"redis"}', [2]),
        ("service=cart&start=1790000003000000", [3, 4]),
        ("service=cart&end=1790000002000002", [1, 2]),
        (f"traceID={2:x}&traceID={4:x}", [2, 4]),
    ],
)
async def test_traces_are_found_by_jaegers_parameters(grafana, parameters, found):
    status, answer = await get(grafana, f"traces?{parameters}")
    assert status == 200
    assert names(answer["data"]) == found
    assert all(len(trace["spans"]) == 4 for trace in answer["data"])


async def test_dependencies_are_counted_within_the_lookback(grafana):
    assert (await get(grafana, "dependencies"))[1]["data"] == [{"parent": "web", "child": "cart", "callCount": 4}]
    assert (await get(grafana, "dependencies?endTs=1790000002500&lookback=1000"))[1]["data"] == [
        {"parent": "web", "child": "cart", "callCount": 1}
    ]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("traces", 400, "parameter 'service' is required"),
        ("operations", 400, "parameter 'service' is required"),
        ("traces?service=a&minDuration=fast", 400, "'minDuration'"),
        ("traces?service=a&minDuration=2s&maxDuration=1s", 400, "should be greater"),
        ("traces?service=a&tags=[1]", 400, "'tags'"),
        ("traces?service=a&tags={", 400, "'tags'"),
        ("traces?service=a&tag=b", 400, "key:value"),
        ("traces?service=a&start=-1", 400, "'start'"),
        ("traces?service=a&limit=many", 400, "'limit'"),
        ("traces?traceID=xyz", 400, "traceID"),
        ("traces/xyz", 400, "hexadecimal"),
        (f"traces/{9:032x}", 404, "trace not found"),
        ("dependencies?endTs=now", 400, "'endTs'"),
    ],
)
async def test_errors_are_in_jaegers_shape(grafana, path, status, said):
    answered, answer = await get(grafana, path)
    assert (answered, answer["data"]) == (status, None)
    [error] = answer["errors"]
    assert error["code"] == status
    assert said in error["msg"]


async def test_a_store_that_does_not_answer_is_told_in_jaegers_shape():
    class Away:
        async def search(self, query):
            raise CollectorError("tempo at tempo:3200 cannot be reached")

    status, answer = await get(application(Away()), "traces?service=a")
    assert (status, answer["errors"][0]["msg"]) == (500, "tempo at tempo:3200 cannot be reached")


def test_the_window_is_the_last_two_days_where_none_is_given():
    query = trace_query(QueryParams("service=web"), NOW_MS)
    assert query == TraceQuery(app="web", since_ms=NOW_MS - 172_800_000, until_ms=NOW_MS, limit=100)


@pytest.mark.parametrize(("text", "ms"), [("1h30m", 5_400_000), ("500us", 0.5), ("1.5s", 1500), ("2µs", 0.002)])
def test_durations_are_written_as_in_go(text, ms):
    assert trace_query(QueryParams({"service": "a", "minDuration": text}), NOW_MS).min_duration_ms == pytest.approx(ms)
    with pytest.raises(ParameterError):
        trace_query(QueryParams({"service": "a", "minDuration": f"{text}!"}), NOW_MS)


def test_what_is_written_in_jaegers_form_reads_back_the_same():
    span = Span(
        trace_id=f"{1:032x}",
        span_id=f"{2:016x}",
        parent_id=f"{3:016x}",
        name="GET /",
        kind="client",
        start_ns=1_790_000_000_000_001_000,
        end_ns=1_790_000_000_005_000_000,
        error=True,
        status_message="no stock",
        cluster="Kubernetes",
        namespace="shop",
        workload="web-v1",
        app="web",
        version="v1",
        attributes={"user": "bob"},
        resource={"service.name": "web", "service.namespace": "shop", "service.version": "v1"},
        events=((1_790_000_000_000_002_000, "exception", {"exception.type": "KeyError"}),),
        links=((f"{8:032x}", f"{9:016x}"),),
        scope="tests",
    )
    assert spans_of(json.loads(json.dumps(jaeger.trace_json([span]))), cluster="Kubernetes") == [span]
