import pytest

from collectors.errors import CollectorError
from collectors.snapshots import SqliteSnapshots


@pytest.fixture
async def store(tmp_path):
    async with SqliteSnapshots(tmp_path / "snapshots.db", retention_s=60) as opened:
        yield opened


async def test_the_newest_frame_not_later_than_an_instant_is_found(store):
    for at_ms in (10_000, 20_000, 30_000):
        await store.append(at_ms, f"frame {at_ms}".encode())
    assert await store.at(25_000) == (20_000, b"frame 20000")
    assert await store.at(20_000) == (20_000, b"frame 20000")
    assert await store.at(99_000) == (30_000, b"frame 30000")
    assert await store.at(9_999) is None
    assert await store.span() == (10_000, 30_000)


async def test_frames_older_than_the_retention_are_let_go(store):
    for at_ms in range(0, 200_000, 10_000):
        await store.append(at_ms, b"frame")
    assert await store.span() == (130_000, 190_000)


async def test_an_empty_store_has_no_span(store):
    assert await store.span() is None
    assert await store.at(1) is None


async def test_frames_survive_the_process(tmp_path):
    async with SqliteSnapshots(tmp_path / "s.db") as store:
        await store.append(1000, b"frame")
    async with SqliteSnapshots(tmp_path / "s.db") as store:
        assert await store.at(5000) == (1000, b"frame")


async def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "s.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(CollectorError, match=r"s\.db"):
        async with SqliteSnapshots(tmp_path / "s.db"):
            pass
