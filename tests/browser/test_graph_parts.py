"""Parts of the graph: boxes, one node with those around it, who depends on it; and files of it."""

from __future__ import annotations

import csv
import io

import pytest
from visits import Visit, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

CATALOG_2 = "vapp:Kubernetes/shop/catalog/v2"
NAMES = "Meshscope.page.view.cy.nodes('[kind]').map(n => n.data('label')).sort()"
DETOUR = """(() => {
    const page = Meshscope.page;
    Meshscope.stream.close();
    const known = [page.graph.nodes, page.graph.edges].map((those) => [...those.values()]);
    const [node, edge] = known.map((those) => those.find((one) => one.in || one.requests));
    const nodes = ["a", "b", "c", "d"].map((id) => [id, { ...node, id, label: id, app: id, version: "" }]);
    const edges = ["ab", "bc", "cd", "bd"].map((id) => [id, { ...edge, id, source: id[0], target: id[1] }]);
    page.set({ focus: null });
    page.received({ ...page.graph, nodes: new Map(nodes), edges: new Map(edges) });
})()"""
OUTSIDE = """(() => {
    const { cy, places } = Meshscope.page.view;
    const { x1, x2, y1, y2 } = cy.nodes("[box]").boundingBox({ includeLabels: false });
    const routes = cy.edges().map((edge) => places.routes[edge.id()]).filter(Boolean);
    const points = routes.flatMap(({ start, bends, end }) => [start, ...bends, end]);
    return points.filter(({ x, y }) => x < x1 || x > x2 || y < y1 || y > y2);
})()"""
PARENTS = "Object.fromEntries(Meshscope.page.view.cy.nodes().map(n => [n.id(), n.data('parent') || null]))"


