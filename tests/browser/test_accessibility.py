"""axe-core finds nothing on any page, in either theme; nothing external is asked for; the console stays silent."""

from __future__ import annotations

import pytest
from visits import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = {
    "graph": "/graph?sel=vapp:Kubernetes/shop/catalog/v2",
    "graph table": "/graph?view=table",
    "overview": "/overview",
    "services": "/services",
    "service": "/services/shop/catalog",
    "workloads": "/workloads",
    "workload": "/workloads/shop/catalog-v2",
    "traces": "/traces",
    "trace": "/traces/00000000000000000000000000000003",
    "config": "/config",
    "declaring": "/config/new/ServiceEntry",
    "proxies": "/proxies",
    "proxy": "/proxies/shop/ingress~5",
    "given": "/proxies/shop/ingress~5/secrets",
    "certificates": "/certificates",
    "certificate": "/certificates/shop/ingress~5",
    "object": "/config/VirtualService/shop/catalog",
    "history": "/config/history",
    "revision": "/config/history/1",
    "alerts": "/alerts",
    "signals": "/signals",
    "logs": "/logs?level=warn",
    "live requests": "/tap?target=catalog",
    "nowhere": "/no/such/page",
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_has_no_accessibility_violation_in_light_and_dark(visitor: Visitor, name: str) -> None:
    visit = await visitor(color_scheme="light")
    await visit.go(PAGES[name])
    await visit.page.wait_for_selector("main h1", state="attached")
    if name.startswith("graph"):
        await visit.page.wait_for_selector("#graph-page[data-placed]", state="attached")
    await visit.until("document.getElementById('live-text').textContent === 'Live'")
    assert await visit.violations_in_both_themes() == []


async def test_the_wizard_has_no_accessibility_violation_in_light_and_dark(visitor: Visitor) -> None:
    visit = await visitor(color_scheme="light")
    await visit.go("/services")
    await visit.page.get_by_role("button", name="Shift traffic").first.click()
    await visit.page.get_by_role("slider", name="Weight of v2 in percent").focus()
    await visit.page.keyboard.press("ArrowRight")
    await visit.page.get_by_text("What changes").wait_for()
    assert await visit.violations_in_both_themes() == []
