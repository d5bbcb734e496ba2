import asyncio
import sqlite3

import pytest
from log_words import CATALOG, FRONTEND, NOW_MS, TRACE, line, logs, texts

from collectors.errors import CollectorError
from collectors.logs.database import Position
from collectors.logs.sqlite import SqliteLogs
from graph.ports import LogQuery, LogSource


async def test_lines_are_found_by_text_level_workload_source_time_and_trace(tmp_path):
    async with logs(tmp_path) as store:
        store.append(
            [
                line("GET /products slow", s=0, level="warn"),
                line("stock is EMPTY", s=1, level="error", trace_id=TRACE),
                line("hello", s=2, workload=FRONTEND, level="info", trace_id=TRACE, instance="frontend~0"),
                line("[main] starting", s=3, source=LogSource.PROXY),
                line("order", s=4, source=LogSource.OTLP, attributes={"user": "Ann"}),
            ]
        )
        assert await texts(store, LogQuery(text="empty")) == ["stock is EMPTY"]
        assert await texts(store, LogQuery(text="ann")) == ["order"]
        assert await texts(store, LogQuery(pattern=r"/pro\w+ (slow|fast)")) == ["GET /products slow"]
        assert await texts(store, LogQuery(level="warn")) == ["GET /products slow", "stock is EMPTY"]
        assert await texts(store, LogQuery(workload="frontend")) == ["hello"]
        assert len(await texts(store, LogQuery(workload="catalog", namespace="shop"))) == 4
        assert await texts(store, LogQuery(namespace="elsewhere")) == []
        assert await texts(store, LogQuery(sources=frozenset({LogSource.PROXY}))) == ["[main] starting"]
        assert await texts(store, LogQuery(trace_id=TRACE)) == ["stock is EMPTY", "hello"]
        assert await texts(store, LogQuery(instance="frontend~0")) == ["hello"]
        between = LogQuery(since_ms=NOW_MS + 1000, until_ms=NOW_MS + 2000)
        assert await texts(store, between) == ["stock is EMPTY", "hello"]
        assert await texts(store, LogQuery(limit=2)) == ["[main] starting", "order"]
        assert dict(await store.workloads()) == {
            CATALOG: [LogSource.OTLP, LogSource.OUTPUT, LogSource.PROXY],
            FRONTEND: [LogSource.OUTPUT],
        }


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (LogQuery(pattern="("), "not a regular expression: unclosed group"),
        (LogQuery(level="loud"), "'loud' is no level; there are trace, debug, info, warn, error, fatal"),
        (LogQuery(pattern="a" * 1001), "more than 1000 characters"),
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused_with_the_reason(tmp_path, query, problem):
    async with logs(tmp_path) as store:
        with pytest.raises(ValueError, match=r".*") as refused:
            await store.search(query)
        assert problem in str(refused.value)


async def test_the_newest_lines_of_many_blocks_come_in_order(tmp_path):
    async with logs(tmp_path) as store:
        for start in range(0, 6000, 500):
            store.append([line(f"line {n} {'x' * 60}", s=n) for n in range(start, start + 500)])
            store.flush()
        found = await texts(store, LogQuery(limit=700))
        assert [int(text.split()[1]) for text in found] == list(range(5300, 6000))
        assert await texts(store, LogQuery(text="line 17 ")) == [f"line 17 {'x' * 60}"]


async def test_a_chatty_workload_pushes_out_its_own_lines_only(tmp_path):
    import random

    rng = random.Random(1)
    async with logs(tmp_path, capacity_bytes=40_000_000, workload_bytes=200_000) as store:
        store.append([line("precious", workload=FRONTEND)])
        for number in range(20):
            store.append([line(f"{number} {rng.randbytes(400).hex()}", s=number) for _ in range(100)])
            store.flush()
        state = await store.state()
        assert await texts(store, LogQuery(workload="frontend")) == ["precious"]
        assert state.dropped_lines > 500
        assert state.lines + state.dropped_lines == 2001
        assert (await texts(store, LogQuery(limit=1)))[0].startswith("19 ")


async def test_the_whole_store_stays_below_its_capacity(tmp_path):
    import random

    rng = random.Random(1)
    async with logs(tmp_path, capacity_bytes=1_500_000) as store:
        for number in range(40):
            store.append([line(rng.randbytes(500).hex(), s=number) for _ in range(100)])
            store.flush()
        state = await store.state()
    assert state.bytes < 1_500_000
    assert state.dropped_lines > 0
    assert state.lost_lines == 0


async def test_lines_older_than_the_retention_go(tmp_path):
    async with logs(tmp_path, retention_s=60) as store:
        store.append([line("new"), line("old", s=-100, workload=FRONTEND)])
        store.flush()
        assert await texts(store, LogQuery()) == ["new"]
        assert (await store.state()).dropped_lines == 1


async def test_a_follower_gets_lines_as_they_come_and_is_told_what_it_missed(tmp_path):
    async with logs(tmp_path) as store:
        store.append([line("before")])
        news = store.follow(LogQuery(text="wanted"))
        assert (await anext(news)).lines == ()
        await asyncio.to_thread(store.append, [line("wanted 1"), line("other")])
        assert [one.text for one in (await anext(news)).lines] == ["wanted 1"]
        store.append([line(f"wanted {n}") for n in range(2500)])
        batch = await anext(news)
        assert (len(batch.lines), batch.missed) == (2000, 500)
        await news.aclose()
        assert store.readers == 0


async def test_what_was_written_is_there_after_a_kill_with_the_place_in_the_file(tmp_path):
    async with logs(tmp_path) as store:
        store.append([line("kept")], {"a.log": Position(5, "head")})
        store.flush()
        store.append([line("in memory")], {"a.log": Position(14, "head")})
        # No end of the block, no flush: as after SIGKILL, another process opens the file.
        async with logs(tmp_path) as after:
            assert after.positions() == {"a.log": Position(5, "head")}
            assert await texts(after, LogQuery()) == ["kept"]


async def test_more_than_can_wait_is_not_taken(tmp_path):
    async with logs(tmp_path) as store:
        large = [line("x" * 1_000_000) for _ in range(20)]
        assert store.append(large)
        assert not store.append(large)
        store.flush()
        assert store.append(large)


async def test_a_broken_disk_is_told_and_counted(tmp_path):
    async with logs(tmp_path) as store:
        with sqlite3.connect(tmp_path / "logs.db") as other:
            other.execute("DROP TABLE traced")
        store.append([line("lost", trace_id=TRACE)])
        store.flush()
        with sqlite3.connect(tmp_path / "logs.db") as other:
            other.execute("CREATE TABLE traced (trace TEXT, block INTEGER, PRIMARY KEY (trace, block)) WITHOUT ROWID")
        state = await store.state()
        assert "no such table" in state.error
        assert state.lost_lines == 1
        store.append([line("found")])
        store.flush()
        assert (await store.state()).error == ""


async def test_a_store_that_cannot_be_opened_says_where(tmp_path):
    (tmp_path / "logs.db").write_text("this is no database, however long it may be" * 50)
    with pytest.raises(CollectorError, match=r"logs\.db"):
        async with logs(tmp_path):
            pass


def test_a_store_is_private(tmp_path):
    async def opened():
        async with logs(tmp_path / "deep") as store:
            assert isinstance(store, SqliteLogs)
            return (tmp_path / "deep" / "logs.db").stat().st_mode & 0o777

    assert asyncio.run(opened()) == 0o600
