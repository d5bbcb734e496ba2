"""Services and workloads, on the played mesh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fake_console import Stage
from visits import Visitor

from graph.model import GraphType, Inventory

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def second_cluster(stage: Stage) -> Iterator[None]:
    """Whatever the shop has is in the cluster west, too, where nobody calls it."""
    known = stage.shop.inventory()
    twice = Inventory(
        workloads=known.workloads
        | {(ref := old._replace(cluster="west")): replace(one, ref=ref) for old, one in known.workloads.items()},
        services=known.services
        | {
            (ref := old._replace(cluster="west")): replace(one, ref=ref, workloads=())
            for old, one in known.services.items()
        },
    )
    stage.console.live.inventory(twice)
    yield
    stage.console.live.inventory(known)


def share_of_catalog_1(stage: Stage) -> float:
    """How many of a hundred requests to the catalog its first version got in the last minute."""
    edges = stage.console.live.snapshot(GraphType.WORKLOAD, 60).edges.values()
    requests = {edge.target: edge.signals.requests for edge in edges if "/catalog-v" in edge.target}
    (first,) = (count for target, count in requests.items() if target.endswith("v1"))
    return float(100 * first / sum(requests.values()))


async def test_a_workload_tells_why_it_is_not_well_and_where_its_requests_went(visitor: Visitor, stage: Stage) -> None:
    visit = await visitor()
    await visit.go("/workloads")
    table = visit.page.get_by_role("table", name="Workloads")
    await (
        table.locator("tr", has_text="inventory-v1")
        .get_by_title("requests that it sent in 1 min ended in 502")
        .wait_for()
    )
    await table.get_by_role("link", name="catalog-v2").click()
    main = visit.page.get_by_role("main")
    await main.get_by_text("of the HTTP requests that came to it in 1 min ended in 503").wait_for()
    for direction in ("Inbound", "Outbound"):
        card = main.locator(".card", has=visit.page.get_by_role("heading", name=direction))
        await card.get_by_alt_text("over time").nth(2).wait_for()
    with stage.still():
        await visit.page.reload()
        versions = visit.page.get_by_role("table", name="Versions").get_by_role("row").nth(1)
        await versions.get_by_role("cell", name=f"{share_of_catalog_1(stage):.0f} %", exact=True).wait_for()
    await visit.page.get_by_role("table", name="Called by").get_by_role("link", name="frontend-v1", exact=True).click()
    await visit.page.get_by_role("heading", name="frontend-v1", level=1).wait_for()


async def test_a_workload_leads_to_its_proxy_its_config_its_service_and_its_place_in_the_graph(
    visitor: Visitor,
) -> None:
    visit = await visitor()
    for name, arrived in (
        ("shop/catalog-v2~3", "/proxies/shop/catalog-v2~3"),
        ("good for", "/certificates/shop/catalog-v2~3"),
        ("DestinationRule catalog", "/config/DestinationRule/shop/catalog"),
        ("catalog", "/services/shop/catalog"),
    ):
        await visit.go("/workloads/shop/catalog-v2")
        await visit.page.get_by_role("link", name=name, exact=name == "catalog").click()
        await visit.until(f"decodeURIComponent(location.pathname) === '{arrived}'")
    await visit.go("/workloads/shop/catalog-v2")
    await visit.page.get_by_role("link", name="Show in the graph").click()
    await visit.page.wait_for_selector("#graph-page[data-placed]", state="attached")
    assert await visit.ask("Meshscope.page.view.cy.nodes(':selected').map(node => node.id())") == [
        "wl:Kubernetes/shop/catalog-v2"
    ]


async def test_a_workload_shows_its_own_log_lines_while_its_page_is_drawn_anew(visitor: Visitor) -> None:
    visit = await visitor()
    followed: list[str] = []
    visit.page.on("websocket", lambda socket: followed.append(socket.url) if "/logs/live" in socket.url else None)
    async with visit.page.expect_event("websocket", lambda socket: "/logs/live" in socket.url):
        await visit.go("/workloads/shop/catalog-v2?span=300")
    await visit.page.get_by_text("5 min ago").first.wait_for()
    curve = await visit.page.get_by_alt_text("over time").first.get_attribute("src")
    await visit.until(f"document.querySelector('img[alt*=\"over time\"]').src !== {curve!r}")
    (url,) = followed
    assert "namespace=shop&workload=catalog-v2" in url


@pytest.mark.usefixtures("second_cluster")
@pytest.mark.parametrize(("page", "name"), [("services", "catalog"), ("workloads", "catalog-v2")])
async def test_the_same_name_in_two_clusters_is_told_apart(visitor: Visitor, page: str, name: str) -> None:
    visit = await visitor()
    await visit.go(f"/{page}?q=shop/{name}")
    rows = visit.page.get_by_role("table").locator("tbody tr")
    await rows.filter(has_text="west").get_by_role("link", name=name).click()
    await visit.page.get_by_text("Nobody has called it").wait_for()
    assert "cluster=west" in visit.page.url

    await visit.go(f"/{page}/shop/{name}")
    await visit.page.get_by_text("in 2 clusters; which one?").wait_for()
    await visit.page.get_by_role("main").get_by_role("link", name="Kubernetes").click()
    await visit.page.get_by_alt_text("Requests over time").first.wait_for()


async def test_a_chart_tells_what_it_was_at_under_the_pointer(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/workloads/shop/catalog-v1?span=3600")  # at whose beginning nobody watched
    plot = visit.page.locator(".chart-plot").nth(2)
    box = await plot.bounding_box()
    assert box
    await plot.hover(position={"x": box["width"] - 2, "y": 20})
    await visit.page.locator(".chart-tip", has_text="p50").wait_for()
    await plot.hover(position={"x": 2, "y": 20})
    await visit.page.locator(".chart-tip").wait_for(state="hidden")


async def test_a_name_that_nobody_has_leads_back_to_the_list(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/workloads/shop/nobody")
    await visit.page.get_by_text("There is no workload nobody in namespace shop").wait_for()
    await visit.page.get_by_role("link", name="All workloads").click()
    await visit.page.get_by_role("table", name="Workloads").wait_for()
