"""A change is made whole, seen by the proxies, and taken back to the byte."""

from __future__ import annotations

from typing import Any

import pytest
from wizard_words import ROUTES as ROUTES_YAML
from wizard_words import SERVICES, SUBSETS, Bench

from mesh_runtime.api import Config, ObjectKey, Problem, dump, load
from mesh_runtime.store.port import Change, Conflict, StoreError
from mesh_runtime.store.sqlite import SqliteConfig
from wizards.apply import ChangedSinceError, NothingToDoError, RefusedError, UnknownChangeError
from wizards.intents import Split
from wizards.wire import applied_json, applied_of, plan_json, planned_on_of

ROUTES = ObjectKey("networking.istio.io", "VirtualService", "shop", "catalog-routes")
RULES = ObjectKey("networking.istio.io", "DestinationRule", "shop", "catalog-rules")


def split(**weights: int) -> Split:
    return Split(namespace="shop", service="catalog", weights=weights or {"v1": 20, "v2": 80})


def everything(bench: Any) -> str:
    return dump(bench.store.current.objects.values())


async def test_a_plan_shows_the_difference_and_changes_nothing(bench: Any) -> None:
    before = bench.store.current
    plan = await bench.wizards.plan(split())
    (change,) = plan.changes
    assert change.key == ROUTES
    changed = [line for line in plan.diff.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    assert changed == ["-      weight: 90", "+      weight: 20", "-      weight: 10", "+      weight: 80"]
    assert not plan.errors
    assert plan.now == split(v1=90, v2=10)
    assert bench.store.current is before


async def test_an_applied_plan_is_committed_acknowledged_and_read_back(bench: Any) -> None:
    applied = await bench.wizards.apply(await bench.wizards.plan(split()), author="ada")
    assert applied.readback_ok
    assert (applied.settled.acknowledged, applied.settled.elapsed_ms) == (3, 41.0)
    assert bench.settled == [applied.revision]
    (latest,) = await bench.store.history(limit=1)
    assert (latest.number, latest.author) == (applied.revision, "ada")
    assert latest.reason == "traffic shifting: shop/catalog v1 20 %, v2 80 %"
    assert list(await bench.wizards.recent()) == [applied]


async def test_undo_brings_back_exactly_what_was(bench: Any) -> None:
    before = everything(bench)
    wanted = Split(namespace="shop", service="catalog", weights={"v1": 10, "v2": 20, "v3": 70})
    bench.running = None
    applied = await bench.wizards.apply(await bench.wizards.plan(wanted), author="ada")
    assert everything(bench) != before
    undone = await bench.wizards.undo(applied.id, author="ada")
    assert everything(bench) == before
    assert undone.readback_ok
    assert undone.undoes == applied.id


async def test_undo_removes_what_the_change_created(bench: Any) -> None:
    await bench.store.commit(Change(delete=(ROUTES,), author="grace"))
    await bench.store.commit(Change(delete=(RULES,), author="grace"))
    before = everything(bench)
    applied = await bench.wizards.apply(await bench.wizards.plan(split()), author="ada")
    assert sorted(key.kind for key in (await bench.store.history(limit=1))[0].changed) == [
        "DestinationRule",
        "VirtualService",
    ]
    await bench.wizards.undo(applied.id, author="ada")
    assert everything(bench) == before


async def test_an_undo_can_be_undone(bench: Any) -> None:
    applied = await bench.wizards.apply(await bench.wizards.plan(split()), author="ada")
    after = everything(bench)
    undone = await bench.wizards.undo(applied.id, author="ada")
    await bench.wizards.undo(undone.id, author="ada")
    assert everything(bench) == after


async def test_undo_works_from_the_history_where_the_log_lost_the_entry(bench: Any) -> None:
    before = everything(bench)
    applied = await bench.wizards.apply(await bench.wizards.plan(split()), author="ada")
    bench.log.entries.clear()
    await bench.wizards.undo(applied.id, author="ada")
    assert everything(bench) == before


async def by_hand(bench: Any, old: str, new: str, author: str = "grace") -> None:
    text = dump([bench.store.current.objects[ROUTES]])
    assert old in text
    await bench.put(text.replace(old, new), author)


async def test_undo_is_refused_over_somebody_elses_change_and_names_them(bench: Any) -> None:
    applied = await bench.wizards.apply(await bench.wizards.plan(split()), author="ada")
    await by_hand(bench, "timeout: 2s", "timeout: 3s")
    before = everything(bench)
    with pytest.raises(ChangedSinceError, match=r"changed by grace at 2023-11-14 22:13:20 UTC \(revision 5, by hand\)"):
        await bench.wizards.undo(applied.id, author="ada")
    assert everything(bench) == before


async def test_undo_does_not_mind_a_detour_that_led_back(bench: Any) -> None:
    before = everything(bench)
    applied = await bench.wizards.apply(await bench.wizards.plan(split()), author="ada")
    await by_hand(bench, "x-shop-fault: slow", "x-shop-fault: failing")
    await by_hand(bench, "x-shop-fault: failing", "x-shop-fault: slow")
    await bench.wizards.undo(applied.id, author="ada")
    assert everything(bench) == before


async def test_a_plan_on_config_that_was_changed_since_is_refused_and_names_who(bench: Any) -> None:
    plan = await bench.wizards.plan(split())
    await by_hand(bench, "timeout: 2s", "timeout: 3s")
    with pytest.raises(Conflict, match="grace"):
        await bench.wizards.apply(plan, author="ada")
    assert bench.settled == []


async def test_a_rival_that_came_after_the_plan_stops_it(bench: Any) -> None:
    plan = await bench.wizards.plan(split())
    rival = dump([bench.store.current.objects[ROUTES]]).replace("name: catalog-routes", "name: rival")
    await bench.put(rival)
    with pytest.raises(RefusedError, match="shop/rival"):
        await bench.wizards.apply(plan, author="ada")


async def test_a_plan_with_errors_is_not_applied(bench: Any) -> None:
    bench.running = ()
    plan = await bench.wizards.plan(split())
    assert {finding.code for finding in plan.errors} == {"KIA0203"}
    with pytest.raises(RefusedError, match="no instance of catalog"):
        await bench.wizards.apply(plan, author="ada")


async def test_what_is_so_already_is_not_applied(bench: Any) -> None:
    plan = await bench.wizards.plan(split(v1=90, v2=10))
    assert plan.changes == ()
    with pytest.raises(NothingToDoError):
        await bench.wizards.apply(plan, author="ada")


async def test_what_the_store_would_refuse_is_a_finding_of_the_plan() -> None:
    def frozen(config: Config) -> list[Problem]:
        return [Problem(str(ROUTES), "spec", "is frozen until Monday")] if config.revision > 1 else []

    async with SqliteConfig(":memory:", admit=frozen) as store:
        bench = Bench(store)
        await store.commit(Change(put=(*load(SERVICES), *load(SUBSETS), *load(ROUTES_YAML)), author="grace"))
        plan = await bench.wizards.plan(split())
        assert [(finding.code, finding.path) for finding in plan.errors] == [("MSC1009", "spec")]
        with pytest.raises(RefusedError, match="frozen until Monday"):
            await bench.wizards.apply(plan, author="ada")
        assert store.current.revision == 1


@pytest.mark.parametrize("applied_id", ["change-x", "yesterday", "", "change-", "change-9999999999999999999"])
async def test_an_unknown_change_cannot_be_taken_back(bench: Any, applied_id: str) -> None:
    with pytest.raises(UnknownChangeError):
        await bench.wizards.undo(applied_id, author="ada")


async def test_a_revision_that_never_was_cannot_be_taken_back(bench: Any) -> None:
    with pytest.raises(StoreError, match="no revision 99"):
        await bench.wizards.undo("change-99", author="ada")


async def test_plans_and_entries_survive_the_wire(bench: Any) -> None:
    plan = await bench.wizards.plan(split())
    data = plan_json(plan)
    assert data["appliable"] is True
    assert planned_on_of(data["plannedOn"]) == plan.planned_on
    assert [item.key for item in load(data["changes"][0]["new"])] == [ROUTES]
    applied = await bench.wizards.apply(plan, author="ada")
    assert applied_of(applied_json(applied)) == applied