async def test_versions_stand_in_their_apps_box_inside_the_namespaces(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    parents = await visit.ask(PARENTS)
    assert parents[CATALOG_2] == "box:Kubernetes/shop/catalog"
    assert parents["box:Kubernetes/shop/catalog"] == "ns:Kubernetes/shop"
    await visit.page.get_by_text("Display").click()
    await visit.page.get_by_label("Apps").uncheck()
    await visit.until(f"({PARENTS})['{CATALOG_2}'] === 'ns:Kubernetes/shop'")
    assert "boxes=cluster%2Cnamespace" in visit.page.url


async def test_a_shut_box_stands_for_what_is_in_it_and_opens_again(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph("/graph?shut=ns:Kubernetes/shop")
    assert "catalog" not in await visit.ask(NAMES)
    assert await visit.ask("Meshscope.page.view.cy.getElementById('shut:ns:Kubernetes/shop').data('members')") == 7
    await visit.ask("Meshscope.page.view.pick('shut:ns:Kubernetes/shop')")
    await visit.page.get_by_role("heading", name="shop", exact=True).wait_for()
    await visit.page.focus("#graph-canvas")
    await visit.page.keyboard.press("Enter")
    await visit.until(f"({NAMES}).includes('catalog')")


SHARES = """async (cases) => {
    const { condensed } = await import('/assets/js/graph-boxes.js');
    const node = (id, namespace) => [id, { id, namespace, cluster: 'c', parent: `ns:c/${namespace}`, kind: 'app', app: '', health: 'healthy' }];
    const edge = ([requests, sent, mtls], number) => [number, { id: number, source: `a${number}`, target: 'b', protocol: 'http', presence: 'live', health: 'healthy', requests, sent, mtls }];
    return cases.map((counted) => {
        const nodes = new Map([...counted.map((_, number) => node(`a${number}`, 'a')), node('b', 'b')]);
        const { edges } = condensed({ nodes, edges: new Map(counted.map(edge)) }, new Set(['ns:c/a']), new Set(), () => ({}));
        return [...edges.values()].map(({ mtls }) => mtls);
    });
}"""


async def test_a_shut_box_says_how_much_of_all_its_traffic_mutual_tls_protects(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/services")
    requests, bytes_, idle, unknown = (
        [(90, 0, 1.0), (10, 0, 0.0)],
        [(0, 300, 1.0), (0, 100, 0.5)],
        [(5, 0, 1.0), (0, 0, None)],
        [(5, 0, 1.0), (5, 0, None)],
    )
    shares = await visit.ask(SHARES, [requests, bytes_, idle, unknown])
    assert shares == [[0.9], [0.875], [1.0], [None]]


async def test_a_node_is_shown_with_its_callers_and_callees_as_far_as_asked(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph(f"/graph?sel={CATALOG_2}")
    await visit.page.get_by_role("button", name="Focus", exact=True).click()
    await visit.until(f"({NAMES}).join() === 'catalog,frontend,inventory'")
    await visit.page.get_by_role("button", name="More callers").click()
    await visit.until(f"({NAMES}).join() === 'catalog,frontend,ingress,inventory'")
    address = visit.page.url.removeprefix(visit.stage.url)
    await visit.page.get_by_role("button", name="All nodes").click()
    await visit.until(f"({NAMES}).length === 11")
    await visit.graph(address)
    assert await visit.ask(NAMES) == ["catalog", "frontend", "ingress", "inventory"]
    await visit.ask(DETOUR)
    await visit.until("Meshscope.page.view.places.routes.bd?.bends.length")
    await visit.until(f"({OUTSIDE}).length === 0")


async def test_who_depends_on_a_node_is_lit_from_its_menu_by_keys(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph(f"/graph?sel={CATALOG_2}")
    await visit.page.focus("#graph-canvas")
    await visit.page.keyboard.press("m")
    await visit.page.get_by_role("menuitem", name="Details").wait_for()
    await visit.page.keyboard.press("ArrowDown")
    await visit.page.keyboard.press("ArrowDown")
    await visit.page.keyboard.press("Enter")
    lit = "Meshscope.page.view.cy.nodes('[kind]').not('.faded').map(n => n.data('label')).sort().join()"
    await visit.until(
        f"({lit}) === 'catalog,frontend,ingress,unknown' || ({lit}) === 'catalog,frontend,ingress,outside'"
    )
    await visit.page.keyboard.press("Escape")
    await visit.until("Meshscope.page.view.cy.elements('.faded').empty()")


async def test_single_points_of_failure_are_listed_and_lead_to_their_nodes(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    points = visit.page.locator("#live-graph-panel .panel-section", has_text="Single points of failure")
    await points.get_by_role("button", name="ingress").click()
    await visit.page.get_by_role("heading", name="ingress").wait_for()


async def _saved(visit: Visit, form: str) -> bytes:
    """What lands on the disk by a click on a form in the menu."""
    await visit.page.locator("summary[aria-label=Export]").click()
    button = visit.page.locator(f"[data-export={form}]")
    await button.wait_for()
    async with visit.page.expect_download() as download:
        await button.click()
    path = await (await download.value).path()
    return path.read_bytes()


async def test_the_graph_is_saved_as_a_file(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    for form, beginning in (("dot", b"digraph"), ("json", b"{"), ("csv", b"source"), ("png", b"\x89PNG")):
        assert (await _saved(visit, form)).startswith(beginning)


async def test_a_file_holds_what_the_page_shows(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph(f"/graph?focus={CATALOG_2}&up=2&down=0&hide=name%20%3D%20ingress&find=rate%20%3E%200")
    rows = list(csv.DictReader(io.StringIO((await _saved(visit, "csv")).decode())))
    assert [(row["source_label"], row["target_label"], row["found"]) for row in rows] == [("frontend", "catalog", "1")]
    await visit.page.get_by_label("Hide nodes and edges").fill("name =")
    assert len((await _saved(visit, "csv")).splitlines()) > 2


async def test_every_word_of_the_language_has_an_example_that_can_be_tried(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    missing = await visit.ask("""async () => {
        const { WORDS, parse } = await import('/assets/js/find.js');
        const { HELP } = await import('/assets/js/find-help.js');
        const rows = Object.values(HELP).flat();
        rows.forEach(([, example]) => parse(example));
        return WORDS.filter((word) => !rows.some(([name]) => name === word));
    }""")
    assert missing == []
    await visit.page.get_by_label("How to find and hide").first.click()
    await visit.page.get_by_role("button", name="degraded", exact=True).click()
    await visit.until("Meshscope.page.found?.size === 2")


async def test_where_a_traces_time_went_is_lit(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph(f"/graph?sel={CATALOG_2}")
    await visit.page.get_by_role("button", name="Critical path of GET /").first.click()
    await visit.page.get_by_text("Critical path of GET /", exact=False).first.wait_for()
    await visit.until("Meshscope.page.view.cy.nodes('.faded').nonempty()")
    assert "trace=" in visit.page.url


async def test_everything_opened_at_once_has_no_accessibility_violation(visitor: Visitor) -> None:
    visit = await visitor(color_scheme="light")
    await visit.graph()
    at = await visit.ask("Date.now() - 60000")
    await visit.graph(f"/graph?focus={CATALOG_2}&find=nmae&from=-240s&at={at}")
    await visit.page.get_by_text("Legend").click()
    await visit.page.get_by_label("How to find and hide").first.click()
    await visit.ask("Meshscope.page.openMenu(Meshscope.page.state.focus, { x: 300, y: 200 })")
    assert await visit.violations_in_both_themes() == []
