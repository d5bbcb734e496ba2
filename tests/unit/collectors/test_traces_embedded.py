import asyncio
import random
import sys
from pathlib import Path

import pytest
from otlp_fakes import START_NS, pairs, request, resource, span, value

from collectors.errors import CollectorError
from collectors.otlp.decode import Decoder
from collectors.otlp.limits import Limits
from collectors.traces import blockstore
from collectors.traces.embedded import EmbeddedTraces
from collectors.traces.journal import Journal
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
    async with EmbeddedTraces(tmp_path / "traces", 50_000_000) as opened:
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
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        for one in purchase(1):
            store.append(one.data, len(one.spans))
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        assert await ids(store, app="cart") == [1]
        keep(store, purchase(2))
        assert await ids(store, app="cart") == [2, 1]


async def test_the_cap_holds_the_oldest_go_and_the_loss_is_counted(tmp_path):
    random.seed(1)
    capacity, stored = 600_000, 0
    async with EmbeddedTraces(tmp_path, capacity) as store:
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
    async with EmbeddedTraces(tmp_path, 100_000) as store:
        with pytest.raises(CollectorError, match="more than half"):
            keep(store, [batch((resource("web"), [span("server", 1, noise=random.randbytes(200_000).hex())]))])
        assert (await store.state()).lost_spans == 1
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


def sealed(monkeypatch, spans=1):
    """Make a block of every so many spans."""
    monkeypatch.setattr(blockstore, "HEAD_SPANS", spans)


async def test_a_damaged_block_is_put_aside_and_named_and_the_others_answer(tmp_path, monkeypatch, caplog):
    sealed(monkeypatch)
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        keep(store, purchase(1), purchase(2))
    first, second = sorted(tmp_path.glob("*.block"))
    first.write_bytes(first.read_bytes()[:-20])
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        assert await ids(store) == [2]
        assert f"{first.stem}.damaged" in (await store.state()).error
    assert second.exists()
    assert first.with_suffix(".damaged").exists()
    assert "cannot be read" in caplog.text


async def test_a_block_that_rots_under_a_running_server_is_left_out_and_named(tmp_path, monkeypatch):
    sealed(monkeypatch)
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        keep(store, purchase(1), purchase(2))
        [first, _] = sorted(tmp_path.glob("*.block"))
        with first.open("r+b") as file:
            file.seek(8)
            file.write(bytes(200))
        assert await ids(store) == [2]
        assert await store.trace(f"{1:032x}") == []
        assert first.name in (await store.state()).error


@pytest.mark.parametrize("spans", [1, 3, 1000])
async def test_however_spans_are_spread_over_blocks_every_search_finds_the_same(tmp_path, monkeypatch, spans):
    sealed(monkeypatch, spans)
    traces = [purchase(1, user="bob"), purchase(2, version="v2"), purchase(3, error=True), purchase(4, ms=300)]
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        for trace in traces:
            for one in trace:
                keep(store, [one])
        assert await ids(store, app="web", peer_app="cart", peer_version="v2") == [2]
        assert await ids(store, tag="user=bob") == [1]
        assert await ids(store, tags=("user", "service.name=web"), kind="server") == [4, 3, 2, 1]
        assert await ids(store, tags=("user=bob", "db.system.name=redis")) == []
        assert await ids(store, app="cart", errors_only=True, min_duration_ms=70) == [3]
        assert [line.spans for line in await store.search(TraceQuery())] == [4, 4, 4, 4]
        assert (await store.state()).traces == 4
        assert await store.apps() == ["cart", "web"]
        assert await store.operations("cart") == [("GET /cart", "server"), ("HGETALL", "client")]
        assert await store.dependencies(0, 2**41) == [("web", "cart", 4)]
        assert await store.dependencies(0, 1000) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(404, "404"), (-7, "-7"), (True, "true"), (0.25, "0.25"), ("", ""), ("x" * 500, "x" * 500), ("é", "é")],
    ids=repr,
)
async def test_a_tag_is_found_by_the_text_that_is_shown_whatever_its_type(tmp_path, monkeypatch, value, text):
    sealed(monkeypatch)
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        keep(store, [batch((resource("web"), [span("server", 1, tag=value)]))])
        [shown] = await store.trace(f"{1:032x}")
        assert shown.attributes["tag"] == text
        assert await ids(store, tag=f"tag={text}") == [1]
        assert await ids(store, tag=f"tag={text}0") == []


