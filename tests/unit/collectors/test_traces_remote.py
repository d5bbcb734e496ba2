"""Jaeger and Tempo as they answer: neither can run here, so their answers are recorded.

Jaeger's are cut from the documents of its own tests (``model/converter/json/fixtures/ui_01.json``,
``cmd/query/app/fixture/otlp2jaeger-out.json``) and from an Istio mesh's; Tempo's from those that Kiali's tests recorded
of a mesh with Tempo 2.2 (``tracing/tracingtest``) and from Tempo's API documentation.
"""

import asyncio
import base64
import json

import pytest
from otlp_fakes import request, resource, span
from trace_servers import as_json, serving

from collectors.errors import CollectorError
from collectors.traces.jaeger import JaegerTraces
from collectors.traces.remote import Remote
from collectors.traces.tempo import TempoTraces, traceql
from graph.ports import TraceQuery

WINDOW = {"since_ms": 1_485_467_000_000, "until_ms": 1_485_468_000_000}


def string(key, value):
    return {"key": key, "type": "string", "value": value}


def jaeger_span(number, name, process, **more):
    base = {"traceID": "0000000000000001", "spanID": str(number), "operationName": name, "references": []}
    rest = {"startTime": 1485467191639875, "duration": 5, "tags": [], "logs": [], "processID": process}
    return base | rest | {"warnings": None} | more


JAEGER_TRACE = {
    "traceID": "0000000000000001",
    "spans": [
        jaeger_span(
            2,
            "some-operation",
            "p1",
            tags=[
                string("peer.service", "service-y"),
                {"key": "peer.ipv4", "type": "int64", "value": 23456},
                {"key": "error", "type": "bool", "value": True},
                {"key": "temperature", "type": "float64", "value": 72.5},
                {"key": "blob", "type": "binary", "value": "AAAwOQ=="},
            ],
            logs=[
                {"timestamp": 1485467191639875, "fields": [string("event", "some-event")]},
                {"timestamp": 1485467191639875, "fields": [string("x", "y")]},
            ],
        ),
        jaeger_span(
            4,
            "reference-test",
            "p2",
            references=[
                {"refType": "CHILD_OF", "traceID": "00000000000000ff", "spanID": "ff"},
                {"refType": "CHILD_OF", "traceID": "0000000000000001", "spanID": "2"},
                {"refType": "FOLLOWS_FROM", "traceID": "0000000000000001", "spanID": "2"},
            ],
            warnings=["some span warning"],
        ),
    ],
    "processes": {
        "p1": {"serviceName": "service-x", "tags": []},
        "p2": {"serviceName": "reviews.bookinfo", "tags": [string("istio.mesh_id", "cluster.local")]},
    },
    "warnings": ["some trace warning"],
}


def jaeger_answer(data, errors=None):
    return {"data": data, "total": 0, "limit": 0, "offset": 0, "errors": errors}


JAEGER = {
    "/api/services": as_json(jaeger_answer(["service-x", "reviews.bookinfo", "jaeger-query"])),
    "/api/traces": as_json(jaeger_answer([JAEGER_TRACE])),
    "/api/traces/0000000000000001": as_json(jaeger_answer([JAEGER_TRACE])),
    "/api/operations": as_json(jaeger_answer([{"name": "some-operation", "spanKind": "server"}])),
    "/api/dependencies": as_json(
        jaeger_answer([{"parent": "service-x", "child": "reviews.bookinfo", "callCount": 41}])
    ),
}


async def test_jaegers_own_documents_are_read():
    async with serving(JAEGER) as server, JaegerTraces(Remote(url=server.url)) as store:
        first, second = await store.trace("0000000000000001")
        assert await store.apps() == ["jaeger-query", "reviews.bookinfo", "service-x"]
        assert await store.operations("service-x") == [("some-operation", "server")]
        assert await store.dependencies(0, 1_485_468_000_000) == [("service-x", "reviews.bookinfo", 41)]
    assert (first.trace_id, first.span_id, first.app, first.error) == (f"{1:032x}", f"{2:016x}", "service-x", True)
    assert first.attributes == {
        "peer.service": "service-y",
        "peer.ipv4": "23456",
        "temperature": "72.5",
        "blob": "AAAwOQ==",
    }
    assert first.events == ((1485467191639875000, "some-event", {}), (1485467191639875000, "", {"x": "y"}))
    assert (second.parent_id, second.links) == (f"{2:016x}", ((f"{255:032x}", "ff"), (f"{1:032x}", "2")))
    assert (second.app, second.namespace) == ("reviews", "bookinfo")


