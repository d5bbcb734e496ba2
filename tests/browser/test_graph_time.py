"""Windows, earlier moments, and two moments compared: picture and panel tell of the same time."""

from __future__ import annotations

import pytest
from visits import Visit, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

EDGE = "vapp:Kubernetes/shop/frontend/v1>vapp:Kubernetes/shop/catalog/v2>http"


async def panel(visit: Visit, text: str) -> str:
    """Wait until the panel says it."""
    await visit.page.locator("#live-graph-panel").get_by_text(text).first.wait_for()
    return await visit.page.locator("#live-graph-panel").inner_text()


async def test_windows_are_offered_as_far_as_anybody_remembers(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    offered = await visit.ask("[...document.getElementById('graph-window').options].map(one => one.value)")
    assert offered[:2] == ["10", "60"]
    assert "86400" not in offered
    await visit.page.select_option("#graph-window", "other")
    await visit.page.get_by_label("Window", exact=True).fill("20d")
    await visit.page.get_by_role("button", name="Show", exact=True).click()
    await visit.page.get_by_text("Nobody remembers more than").wait_for()
    await visit.page.get_by_label("Window", exact=True).fill("2m30s")
    await visit.page.keyboard.press("Enter")
    await visit.until("Meshscope.page.graph?.window === 150")
    assert "window=150" in visit.page.url
    chosen = await visit.ask("document.getElementById('graph-window').selectedOptions[0].text")
    assert chosen in await panel(visit, "Last 2 min 30 s")


async def test_the_panel_tells_of_the_moment_that_is_shown(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    at = await visit.ask("Date.now() - 120000")
    visit.stage.shop.split(90)
    try:
        await visit.graph(f"/graph?at={at}&sel={EDGE}")
        text = await panel(visit, "Earlier.")
        shown = await visit.ask(f"Meshscope.page.graph.edges.get('{EDGE}').rate")
        assert f"{shown:.1f}" in text.split("Requests")[1][:40]
        assert await visit.page.locator("#live-graph-panel .metric img").count() == 3
        await visit.until("document.getElementById('live-text').textContent === 'Past'")
        await visit.page.get_by_role("button", name="Back to live").click()
        await visit.until("!document.querySelector('#live-graph-panel').innerText.includes('Earlier.')")
        await visit.until("document.getElementById('live-text').textContent === 'Live'")
    finally:
        visit.stage.shop.split(10)


async def test_of_a_moment_that_nobody_knows_nothing_is_drawn(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    canvas = visit.page.locator("#graph-canvas")
    await visit.ask("Meshscope.page.set({ at: Date.UTC(2020, 0, 15) })")
    await visit.page.locator("#graph-notice").get_by_text("Jan 2020").wait_for()
    await panel(visit, "No data for this moment")
    await canvas.wait_for(state="hidden")
    await visit.page.get_by_role("button", name="Back to live").click()
    await canvas.wait_for()
    assert all("404" in trouble for trouble in visit.troubles)
    visit.troubles.clear()


async def test_the_past_is_played_and_walked_by_keys(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    await visit.page.get_by_role("button", name="Look at an earlier moment").click()
    await visit.until("Meshscope.page.state.at && Meshscope.page.graph.at < Date.now() - 60000")
    before = await visit.ask("Meshscope.page.state.at")
    await visit.page.get_by_label("Moment", exact=True).focus()
    await visit.page.keyboard.press("ArrowRight")
    await visit.until(f"Meshscope.page.state.at > {before}")
    at = await visit.ask("Meshscope.page.state.at")
    await visit.page.get_by_role("button", name="Play from here").click()
    await visit.until(f"Meshscope.page.state.at > {at} + 15000")
    await visit.page.get_by_role("button", name="Pause").click()


async def test_what_became_worse_is_marked_listed_and_put_side_by_side(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    line = visit.stage.shop.lines["catalog-v1>inventory-v1"]  # whose rate no test changes
    line.error = 1.0
    try:
        await visit.until(
            "(Meshscope.page.graph?.edges.get("
            "'vapp:Kubernetes/shop/catalog/v1>vapp:Kubernetes/shop/inventory/v1>http')?.errors || 0) > 100"
        )
        await visit.graph("/graph?from=-60s")
        await panel(visit, "Fails more")
        await visit.page.locator("#live-graph-panel .changes button").first.click()
        text = await panel(visit, "All changes")
        assert "before" in text
        assert "Failed" in text
        assert await visit.ask("Meshscope.page.view.cy.edges('[verdict=\"failing\"]').length") >= 1
        assert "→" in await visit.ask("Meshscope.page.view.cy.edges('[verdict=\"failing\"]').first().data('text')")
    finally:
        line.error = 0.0
    await visit.page.get_by_role("button", name="Back to live").click()
    await visit.until("Meshscope.page.view.cy.edges('[verdict=\"failing\"]').empty()")
