"""What is missing is shown with what to paste, on the played mesh."""

from __future__ import annotations

import pytest
from fake_console import Stage
from visits import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_receiver_that_nobody_asked_for_says_what_to_paste_and_copies_it(visitor: Visitor) -> None:
    visit = await visitor(permissions=["clipboard-read", "clipboard-write"])
    await visit.go("/signals")
    row = visit.page.locator(".signal", has_text="Zipkin spans")
    assert "Not used" in await row.inner_text()
    await row.get_by_text("How to get more").click()
    await row.get_by_role("button", name="Copy").click()
    await visit.until(r"navigator.clipboard.readText().then(text => text === '[zipkin]\nport = 9411')")


async def test_a_source_that_falls_silent_is_told_while_one_looks_and_counted_beside_the_navigation(
    visitor: Visitor, stage: Stage
) -> None:
    visit = await visitor()
    await visit.go("/signals")
    row = visit.page.locator(".signal").filter(has=visit.page.get_by_role("heading", name="metrics", exact=True))
    await row.get_by_text("Present").wait_for()
    await row.get_by_text("Counters").click()
    state = stage.console.sources[0].state
    state.error = "the admin sockets do not answer"
    try:
        await row.get_by_text("Failing").wait_for()
        assert "the admin sockets do not answer" in await row.inner_text()
        assert await row.locator("details[open]").count() == 1
        await visit.until("document.querySelector('#nav-badge-signals').textContent === '1'")
    finally:
        state.error = ""
    await row.get_by_text("Present").wait_for()