async def test_jaeger_is_asked_in_its_own_parameters_under_the_name_that_istio_gives():
    async with serving(JAEGER) as server, JaegerTraces(Remote(url=f"{server.url}/")) as store:
        await store.search(
            TraceQuery(app="reviews", namespace="bookinfo", tag="a=b", errors_only=True, min_duration_ms=1.5, **WINDOW)
        )
    asked = dict(server.asked[-1].query)
    assert json.loads(asked.pop("tags")) == {"a": "b", "error": "true"}
    assert asked == {
        "service": "reviews.bookinfo",
        "start": "1485467000000000",
        "end": "1485468000000999",
        "limit": "50",
        "minDuration": "1500us",
    }


TEMPO_TRACE_ID = "3ba55609c3cde49649cd77d1f9dcd936"


def tempo_span(span_id, parent, kind, start, end, **more):
    ids = {"traceId": "O6VWCcPN5JZJzXfR+dzZNg==", "spanId": span_id, **({"parentSpanId": parent} if parent else {})}
    times = {"startTimeUnixNano": start, "endTimeUnixNano": end, "name": "productpage.bookinfo:9080/productpage"}
    return ids | times | {"kind": kind, "status": {}} | more


def tempo_batch(service, spans):
    named = [{"key": "service.name", "value": {"stringValue": service}}]
    return {"resource": {"attributes": named}, "scopeSpans": [{"scope": {}, "spans": spans}]}


CLIENT = tempo_span(
    "Sc130fnc2TY=",
    "",
    "SPAN_KIND_CLIENT",
    "1701779876570888000",
    "1701779876582820000",
    attributes=[{"key": "http.status_code", "value": {"stringValue": "200"}}],
    events=[{"timeUnixNano": "1701779876582892000", "name": "cr"}],
)
SERVER = tempo_span("hHVrHasIVvo=", "Sc130fnc2TY=", "SPAN_KIND_SERVER", "1701779876571116000", "1701779876582555000")
TEMPO_TRACE = {
    "batches": [
        tempo_batch("istio-ingressgateway.istio-system", [CLIENT]),
        tempo_batch("productpage.bookinfo", [SERVER]),
    ]
}
TEMPO_FOUND = {
    "traceID": TEMPO_TRACE_ID,
    "rootServiceName": "istio-ingressgateway.istio-system",
    "rootTraceName": "productpage.bookinfo:9080/productpage",
    "startTimeUnixNano": "1701779876570888000",
    "durationMs": 11,
    "spanSet": {"spans": [{"spanID": "49cd77d1f9dcd936"}], "matched": 1},
}
STATS = {
    "istio-ingressgateway.istio-system": {"spanCount": 2},
    "productpage.bookinfo": {"spanCount": 5, "errorCount": 1},
}


async def test_a_trace_of_tempo_is_read_from_its_json():
    answers = {f"/api/traces/{TEMPO_TRACE_ID}": as_json(TEMPO_TRACE)}
    async with serving(answers) as server, TempoTraces(Remote(url=server.url)) as store:
        gateway, page = await store.trace(TEMPO_TRACE_ID)
    assert server.asked[0].headers["Accept"] == "application/protobuf"
    assert (gateway.trace_id, gateway.span_id) == (TEMPO_TRACE_ID, base64.b64decode("Sc130fnc2TY=").hex())
    assert (gateway.kind, gateway.attributes, gateway.end_ns - gateway.start_ns) == (
        "client",
        {"http.status_code": "200"},
        11_932_000,
    )
    assert [(one.app, one.namespace) for one in (gateway, page)] == [
        ("istio-ingressgateway", "istio-system"),
        ("productpage", "bookinfo"),
    ]
    assert gateway.events == ((1701779876582892000, "cr", {}),)
    assert (page.parent_id, page.kind, page.resource) == (
        gateway.span_id,
        "server",
        {"service.name": "productpage.bookinfo"},
    )


async def test_a_list_of_tempo_is_taken_as_it_is_where_it_counts_spans_by_service():
    answers = {"/api/search": as_json({"traces": [TEMPO_FOUND | {"serviceStats": STATS}]})}
    async with serving(answers) as server, TempoTraces(Remote(url=server.url)) as store:
        [line] = await store.search(TraceQuery(errors_only=True, **WINDOW))
    assert (line.trace_id, line.spans, line.errors, line.duration_ns) == (TEMPO_TRACE_ID, 7, 1, 11_000_000)
    assert line.apps == ("istio-ingressgateway", "productpage")
    [asked] = server.asked
    assert dict(asked.query) == {
        "q": "{ status = error }",
        "start": "1485467000",
        "end": "1485468001",
        "limit": "50",
        "spss": "1",
    }


