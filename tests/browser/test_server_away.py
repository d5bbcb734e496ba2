"""A server that is away for a while: what was asked for meanwhile comes when it is back."""

from __future__ import annotations

import pytest
from visits import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALLBACKS = "**/_dash-update-component*"


async def test_a_page_that_was_asked_for_while_the_server_was_away_comes_when_it_is_back(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/services")
    await visit.page.get_by_role("heading", name="Services").wait_for()
    await visit.until("document.getElementById('live-text').textContent === 'Live'")
    await visit.page.route(CALLBACKS, lambda route: route.abort())
    async with visit.page.expect_event("requestfailed"):
        await visit.page.get_by_role("link", name="Workloads").click()
    assert await visit.page.get_by_role("heading", name="Services").is_visible()
    await visit.page.unroute(CALLBACKS)
    await visit.ask("Meshscope.stream.socket.close()")
    await visit.page.get_by_role("heading", name="Workloads").wait_for()
    visit.troubles.clear()  # the browser reports what was not answered
