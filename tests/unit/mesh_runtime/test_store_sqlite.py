import asyncio
import sqlite3

import pytest
from config_words import namespace, route, rule, service, to, virtual_service

from mesh_runtime.api import ConfigError, Problem, dump, parse
from mesh_runtime.store.port import Change, Conflict, StoreError
from mesh_runtime.store.sqlite import MEMORY, SqliteConfig


@pytest.fixture
async def store():
    async with SqliteConfig(MEMORY, clock_ms=lambda: 1_000) as opened:
        yield opened


def put(*items, **fields):
    return Change(put=tuple(items), author="ann", **fields)


def catalog(weight=20):
    split = route(to("catalog", "v1", 100 - weight), to("catalog", "v2", weight))
    return [parse(item) for item in (service(), rule("v1", "v2"), virtual_service(split))]


async def test_a_commit_is_one_revision_with_its_author_time_and_reason(store):
    revision = await store.commit(put(*catalog(), reason="begin"))
    assert (revision.number, revision.at_ms, revision.author, revision.reason) == (1, 1_000, "ann", "begin")
    assert [str(key) for key in revision.changed] == [
        "Service shop/catalog",
        "DestinationRule shop/catalog",
        "VirtualService shop/catalog",
    ]
    assert store.current.revision == 1
    assert set(store.current.changed_in.values()) == {1}


async def test_changing_nothing_makes_no_revision(store):
    assert (await store.commit(put())).number == 0
    await store.commit(put(namespace()))
    revision = await store.commit(put(namespace(), delete=(service_key(),)))
    assert revision.number == 1
    assert [item.number for item in await store.history()] == [1]


def service_key():
    return parse(service()).key


async def test_what_is_not_admitted_changes_nothing(store):
    await store.commit(put(*catalog()))
    before = store.current
    with pytest.raises(ConfigError, match="has no subset v2"):
        await store.commit(put(parse(rule("v1"))))
    with pytest.raises(ConfigError, match="there is no service"):
        await store.commit(Change(delete=(service_key(),)))
    assert store.current is before
    assert [item.number for item in await store.history()] == [1]


async def test_a_dry_run_checks_everything_and_writes_nothing(store):
    revision = await store.commit(put(namespace()), dry_run=True)
    assert (revision.number, len(revision.changed)) == (1, 1)
    assert store.current.objects == {}
    assert await store.history() == []
    with pytest.raises(ConfigError):
        await store.commit(put(parse(virtual_service(route(to("nowhere"))))), dry_run=True)


async def test_objects_that_belong_together_can_be_deleted_together(store):
    await store.commit(put(*catalog()))
    await store.commit(Change(delete=tuple(store.current.objects)))
    assert store.current.objects == {}


async def test_an_object_changed_since_the_plan_is_a_conflict_that_names_who(store):
    key = namespace().key
    await store.commit(put(namespace(a="1"), planned_on={key: 0}))
    await store.commit(put(namespace(a="2")))
    with pytest.raises(Conflict, match="was changed in revision 2 by ann") as conflict:
        await store.commit(put(namespace(a="3"), planned_on={key: 1}))
    assert conflict.value.revision.number == 2
    with pytest.raises(Conflict):
        await store.commit(put(namespace(a="3"), planned_on={key: 0}))
    assert (await store.commit(put(namespace(a="3"), planned_on={key: 2}))).number == 3


async def test_an_object_deleted_since_the_plan_is_a_conflict(store):
    key = namespace().key
    await store.commit(put(namespace()))
    await store.commit(Change(delete=(key,), author="bob"))
    with pytest.raises(Conflict, match="by bob"):
        await store.commit(put(namespace(a="1"), planned_on={key: 1}))
    assert (await store.commit(put(namespace(a="1"), planned_on={key: 0}))).number == 3


async def test_a_change_elsewhere_is_no_conflict(store):
    await store.commit(put(namespace("a")))
    await store.commit(put(namespace("b")))
    assert (await store.commit(put(namespace("a", x="1"), planned_on={namespace("a").key: 1}))).number == 3


async def test_of_two_writers_with_the_same_plan_one_wins(store):
    key = namespace().key
    writers = [store.commit(put(namespace(a=str(n)), planned_on={key: 0})) for n in range(5)]
    results = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(item) for item in results].count(Conflict) == 4


async def test_an_object_twice_in_one_change_is_refused(store):
    with pytest.raises(StoreError, match="is there twice"):
        await store.commit(put(namespace(), namespace(a="1")))


async def test_every_revision_can_be_read_again_whole(store):
    await store.commit(put(*catalog()))
    await store.commit(put(*catalog(50)))
    await store.commit(Change(delete=tuple(item.key for item in catalog())))
    texts = [dump((await store.at(number)).objects.values()) for number in range(4)]
    assert texts[0] == texts[3] == ""
    assert texts[1] == dump(sorted(catalog(), key=lambda item: item.key))
    assert "weight: 50" in texts[2]
    assert set((await store.at(2)).changed_in.values()) == {1, 2}
    with pytest.raises(StoreError, match="there is no revision 4"):
        await store.at(4)


async def test_a_revisions_changes_have_both_sides(store):
    await store.commit(put(namespace("a"), namespace("b")))
    await store.commit(put(namespace("b", x="1"), namespace("c"), delete=(namespace("a").key,)))
    sides = {before.key.name: (before.old, before.new) for before in await store.changes(2)}
    assert sides == {
        "a": (namespace("a"), None),
        "b": (namespace("b"), namespace("b", x="1")),
        "c": (None, namespace("c")),
    }
    with pytest.raises(StoreError):
        await store.changes(0)


