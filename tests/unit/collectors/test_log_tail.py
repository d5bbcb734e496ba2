import pytest
from clocks import FakeClock
from log_words import CATALOG, NOW_MS, logs, texts

from collectors.logs.tail import Tail
from graph.model import WorkloadRef
from graph.ports import LogQuery, LogSource
from mesh_runtime.agent.files import trim_log

ACCESS = (
    '[2026-09-21T14:13:20.123Z] "GET /a HTTP/1.1" 503 UF - - "-" 0 145 3 - "-" "ua" "id" "catalog" "127.64.0.3:15006" '
    "outbound|80||catalog.shop.svc.cluster.local 127.64.0.2:44 127.64.0.2:15001 127.0.0.1:5 - default"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def tail(folder, store, **options):
    made = Tail(folder, store, FakeClock(NOW_MS), **options)
    made._recall()
    return made


def add(path, text):
    with path.open("a") as file:
        file.write(text)


async def test_output_proxy_and_access_logs_of_a_workload_are_told_apart(tmp_path, folder):
    (folder / "shop.catalog-v1~0.command.log").write_text("WARNING slow\n\nhello\n")
    (folder / "shop.catalog-v1~0.proxy.log").write_text(f"[2026-09-21 14:13:20.123][12][error][main] no\n{ACCESS}\n")
    (folder / "agents.log").write_text("not a workload's\n")
    tapped = []
    async with logs(tmp_path) as store:
        tail(folder, store, who={"shop/catalog-v1~0": CATALOG}.get, also=tapped.extend).once()
        found = {one.text: one for one in (await store.search(LogQuery())).lines}
        assert len(found) == 4
        assert found["WARNING slow"].level == "warn"
        assert found["hello"].workload == CATALOG
        assert found["hello"].instance == "catalog-v1~0"
        assert found[ACCESS].source is LogSource.ACCESS
        assert found[ACCESS].level == "error"
        assert [one.source for text, one in found.items() if "[main]" in text] == [LogSource.PROXY]
        assert [one.text for one in tapped] == [ACCESS]


async def test_a_workload_that_left_keeps_its_name(tmp_path, folder):
    (folder / "shop.gone~3.command.log").write_text("bye\n")
    async with logs(tmp_path) as store:
        tail(folder, store).once()
        [found] = (await store.search(LogQuery())).lines
    assert found.workload == WorkloadRef("Kubernetes", "shop", "gone", "gone", "")


async def test_a_line_is_taken_when_it_is_whole_and_only_once(tmp_path, folder):
    path = folder / "shop.catalog-v1~0.command.log"
    path.write_text("one\ntw")
    async with logs(tmp_path) as store:
        following = tail(folder, store)
        following.once()
        assert await texts(store, LogQuery()) == ["one"]
        add(path, "o\nthree\n")
        following.once()
        following.once()
        assert await texts(store, LogQuery()) == ["one", "two", "three"]


async def test_a_file_that_was_cut_is_read_on_in_its_copy_and_then_from_its_beginning(tmp_path, folder):
    path = folder / "shop.catalog-v1~0.command.log"
    path.write_text("".join(f"first {n}\n" for n in range(100)))
    async with logs(tmp_path) as store:
        following = tail(folder, store)
        following.once()
        add(path, "unread before the cut\n")
        trim_log(path, cap_bytes=100)
        add(path, "after the cut\n")
        for _ in range(4):
            following.once()
        found = await texts(store, LogQuery(limit=1000))
        assert found[-2:] == ["unread before the cut", "after the cut"]
        assert len(found) == len(set(found)) == 102


async def test_a_server_that_was_killed_goes_on_where_its_store_is(tmp_path, folder):
    path = folder / "shop.catalog-v1~0.command.log"
    path.write_text("one\n")
    async with logs(tmp_path) as store:
        first = tail(folder, store)
        first.once()
        store.flush()
        add(path, "two\n")
        first.once()  # read, and lost with the process before it was written
        async with logs(tmp_path) as after:
            tail(folder, after).once()
            assert await texts(after, LogQuery()) == ["one", "two"]
            store._waiting.clear()
            store._positions.clear()


async def test_a_line_without_end_does_not_fill_the_memory(tmp_path, folder):
    path = folder / "shop.catalog-v1~0.command.log"
    path.write_bytes(b"x" * 1_000_000 + b"\nshort\n")
    async with logs(tmp_path) as store:
        following = tail(folder, store)
        for _ in range(10):
            following.once()
        found = await texts(store, LogQuery())
        assert max(map(len, found)) == 16 * 1024
        assert found[-1] == "short"
        assert following.state.behind_bytes == 0
