"""What every trace store keeps to, whoever keeps the traces.

No Jaeger and no Tempo can run here. Jaeger's place takes our own Jaeger API, Tempo's a server that answers as Tempo
2.2 does: it gives whole traces as Tempo's protobuf, and finds more than was asked for.
"""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from asgi import listening, with_routes
from clocks import FixedClock
from otlp_fakes import START_NS, request, resource, span
from trace_servers import as_json, serving

from collectors.traces.embedded import EmbeddedTraces
from collectors.traces.jaeger import JaegerTraces
from collectors.traces.remote import Remote
from collectors.traces.tempo import TempoTraces
from console.web import jaeger
from graph.ports import TraceQuery

SECOND = 10**9
SINCE_MS = START_NS // 10**6 - 1000
UNTIL_MS = SINCE_MS + 60_000


def purchase(number, *, ms=100, error=False, version="v1", user="ann"):
    start = START_NS + number * SECOND
    named = {"trace": number, "message": "no stock"}
    return request(
        (
            resource("web"),
            [
                span("server", 1, ms=ms, start_ns=start, name="GET /buy", user=user, **named),
                span("client", 2, parent=1, ms=ms - 10, start_ns=start + 1000, name="GET", **named),
            ],
        ),
        (
            resource("cart", version=version),
            [
                span("server", 3, parent=2, ms=ms - 20, start_ns=start + 2000, name="GET /cart", error=error, **named),
                span("client", 4, parent=3, ms=5, start_ns=start + 3000, name="HGET", db__system="redis", **named),
            ],
        ),
    )


PURCHASES = {
    1: purchase(1, user="bob"),
    2: purchase(2, version="v2"),
    3: purchase(3, error=True),
    4: purchase(4, ms=300),
}


@asynccontextmanager
async def embedded(tmp_path):
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        for one in PURCHASES.values():
            store.append(one, 4)
        store.flush()
        yield store


@asynccontextmanager
async def behind_jaeger(tmp_path):
    async with embedded(tmp_path) as store:
        console = SimpleNamespace(traces=store, clock=FixedClock(UNTIL_MS))
        async with (
            listening(with_routes(console, jaeger.api, prefix=jaeger.PREFIX)) as url,
            JaegerTraces(Remote(url=f"{url}/jaeger")) as reader,
        ):
            yield reader


@asynccontextmanager
async def behind_tempo(tmp_path):
    found = [
        {"traceID": f"{n:x}", "startTimeUnixNano": str(START_NS + n * SECOND), "durationMs": 100} for n in PURCHASES
    ]
    answers = {f"/api/traces/{n:x}": (200, "application/protobuf", body) for n, body in PURCHASES.items()}
    answers |= {f"/api/traces/{n:032x}": (200, "application/protobuf", body) for n, body in PURCHASES.items()}
    answers["/api/search"] = as_json({"traces": found, "metrics": {}})
    apps = [{"type": "string", "value": "web"}, {"type": "string", "value": "cart"}]
    answers["/api/v2/search/tag/resource.service.name/values"] = as_json({"tagValues": apps})
    names = [{"type": "string", "value": "HGET"}, {"type": "string", "value": "GET /cart"}]
    answers["/api/v2/search/tag/name/values"] = as_json({"tagValues": names})
    async with serving(answers) as server, TempoTraces(Remote(url=server.url)) as store:
        yield store


STORES = {"embedded": embedded, "jaeger": behind_jaeger, "tempo": behind_tempo}


@pytest.fixture(params=STORES)
async def store(request, tmp_path):
    async with STORES[request.param](tmp_path) as opened:
        yield opened


async def ids(store, **query):
    asked = TraceQuery(**{"since_ms": SINCE_MS, "until_ms": UNTIL_MS} | query)
    return [int(found.trace_id, 16) for found in await store.search(asked)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"limit": 2}, [4, 3]),
        ({"app": "cart", "version": "v2"}, [2]),
        ({"app": "cart", "namespace": "elsewhere"}, []),
        ({"errors_only": True}, [3]),
        ({"app": "web", "errors_only": True}, []),
        ({"app": "web", "min_duration_ms": 250}, [4]),
        ({"app": "cart", "min_duration_ms": 285}, []),
        ({"app": "web", "operation": "GET /buy", "max_duration_ms": 150}, [3, 2, 1]),
        ({"app": "web", "tag": "user=bob"}, [1]),
        ({"app": "cart", "tag": "user=bob"}, []),
        ({"app": "web", "tag": "user"}, [4, 3, 2, 1]),
        ({"tags": ("user=bob", "service.name=web")}, [1]),
        ({"app": "cart", "kind": "client", "errors_only": True}, []),
        ({"app": "web", "peer_app": "cart", "peer_version": "v2"}, [2]),
        ({"app": "cart", "peer_app": "web"}, []),
        ({"app": "cart", "peer_app": "db:redis"}, [4, 3, 2, 1]),
        ({"since_ms": START_NS // 10**6 + 3000}, [4, 3]),
    ],
    ids=str,
)
async def test_every_store_finds_the_same_traces(store, query, found):
    assert await ids(store, **query) == found


async def test_every_store_gives_a_trace_whole_and_in_order(store):
    spans = await store.trace(f"{3:032x}")
    assert [(one.app, one.version, one.namespace, one.name, one.kind) for one in spans] == [
        ("web", "", "shop", "GET /buy", "server"),
        ("web", "", "shop", "GET", "client"),
        ("cart", "v1", "shop", "GET /cart", "server"),
        ("cart", "v1", "shop", "HGET", "client"),
    ]
    assert [(one.trace_id, one.span_id, one.parent_id[-1:]) for one in spans] == [
        (f"{3:032x}", f"{1:016x}", ""),
        (f"{3:032x}", f"{2:016x}", "1"),
        (f"{3:032x}", f"{3:016x}", "2"),
        (f"{3:032x}", f"{4:016x}", "3"),
    ]
    failed = spans[2]
    assert (failed.error, failed.status_message, failed.end_ns - failed.start_ns) == (True, "no stock", 80_000_000)
    assert (spans[0].attributes, spans[3].attributes) == ({"user": "ann"}, {"db.system": "redis"})
    assert spans[0].resource["service.namespace"] == "shop"


async def test_every_store_sums_a_trace_up(store):
    [line] = await store.search(TraceQuery(since_ms=SINCE_MS, until_ms=UNTIL_MS, errors_only=True))
    assert (line.root_name, line.root_app, line.spans, line.errors, line.apps) == (
        "GET /buy",
        "web",
        4,
        1,
        ("web", "cart"),
    )
    assert (line.start_ns, line.duration_ns) == (START_NS + 3 * SECOND, 100_000_000)


async def test_no_store_has_what_was_never_sent(store):
    for unknown in (f"{9:032x}", "not hex", "", "f" * 40):
        assert not await store.trace(unknown)


async def test_every_store_lists_apps_and_operations(store):
    assert await store.apps() == ["cart", "web"]
    assert [one.name for one in await store.operations("cart")] == ["GET /cart", "HGET"]
    assert (await store.state()).error == ""