async def test_the_history_of_one_object_leaves_out_the_others(store):
    await store.commit(put(namespace("a")))
    await store.commit(put(namespace("b")))
    await store.commit(Change(delete=(namespace("a").key,)))
    assert [item.number for item in await store.history(key=namespace("a").key)] == [3, 1]
    assert [item.number for item in await store.history(limit=2)] == [3, 2]


async def test_a_rollback_is_a_new_revision_equal_to_the_old_one(store):
    await store.commit(put(*catalog()))
    first = dump(store.current.objects.values())
    await store.commit(put(*catalog(90), namespace()))
    revision = await store.rollback(1, author="bob")
    assert (revision.number, revision.author, revision.reason) == (3, "bob", "roll back to revision 1")
    assert dump((await store.at(3)).objects.values()) == first
    assert store.current.objects == (await store.at(1)).objects
    await store.rollback(0, author="bob")
    assert store.current.objects == {}
    with pytest.raises(StoreError):
        await store.rollback(9, author="bob")


async def test_a_watcher_sees_the_newest_config_and_not_each(store):
    watch = store.watch()
    assert (await anext(watch)).revision == 0
    for number in range(3):
        await store.commit(put(namespace(n=str(number))))
    assert (await anext(watch)).revision == 3
    waiting = asyncio.ensure_future(anext(watch))  # noqa: TID251
    await store.commit(put(namespace(n="last")))
    assert (await waiting).revision == 4


async def test_a_watcher_ends_when_the_store_is_closed():
    store = SqliteConfig(MEMORY)
    await store.open()

    async def close_after_first():
        async for _ in store.watch():
            await store.close()

    await close_after_first()
    with pytest.raises(StoreError, match="not open"):
        await store.commit(put(namespace()))


async def test_everything_is_there_after_opening_again(tmp_path):
    async with SqliteConfig(tmp_path / "config.db") as store:
        await store.commit(put(*catalog()))
        before = store.current
    async with SqliteConfig(tmp_path / "config.db") as store:
        assert store.current == before
        assert (await store.commit(put(namespace()))).number == 2


async def test_an_object_is_as_old_as_it_has_been_there_without_a_break(tmp_path):
    kept, again = namespace(), namespace("other")
    async with SqliteConfig(tmp_path / "config.db") as store:
        await store.commit(put(kept, again))
        await store.commit(put(namespace(team="one"), delete=(again.key,)))
        await store.commit(put(again))
        assert [store.current.objects[item.key].since for item in (kept, again)] == [1, 3]
    async with SqliteConfig(tmp_path / "config.db") as store:
        assert [store.current.objects[item.key].since for item in (kept, again)] == [1, 3]


async def test_a_file_has_one_writer(tmp_path):
    async with SqliteConfig(tmp_path / "config.db"):
        with pytest.raises(StoreError, match="another server uses this data directory"):
            await SqliteConfig(tmp_path / "config.db").open()
    async with SqliteConfig(tmp_path / "config.db"):
        pass


async def test_a_file_that_is_no_database_is_an_error_in_words(tmp_path):
    (tmp_path / "config.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        await SqliteConfig(tmp_path / "config.db").open()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "config.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="newer version"):
        await SqliteConfig(tmp_path / "config.db").open()


async def test_a_stored_object_that_is_no_longer_valid_is_named(tmp_path):
    async with SqliteConfig(tmp_path / "config.db") as store:
        await store.commit(put(namespace()))
    with sqlite3.connect(tmp_path / "config.db") as db:
        db.execute('UPDATE objects SET manifest = \'{"kind": "Nothing"}\'')
    db.close()
    with pytest.raises(StoreError, match="the stored Namespace shop is not valid"):
        await SqliteConfig(tmp_path / "config.db").open()


async def test_problems_that_were_there_before_do_not_block_other_changes(tmp_path):
    async with SqliteConfig(tmp_path / "config.db", admit=lambda _: ()) as store:
        await store.commit(put(parse(virtual_service(route(to("nowhere"))))))
    async with SqliteConfig(tmp_path / "config.db") as store:
        assert (await store.commit(put(namespace()))).number == 2
        with pytest.raises(ConfigError):
            await store.commit(put(parse(virtual_service(route(to("nowhere")), name="other"))))


async def test_a_full_disk_is_an_error_that_changed_nothing(tmp_path):
    async with SqliteConfig(tmp_path / "config.db") as store:
        await store.commit(put(namespace("a")))
        await store._run(lambda: store._db.execute("PRAGMA max_page_count = 1"))
        big = parse(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b", "annotations": {"x": "y" * 99_999}}}
        )
        with pytest.raises(StoreError, match="nothing was changed: database or disk is full"):
            await store.commit(put(big))
        assert store.current.revision == 1
        await store._run(lambda: store._db.execute("PRAGMA max_page_count = 1000"))
        assert (await store.commit(put(big))).number == 2


async def test_a_writer_who_stops_waiting_leaves_nothing_half_done(store):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store.commit(put(namespace(f"n{n}")))) for n in range(20)]
        await tasks[3]
        for task in tasks[4:]:
            task.cancel()
    now = store.current
    assert (await store.at(now.revision)).objects == now.objects
    assert len(await store.history()) == store.current.revision


async def test_the_clock_and_the_admission_are_the_callers():
    problem = Problem("everything", "", "is refused")
    async with SqliteConfig(MEMORY, admit=lambda config: (problem,) if config.objects else ()) as store:
        with pytest.raises(ConfigError, match="everything: is refused"):
            await store.commit(put(namespace()))