async def test_tempo_before_2_4_counts_no_spans_so_they_are_counted_in_the_trace():
    answers = {
        "/api/search": as_json({"traces": [TEMPO_FOUND]}),
        f"/api/traces/{TEMPO_TRACE_ID}": as_json(TEMPO_TRACE),
    }
    async with serving(answers) as server, TempoTraces(Remote(url=server.url)) as store:
        [line] = await store.search(TraceQuery(limit=5))
    assert (line.spans, line.errors, line.duration_ns) == (2, 0, 11_932_000)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "{}"),
        ({"app": "cart"}, '{ resource.service.name = "cart" }'),
        (
            {"app": "cart", "errors_only": True, "min_duration_ms": 1.5},
            '{ resource.service.name = "cart" && status = error && duration >= 1500000ns }',
        ),
        ({"operation": 'say "hi"\\'}, '{ name = "say \\"hi\\"\\\\" }'),
        ({"kind": "server", "max_duration_ms": 20}, "{ kind = server && duration <= 20000000ns }"),
        ({"tag": "http.status_code=404"}, '{ (.http.status_code = "404" || .http.status_code = 404) }'),
        ({"tag": "user"}, "{ .user != nil }"),
        ({"tags": ("a b=c",)}, '{ ."a b" = "c" }'),
        ({"app": "cart", "peer_app": "db:redis@10.0.0.1:6379"}, None),
    ],
    ids=str,
)
def test_a_search_is_written_as_traceql_for_one_span(query, text):
    written = traceql(TraceQuery(**query))
    if text is None:
        assert written.endswith('&& (.db.system.name = "redis" || .db.system = "redis") }')
    else:
        assert written == text


async def test_tempo_says_where_its_dependencies_are():
    async with TempoTraces(Remote(url="http://tempo:3200")) as store:
        with pytest.raises(CollectorError, match="traces_service_graph_request_total"):
            await store.dependencies(0, 1)


@pytest.mark.parametrize("make", [JaegerTraces, TempoTraces])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, "text/plain", "who are you"), r"answers 401: who are you; see traces\.token"),
        ((302, "text/html", ""), "answers 302"),
        ((500, "application/json", '{"errors": []}'), "answers 500"),
        ((200, "application/json", "<html>"), "is no JSON"),
        ((200, "application/json", '["odd"]'), "form|refuses"),
    ],
    ids=str,
)
async def test_a_wrong_answer_is_named_and_stays_among_the_signals_until_a_right_one(make, answer, said):
    paths = ("/api/services", "/api/search", "/api/v2/search/tag/resource.service.name/values")
    async with serving(dict.fromkeys(paths, answer)) as server, make(Remote(url=server.url)) as store:
        with pytest.raises(CollectorError, match=said):
            await store.search(TraceQuery())
        assert (answer[0] != 200) == bool((await store.state()).error)
        server.answers |= {path: as_json({"data": ["a"], "tagValues": []}) for path in paths}
        await store.apps()
        assert (await store.state()).error == ""


async def test_secrets_are_sent_and_never_shown():
    remote = Remote(url="http://127.0.0.1:1", token="s3cret", headers={"X-Scope-OrgID": "tenant"})
    assert "s3cret" not in repr(remote)
    assert "tenant" not in repr(remote)
    async with serving(JAEGER) as server:
        async with JaegerTraces(Remote(url=server.url, token="s3cret", headers={"X-Scope-OrgID": "tenant"})) as store:
            await store.apps()
        [asked] = server.asked
    assert (asked.headers["Authorization"], asked.headers["X-Scope-OrgID"]) == ("Bearer s3cret", "tenant")


async def test_a_store_that_is_silent_is_given_up_in_time():
    over = asyncio.Event()

    async def silent(_reader, writer):
        await over.wait()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with JaegerTraces(Remote(url=url, timeout_s=0.2)) as store:
        with pytest.raises(CollectorError, match=r"did not answer within 0\.2 s"):
            await store.apps()
    over.set()
    server.close()
    await server.wait_closed()


async def test_a_store_that_is_not_there_is_named_without_its_secrets():
    async with TempoTraces(Remote(url="http://127.0.0.1:1/?key=s3cret")) as store:
        with pytest.raises(CollectorError, match=r"127\.0\.0\.1:1 cannot be reached") as trouble:
            await store.apps()
        assert "s3cret" not in str(trouble.value)


@pytest.mark.parametrize("url", ["", "tempo:3200", "file:///etc/passwd", "http://me:secret@tempo"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(CollectorError, match=r"traces\.url") as trouble:
        Remote(url=url)
    assert "secret" not in str(trouble.value)


async def test_protobuf_of_tempo_is_read_as_it_is():
    body = request((resource("web"), [span("server", 1, trace=5)]))
    answers = {f"/api/traces/{5:032x}": (200, "application/protobuf", body)}
    async with serving(answers) as server, TempoTraces(Remote(url=server.url)) as store:
        [one] = await store.trace(f"{5:032x}")
    assert (one.app, one.trace_id) == ("web", f"{5:032x}")
