import random
import sqlite3

import pytest
from otlp_fakes import START_NS, pairs, request, resource, span

from collectors.errors import CollectorError
from collectors.otlp.decode import Decoder
from collectors.otlp.limits import Limits
from collectors.traces.sqlite import SqliteTraces
from graph.ports import TraceQuery

DECODER = Decoder(Limits(), cluster="Kubernetes")
SECOND = 1_000_000_000


def batch(*parts):
    return DECODER.decode(request(*parts))


def purchase(trace: int, *, ms: float = 100, error: bool = False, version: str = "v1", user: str = "ann"):
    """A trace through web, cart and its database; one request per process, as SDKs send them."""
    start = START_NS + trace * SECOND
    web = [
        span("server", 1, trace=trace, ms=ms, start_ns=start, name="GET /buy", user=user),
        span("client", 2, parent=1, trace=trace, ms=ms - 10, start_ns=start + 1, name="GET", server__address="cart"),
    ]
    cart = [
        span(
            "server",
            3,
            parent=2,
            trace=trace,
            ms=ms - 20,
            start_ns=start + 2,
            name="GET /cart",
            error=error,
            message="no stock",
        ),
        span("client", 4, parent=3, trace=trace, ms=5, start_ns=start + 3, name="HGETALL", db__system__name="redis"),
    ]
    return batch((resource("web"), web)), batch((resource("cart", version=version), cart))


@pytest.fixture
async def store(tmp_path):
    async with SqliteTraces(tmp_path / "traces", 50_000_000) as opened:
        yield opened


def keep(store, *traces):
    for batches in traces:
        for one in batches:
            store.append(one.data, len(one.spans))
        store.flush()


async def ids(store, **query):
    return [int(found.trace_id, 16) for found in await store.search(TraceQuery(**query))]


async def test_a_trace_comes_back_whole_and_in_order(store):
    keep(store, purchase(7, error=True))
    spans = await store.trace(f"{7:032x}")
    assert [(one.app, one.version, one.name, one.kind) for one in spans] == [
        ("web", "", "GET /buy", "server"),
        ("web", "", "GET", "client"),
        ("cart", "v1", "GET /cart", "server"),
        ("cart", "v1", "HGETALL", "client"),
    ]
    assert [one.parent_id[-1:] for one in spans] == ["", "1", "2", "3"]
    root, failed = spans[0], spans[2]
    assert (root.attributes, root.resource["service.namespace"], root.workload) == ({"user": "ann"}, "shop", "web")
    assert (failed.error, failed.status_message, failed.end_ns - failed.start_ns) == (True, "no stock", 80_000_000)
    assert await store.trace(f"{8:032x}") == []
    assert await store.trace("not hex") == ()


async def test_events_come_with_their_span(store):
    one = span("server", 1)
    one.events.add(
        time_unix_nano=START_NS + 5, name="exception", attributes=pairs({"exception.type": "KeyError", "n": 3})
    )
    keep(store, [batch((resource("web"), [one]))])
    [back] = await store.trace(f"{1:032x}")
    assert back.events == ((START_NS + 5, "exception", {"exception.type": "KeyError", "n": "3"}),)


async def test_a_list_line_sums_the_trace_up(store):
    keep(store, purchase(7, error=True))
    [line] = await store.search(TraceQuery())
    assert (line.root_name, line.root_app, line.spans, line.errors, line.apps) == (
        "GET /buy",
        "web",
        4,
        1,
        ("web", "cart"),
    )
    assert (line.start_ns, line.duration_ns) == (START_NS + 7 * SECOND, 100_000_000)


