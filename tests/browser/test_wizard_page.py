from __future__ import annotations

import pytest
from playwright.async_api import Locator
from visits import Visit, Visitor

from wizards.intents import share

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def opened(visit: Visit, path: str = "/services") -> Locator:
    await visit.go(path)
    await visit.page.get_by_role("button", name="Shift traffic").first.click()
    dialog = visit.page.get_by_role("dialog", name="Shift traffic of catalog.shop")
    await dialog.get_by_role("slider").first.wait_for()
    return dialog


async def shares(dialog: Locator) -> list[str]:
    return await dialog.locator(".weight").all_inner_texts()


async def test_sliders_always_add_up_to_a_hundred(visitor: Visitor) -> None:
    visit = await visitor()
    dialog = await opened(visit)
    second = dialog.get_by_role("slider", name="Weight of v2 in percent")
    await second.focus()
    for key, weight in (("ArrowRight", 11), ("End", 100), ("ArrowLeft", 99), ("Home", 0), ("ArrowRight", 1)):
        await visit.page.keyboard.press(key)
        shown = f"{100 - weight} %,{weight} %"
        await visit.until(
            f"[...document.querySelectorAll('dialog .weight')].map(one => one.innerText).join() === '{shown}'"
        )


async def test_a_split_is_planned_applied_and_taken_back_exactly(visitor: Visitor) -> None:
    visit = await visitor()
    store = visit.stage.console.store
    before = {key: item.manifest for key, item in store.current.objects.items()}
    dialog = await opened(visit, "/graph?sel=vapp:Kubernetes/shop/catalog/v2")
    await dialog.get_by_role("slider", name="Weight of v2 in percent").focus()
    for _ in range(5):
        await visit.page.keyboard.press("ArrowRight")
    await dialog.get_by_role("region", name="VirtualService shop/catalog").get_by_text("weight: 15").wait_for()
    await dialog.get_by_role("button", name="Apply").click()
    outcome = dialog.locator(".outcome")
    await outcome.get_by_text("Applied.").wait_for()
    assert "8 of 8 proxies acknowledged in 47 ms" in await outcome.inner_text()
    weights = [
        r["weight"]
        for i in store.current.of("VirtualService", "shop")
        if i.key.name == "catalog"
        for r in i.manifest["spec"]["http"][0]["route"]
    ]
    assert weights == [85, 15]
    await dialog.get_by_role("button", name="Undo").click()
    await outcome.get_by_text("Taken back.").wait_for()
    assert {key: item.manifest for key, item in store.current.objects.items()} == before
    assert await shares(dialog) == ["90 %", "10 %"]


async def test_a_change_by_somebody_else_is_a_conflict_not_a_loss(visitor: Visitor) -> None:
    visit = await visitor()
    demo = visit.stage.console.demo
    dialog = await opened(visit)
    await dialog.get_by_role("slider", name="Weight of v2 in percent").focus()
    await visit.page.keyboard.press("ArrowRight")
    await dialog.get_by_role("button", name="Apply").and_(visit.page.locator(":enabled")).wait_for()
    await demo.fault("slow", author="someone else")
    try:
        await dialog.get_by_role("button", name="Apply").click()
        alert = dialog.get_by_role("alert")
        await alert.wait_for()
        assert "someone else" in await alert.inner_text()
    finally:
        await demo.fault("off")


async def test_escape_closes_the_dialog_and_nothing_has_changed(visitor: Visitor) -> None:
    visit = await visitor()
    revision = visit.stage.console.store.current.revision
    dialog = await opened(visit)
    await visit.page.keyboard.press("Escape")
    await dialog.wait_for(state="hidden")
    assert visit.stage.console.store.current.revision == revision


async def test_the_browser_shares_out_as_the_wizard_does(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/")
    cases = [
        ({"v1": 90, "v2": 10}, "v2", 33),
        ({"a": 34, "b": 33, "c": 33}, "a", 11),
        ({"a": 100, "b": 0, "c": 0}, "a", 1),
        ({"a": 0, "b": 50, "c": 50}, "c", 99),
    ]
    found = await visit.ask(
        "async (cases) => { const { rebalance } = await import('/assets/js/wizard.js'); return cases.map((one) => rebalance(...one)); }",
        [list(case) for case in cases],
    )
    others = [{name: weight for name, weight in weights.items() if name != moved} for weights, moved, _ in cases]
    assert found == [{moved: to, **share(100 - to, rest)} for (_, moved, to), rest in zip(cases, others, strict=True)]