async def test_a_list_is_found_by_the_text_that_is_shown(tmp_path, monkeypatch):
    one = span("server", 1)
    one.attributes.add(key="names").value.array_value.values.extend([value("a"), value(2)])
    for number in (1, 1000):
        sealed(monkeypatch, number)
        async with EmbeddedTraces(tmp_path / str(number), 50_000_000) as store:
            keep(store, [batch((resource("web"), [one]))])
            assert await ids(store, tag="names=[a, 2]") == [1]
            assert await ids(store, tag="names") == [1]


async def test_links_and_the_library_come_with_their_span(store):
    one = span("consumer", 1)
    one.links.add(trace_id=bytes(15) + b"\x09", span_id=bytes(7) + b"\x08")
    keep(store, [batch((resource("web"), [one]))])
    [back] = await store.trace(f"{1:032x}")
    assert (back.links, back.scope) == (((f"{9:032x}", f"{8:016x}"),), "tests")


async def test_spans_older_than_the_limit_go_and_are_counted(tmp_path, monkeypatch):
    sealed(monkeypatch)
    now = [1_000_000]
    async with EmbeddedTraces(tmp_path, 50_000_000, keep_s=60, now_ms=lambda: now[0]) as store:
        keep(store, purchase(1))
        now[0] += 59_000
        keep(store, purchase(2))
        assert await ids(store) == [2, 1]
        now[0] += 2_000
        keep(store, purchase(3))
        assert await ids(store) == [3, 2]
        assert (await store.state()).dropped_spans == 4
    async with EmbeddedTraces(tmp_path, 50_000_000, keep_s=60, now_ms=lambda: now[0]) as store:
        assert (await store.state()).dropped_spans == 4


WRITES = """
import asyncio, sys
sys.path[:0] = {paths!r}
from otlp_fakes import request, resource, span
from collectors.traces import blockstore
from collectors.traces.embedded import EmbeddedTraces
blockstore.HEAD_SPANS = 500

async def main():
    async with EmbeddedTraces({folder!r}, 50_000_000) as store:
        for number in range({first}, {first} + 100_000):
            store.append(request((resource("web"), [span("server", 1, trace=number)])), 1)
            if number % 100 == 0:
                store.flush()
                print(number, flush=True)

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_that_was_flushed_and_leaves_nothing_half(tmp_path):
    here = Path(__file__).parent
    for first in (1, 1_000_001):
        program = WRITES.format(paths=[str(here), str(here.parents[2])], folder=str(tmp_path), first=first)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
        flushed = 0
        while flushed < first + 1200:
            flushed = int(await process.stdout.readline())
        process.kill()
        await process.wait()
        async with EmbeddedTraces(tmp_path, 50_000_000) as store:
            found = await ids(store, limit=100_000)
            state = await store.state()
        assert set(found) >= set(range(first, flushed + 1))
        assert (state.traces, state.error, state.dropped_spans) == (len(found), "", 0)


async def test_a_journal_whose_last_write_was_cut_off_gives_back_the_rest(tmp_path):
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        keep(store, purchase(1), purchase(2))
    [journal] = tmp_path.glob("*.journal")
    journal.write_bytes(journal.read_bytes()[:-5])
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        assert await ids(store) == [1]
        keep(store, purchase(3))
        assert await ids(store) == [3, 1]


async def test_a_disk_that_fails_costs_counted_spans_and_is_told_and_storing_goes_on(tmp_path, monkeypatch):
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:
        keep(store, purchase(1))
        with monkeypatch.context() as broken:

            def full(journal, record):
                raise OSError(28, "No space left on device")

            broken.setattr(Journal, "write", full)
            with pytest.raises(CollectorError, match="No space left"):
                keep(store, purchase(2))
        state = await store.state()
        assert (state.lost_spans, "No space left" in state.error) == (4, True)
        keep(store, purchase(3))
        assert await ids(store) == [3, 1]
        assert (await store.state()).error == ""


async def test_searches_and_writes_go_on_side_by_side(tmp_path, monkeypatch):
    sealed(monkeypatch, 20)
    async with EmbeddedTraces(tmp_path, 50_000_000) as store:

        def write():
            for number in range(1, 101):
                keep(store, purchase(number))

        writing = asyncio.to_thread(write)
        async with asyncio.TaskGroup() as group:
            done = group.create_task(writing)
            seen = 0
            while not done.done():
                found = await ids(store, app="cart", tag="db.system.name=redis", limit=1000)
                assert found == list(range(len(found), 0, -1))
                assert len(found) >= seen
                seen = len(found)
        assert len(await ids(store, limit=1000)) == 100
