"""The address holds what a person chose: a pasted link shows the same picture, and one can go back."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from visits import Visit, Visitor

from console.web.api.common import instant
from console.web.errors import Invalid

pytestmark = pytest.mark.asyncio(loop_scope="session")

NODE = "vapp:Kubernetes/shop/catalog/v2"


async def pasted(visit: Visit, visitor: Visitor) -> Visit:
    """Open the same address in another window."""
    other = await visitor()
    await other.graph(visit.page.url.removeprefix(visit.stage.url))
    return other


async def test_a_moment_may_be_said_as_the_api_takes_it(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph("/graph?at=-60s&window=1m")
    assert 55_000 < await visit.ask("Date.now() - Meshscope.page.state.at") < 120_000
    assert await visit.ask("Meshscope.page.graph.at <= Meshscope.page.state.at")
    assert await visit.ask("Meshscope.page.graph.window") == 60
    await visit.page.get_by_role("button", name="Back to live").wait_for()
    now = 1_763_749_800_000
    forms = {"-1h30m": now - 5_400_000, "now-90": now - 90_000, "now": None, "1763749800.5": now + 500}
    forms |= {str(now): now, "2025-11-21T18:30:00Z": now, "2025-11-21T19:30:00+01:00": now}
    forms |= {"2025-11-21T18:30": now, "tomorrow": "tomorrow"}
    read = "async ([texts, now]) => { const { instant } = await import('/assets/js/moments.js'); return texts.map((text) => instant(text, now)); }"
    assert await visit.ask(read, [list(forms), now]) == list(forms.values())
    assert [_by_server(text, now) for text in forms] == [now if at is None else at for at in forms.values()]


def _by_server(text: str, now_ms: int) -> int | str:
    try:
        return instant(text, now_ms)
    except Invalid:
        return text


async def test_a_moment_that_is_none_is_complained_of(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/graph?at=yesterday")
    notice = visit.page.locator("#graph-notice")
    await notice.wait_for()
    assert "no instant; write it as" in await notice.inner_text()
    assert all("422" in trouble for trouble in visit.troubles)
    visit.troubles.clear()


async def test_a_pasted_link_shows_what_its_sender_saw(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    await visit.page.get_by_text("Display").click()
    for box in ("Latency p99", "Idle nodes and edges", "Traffic animation", "Apps"):
        await visit.page.get_by_label(box, exact=True).click()
    await visit.page.get_by_text("Legend").click()
    await visit.page.get_by_role("button", name="Look at an earlier moment").click()
    await visit.until("Meshscope.page.state.at && Meshscope.page.graph.at < Date.now() - 60000")
    await visit.page.get_by_label("Speed").select_option("slow")
    await visit.ask(f"Meshscope.page.select('{NODE}')")
    await visit.page.get_by_role("button", name="Who depends on it").click()
    await visit.page.get_by_role("button", name="Zoom in").click()
    await visit.until("location.search.includes('camera=')")
    state = """JSON.stringify(Meshscope.page.state, (_, value) => value instanceof Set ? [...value].sort() : value)"""
    seen = """(() => { const { x1, y1, w, h } = Meshscope.page.view.cy.extent();
        return [Meshscope.page.graph.at, ...[x1, y1, w, h].map(Math.round)] })()"""
    other = await pasted(visit, visitor)
    assert await other.ask(state) == await visit.ask(state)
    assert await other.ask(seen) == pytest.approx(await visit.ask(seen), abs=1.5, rel=0)
    assert await other.ask("document.querySelector('.legend').open")
    assert not await other.page.get_by_label("Latency p50").is_checked()


async def test_what_was_chosen_is_gone_back_from_and_forth_to(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    render = await visit.ask("document.getElementById('graph-page').dataset.render")
    await visit.page.select_option("#graph-type", "service")
    await visit.until("Meshscope.page.graph?.type === 'service'")
    await visit.page.fill("#graph-find", "name = orders")
    await visit.until("Meshscope.page.found?.size === 1")
    await visit.page.fill("#graph-find", "name = catalog")
    await visit.until("location.search.includes('catalog')")
    await visit.page.go_back()
    await visit.until("document.getElementById('graph-find').value === ''")
    await visit.page.go_back()
    await visit.until("Meshscope.page.graph?.type === 'versionedApp'")
    assert await visit.page.input_value("#graph-type") == "versionedApp"
    await visit.page.go_forward()
    await visit.page.go_forward()
    await visit.until("document.getElementById('graph-find').value === 'name = catalog'")
    assert await visit.ask("document.getElementById('graph-page').dataset.render") == render


async def test_the_navigation_leads_back_to_the_graph_as_it_is_at_first(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph(f"/graph?type=app&find={quote('!healthy')}")
    await visit.page.get_by_role("link", name="Traffic graph").click()
    await visit.until("Meshscope.page.graph?.type === 'versionedApp'")
    assert await visit.page.input_value("#graph-find") == ""
    await visit.page.get_by_role("link", name="Traces").click()
    await visit.page.get_by_role("heading", name="Traces", exact=True).wait_for()
    await visit.page.go_back()
    await visit.page.wait_for_selector("#graph-page[data-placed]", state="attached")


async def test_a_blank_at_the_end_of_what_is_typed_stays(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    await visit.page.locator("#graph-find").press_sequentially("not ")
    await visit.until("location.search.includes('find=not')")
    await visit.page.locator("#graph-find").press_sequentially("healthy")
    await visit.until("Meshscope.page.state.find === 'not healthy'")