async def test_newest_traces_come_first_and_no_more_than_asked_for(store):
    keep(store, *(purchase(number) for number in (3, 1, 9, 5)))
    assert await ids(store) == [9, 5, 3, 1]
    assert await ids(store, limit=2) == [9, 5]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"app": "cart", "version": "v2"}, [2]),
        ({"app": "web", "version": "v2"}, []),
        ({"namespace": "shop"}, [4, 3, 2, 1]),
        ({"namespace": "elsewhere"}, []),
        ({"errors_only": True}, [3]),
        ({"app": "web", "errors_only": True}, []),
        ({"min_duration_ms": 250}, [4]),
        ({"app": "cart", "min_duration_ms": 285}, []),
        ({"max_duration_ms": 4}, []),
        ({"max_duration_ms": 90, "app": "web"}, [3, 2, 1]),
        ({"operation": "GET /cart"}, [4, 3, 2, 1]),
        ({"operation": "GET /cart", "app": "web"}, []),
        ({"operation": "GET /cart", "errors_only": True}, [3]),
        ({"tag": "user=bob"}, [1]),
        ({"tag": "user"}, [4, 3, 2, 1]),
        ({"tag": "user=bob", "operation": "GET /cart"}, []),
        ({"tag": "service.version=v2"}, [2]),
        ({"tag": "db.system.name=mysql"}, []),
        ({"errors_only": True, "min_duration_ms": 90}, []),
        ({"app": "web", "peer_app": "cart"}, [4, 3, 2, 1]),
        ({"app": "cart", "peer_app": "web"}, []),
        ({"app": "cart", "peer_app": "db:redis@127.64.0.9:6379"}, [4, 3, 2, 1]),
        ({"app": "web", "peer_app": "db:redis"}, []),
        ({"app": "web", "peer_app": "cart", "peer_version": "v2"}, [2]),
        ({"since_ms": (START_NS + 3 * SECOND) // 1_000_000}, [4, 3]),
        ({"until_ms": (START_NS + 2 * SECOND) // 1_000_000}, [2, 1]),
    ],
    ids=str,
)
async def test_a_search_finds_what_fulfils_every_condition_in_one_span(store, query, found):
    keep(store, purchase(1, user="bob"), purchase(2, version="v2"), purchase(3, error=True), purchase(4, ms=300))
    assert await ids(store, **query) == found


async def test_a_trace_spread_over_many_blocks_is_found_once(store):
    keep(store, *([one] for one in purchase(5)))
    keep(store, [batch((resource("late"), [span("internal", 9, parent=1, trace=5)]))])
    assert await ids(store) == [5]
    assert len(await store.trace(f"{5:032x}")) == 5


async def test_a_request_that_was_sent_twice_shows_each_span_once(store):
    keep(store, purchase(5), purchase(5))
    assert len(await store.trace(f"{5:032x}")) == 4


async def test_spans_survive_the_process(tmp_path):
    async with SqliteTraces(tmp_path, 50_000_000) as store:
        for one in purchase(1):
            store.append(one.data, len(one.spans))
    async with SqliteTraces(tmp_path, 50_000_000) as store:
        assert await ids(store, app="cart") == [1]
        keep(store, purchase(2))
        assert await ids(store, app="cart") == [2, 1]


async def test_the_cap_holds_the_oldest_go_and_the_loss_is_counted(tmp_path):
    random.seed(1)
    capacity, stored = 600_000, 0
    async with SqliteTraces(tmp_path, capacity) as store:
        for number in range(1, 120):
            noise = random.randbytes(6000).hex()
            parts = batch(
                (
                    resource(f"app-{number}"),
                    [span("server", 1, trace=number, start_ns=START_NS + number * SECOND, noise=noise)],
                )
            )
            keep(store, [parts])
            stored += 1
        state = await store.state()
        found = await ids(store, limit=1000)
        assert state.bytes <= capacity
        assert state.bytes > capacity / 2
        assert found == list(range(119, 119 - len(found), -1))
        assert (state.traces, state.spans, state.dropped_spans) == (len(found), len(found), stored - len(found))
        assert state.oldest_ms == (START_NS + found[-1] * SECOND) // 1_000_000
        assert await store.trace(f"{1:032x}") == []
        assert len(await store.trace(f"{119:032x}")) == 1
    on_disk = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert on_disk <= 1.1 * capacity


async def test_a_batch_larger_than_the_cap_leaves_nothing_broken(tmp_path):
    async with SqliteTraces(tmp_path, 100_000) as store:
        keep(store, [batch((resource("web"), [span("server", 1, noise=random.randbytes(200_000).hex())]))])
        assert await ids(store) == []
        keep(store, purchase(2))
        assert await ids(store) == [2]


async def test_a_span_that_is_broken_inside_is_shown_as_far_as_it_can_be_read(store):
    data = bytearray(request((resource("web"), [span("server", 1, broken="xxxxxx", fine="yes")])))
    at = data.index(b"broken")
    data[at + 7] = 0xFF  # the length of the attribute's value
    keep(store, [DECODER.decode(bytes(data))])
    [one] = await store.trace(f"{1:032x}")
    assert (one.app, one.attributes) == ("web", {"fine": "yes"})


async def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "spans.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(CollectorError, match=r"spans\.db"):
        async with SqliteTraces(tmp_path, 1000):
            pass


async def test_searches_go_on_while_spans_are_written(tmp_path):
    async with SqliteTraces(tmp_path, 50_000_000) as store:
        keep(store, purchase(1))
        other = sqlite3.connect(tmp_path / "spans.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await ids(store, app="cart") == [1]
        other.close()
