from __future__ import annotations

import pytest
from visits import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

EDGE = "vapp:Kubernetes/shop/frontend/v1>vapp:Kubernetes/shop/catalog/v2>http"
NODE = "vapp:Kubernetes/shop/catalog/v2"
WAYS = {
    "Traces": "/traces?app=catalog&version=v2",
    "Live requests": "/tap?target=catalog-v2.shop",
    "Logs": "/logs?namespace=shop&workload=catalog-v2",
    "Workload": "/workloads/shop/catalog-v2",
    "Service": "/services/shop/catalog",
}
POSITIONS = "Object.fromEntries(Meshscope.page.view.cy.nodes('[kind]').map(n => [n.id(), n.position()]))"
TEXT = f"Meshscope.page.view.cy.getElementById('{EDGE}').data('text')"


async def test_the_graph_appears_with_every_workload(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    names = await visit.ask("Meshscope.page.view.cy.nodes('[kind]').map(n => n.data('label'))")
    assert {"ingress", "frontend", "catalog", "inventory", "orders", "db", "payments.example.com"} <= set(names)
    assert await visit.ask("document.title") == "Traffic graph · Meshscope"


async def test_an_edge_follows_a_change_of_traffic_and_no_node_moves(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    before, places = await visit.ask(TEXT), await visit.ask(POSITIONS)
    visit.stage.shop.split(80)
    try:
        await visit.until(f"({TEXT}) !== {before!r} && parseFloat({TEXT}) > 8")
    finally:
        visit.stage.shop.split(10)
    assert await visit.ask(POSITIONS) == places


async def test_nodes_stand_where_they_stood_after_a_reload(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    places = await visit.ask(POSITIONS)
    await visit.graph()
    assert await visit.ask(POSITIONS) == places


COVERED = """(() => {
    const { cy } = Meshscope.page.view;
    const rect = (x, y, width, height) => ({ x1: x - width / 2, x2: x + width / 2, y1: y - height / 2, y2: y + height / 2 });
    const labels = cy.edges().filter((edge) => edge.data('text')).map((edge) => {
        edge.boundingBox();
        return [edge.id(), edge._private.labelBounds.source];
    });
    const nodes = cy.nodes('[kind]').flatMap((node) => {
        const { x, y } = node.position();
        const badges = node.data('badges').map((_, index) => [`badge of ${node.id()}`, rect(x + 25 - 20 * index, y - 25, 18, 18)]);
        return [[node.id(), rect(x, y, node.width(), node.height())], ...badges];
    });
    const touch = (a, b) => a.x1 < b.x2 - 4 && b.x1 < a.x2 - 4 && a.y1 < b.y2 - 4 && b.y1 < a.y2 - 4;
    const others = (index) => [...nodes, ...labels.slice(index + 1)];
    return labels.flatMap(([id, box], index) => others(index).filter(([, other]) => touch(box, other)).map(([other]) => [id, other]));
})()"""


@pytest.mark.parametrize(
    ("address", "width"),
    [
        ("/graph", 1440),
        ("/graph?labels=rate,errors,p50,p95,p99,mtls", 1920),
        ("/graph?type=workload&boxes=none&from=-120s", 800),
        ("/graph?type=operation&labels=rate,p95", 1440),
    ],
)
async def test_labels_badges_and_nodes_do_not_cover_each_other(visitor: Visitor, address: str, width: int) -> None:
    visit = await visitor(viewport={"width": width, "height": 900})
    visit.stage.shop.fault("failing")
    try:
        await visit.graph(address)
        assert await visit.ask("Meshscope.page.view.cy.edges().length") > 5
        assert await visit.ask(COVERED) == []
    finally:
        visit.stage.shop.fault("off")


async def test_the_panel_tells_about_a_node_and_where_its_numbers_come_from(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph(f"/graph?sel={NODE}")
    panel = visit.page.locator("#live-graph-panel")
    await panel.get_by_role("heading", name="catalog v2").wait_for()
    text = await panel.inner_text()
    for expected in (
        "Requests",
        "Errors",
        "Latency p95",
        "frontend v1",
        "VirtualService catalog",
        "the caller's proxy",
        "GET /",
    ):
        assert expected in text
    needed = panel.locator(".panel-section", has=visit.page.get_by_role("heading", name="Who depends on it"))
    answer = await visit.ask(
        f"fetch('/api/v1/analysis/blast-radius?window=10&node={NODE}').then((answer) => answer.json())"
    )
    assert {one["label"] for one in answer["callers"]} >= {"frontend", "ingress"}
    for caller in answer["callers"]:
        await needed.get_by_role("button", name=caller["label"]).first.wait_for()
    ways = {name: await panel.get_by_role("link", name=name, exact=True).get_attribute("href") for name in WAYS}
    assert ways == WAYS


async def test_a_peer_in_the_panel_leads_to_its_edge(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph(f"/graph?sel={NODE}")
    await visit.page.locator("#live-graph-panel").get_by_role("button", name="frontend v1").first.click()
    await visit.page.get_by_role("heading", name="frontend v1 → catalog v2").wait_for()
    assert "sel=" in visit.page.url


async def test_find_marks_and_hide_takes_away_and_the_address_remembers(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    await visit.page.fill("#graph-find", "%err > 1")
    await visit.page.fill("#graph-hide", "name = orders")
    await visit.until("Meshscope.page.found?.size === 2 && Meshscope.page.hidden.size > 1")
    address = visit.page.url
    again = await visitor()
    await again.graph(address.removeprefix(visit.stage.url))
    assert await again.ask("document.getElementById('graph-find').value") == "%err > 1"
    await again.until("Meshscope.page.found?.size === 2")
    assert await again.ask("Meshscope.page.view.cy.nodes('[label=\"orders\"]').every(n => n.hasClass('hidden'))")


async def test_a_picture_from_which_all_is_hidden_says_why_and_leads_back(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph("/graph?hide=rps+%3E%3D+0&without=shop")
    await visit.page.get_by_text("left out by Hide (rps >= 0), the choice of namespaces").wait_for()
    await visit.page.get_by_role("button", name="Show everything").click()
    await visit.page.get_by_text("Everything is hidden").wait_for(state="hidden")
    assert "hide" not in visit.page.url


async def test_whoever_talks_to_the_namespaces_that_are_shown_is_outside_as_in_the_api(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph("/graph?without=shop&find=outside&window=300")
    await visit.until("Meshscope.page.found?.size > 0")
    told = await visit.ask(
        "fetch('/api/v1/graph?namespaces=unknown&find=outside&window=300').then((answer) => answer.json())"
    )
    assert sorted(await visit.ask("[...Meshscope.page.found]")) == sorted(told["found"]["nodes"])
    shown = "Meshscope.page.view.cy.nodes('[kind]').not('.hidden').map(node => node.id()).sort()"
    assert await visit.ask(shown) == sorted(node["id"] for node in told["nodes"])


async def test_a_mistake_in_find_is_explained(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    await visit.page.fill("#graph-find", "nmae = catalog")
    alert = visit.page.locator("#graph-find-problem")
    await alert.wait_for()
    assert "At character 1: no operand 'nmae'" in await alert.inner_text()
    await visit.page.fill("#graph-find", "rate > 1 and")
    await visit.until(
        "document.querySelector('#graph-find-problem pre').textContent === 'rate > 1 and\\n            ^'"
    )


async def test_the_table_says_the_same_as_the_picture(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph("/graph?view=table")
    table = visit.page.locator("#graph-table")
    await table.get_by_role("button", name="frontend v1 → catalog v2").click()
    await visit.page.get_by_role("heading", name="frontend v1 → catalog v2").wait_for()
    text = await table.inner_text()
    assert "Nodes (11)" in text
    secured = {cells[0]: cells[-1] for cells in (line.split("\t") for line in text.splitlines())}
    assert secured["frontend v1 → catalog v2"] == "all"
    assert secured["orders v1 → payments.example.com"] == "none"


async def test_arrow_keys_move_along_the_nodes(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    await visit.page.focus("#graph-canvas")
    for _ in range(3):
        await visit.page.keyboard.press("ArrowRight")
    await visit.page.locator("#live-graph-panel").get_by_role("heading", name="frontend v1").wait_for()


async def test_other_windows_and_types_come_by_the_same_stream(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    await visit.page.select_option("#graph-type", "service")
    await visit.page.select_option("#graph-window", "300")
    await visit.until("Meshscope.page.graph?.type === 'service' && Meshscope.page.graph.window === 300")
    assert "type=service" in visit.page.url
    assert "window=300" in visit.page.url


async def test_an_earlier_moment_is_shown_and_live_is_one_click_away(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    at = await visit.ask("Date.now() - 120000")
    await visit.graph(f"/graph?at={at}")
    assert await visit.ask("Date.now() - Meshscope.page.graph.at") > 100_000
    await visit.page.get_by_role("button", name="Back to live").click()
    await visit.until("Date.now() - Meshscope.page.graph.at < 5000")


async def test_silence_is_said_and_not_painted_over(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    with visit.stage.still():
        await visit.page.locator("#graph-notice").get_by_text("No news for").wait_for()


async def test_nothing_moves_for_people_who_asked_for_less_motion(visitor: Visitor) -> None:
    visit = await visitor(reduced_motion="reduce")
    await visit.graph()
    await visit.page.wait_for_timeout(300)
    assert await visit.ask("Meshscope.page.view.traffic.drawn") == 0


async def test_news_takes_the_focus_from_nobody(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph(f"/graph?sel={NODE}")
    await visit.page.locator("#live-graph-panel [data-select]").first.focus()
    await visit.ask("window.focused = document.activeElement, window.seen = Meshscope.stream.graph.revision")
    await visit.until("Meshscope.stream.graph.revision > window.seen + 3")
    assert await visit.ask("document.activeElement === window.focused && window.focused.isConnected")
