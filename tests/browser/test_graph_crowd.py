"""A large graph: drawn as lines and rows, told of by what is wrong, and still to be clicked, found, and read as tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from visits import Visit, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

NODES, EDGES = 240, 600
CROWD = (Path(__file__).parent / "crowd.js").read_text()


async def crowded(visitor: Visitor) -> Visit:
    visit = await visitor()
    await visit.graph()
    await visit.ask(CROWD, [NODES, EDGES])
    await visit.until(f"Meshscope.page.view.cy.nodes('[kind]').length === {NODES}")
    return visit


async def test_of_many_edges_those_in_trouble_are_told_and_any_can_be_chosen(visitor: Visitor) -> None:
    visit = await crowded(visitor)
    assert await visit.ask("Meshscope.page.view.cy.edges().map(edge => edge.data('health'))") == ["failure"]
    assert await visit.ask("Meshscope.page.view.crowd.edges.size") == EDGES - 1
    chosen, x, y = await visit.ask("""(() => {
        const { view } = Meshscope.page;
        const stage = view.container.getBoundingClientRect(), [zoom, pan] = [view.cy.zoom(), view.cy.pan()];
        for (const { id, source, target } of view.crowd.edges.values()) {
            const [from, to] = [source, target].map((end) => view.places.nodes[end]);
            for (const share of [0.5, 0.3, 0.7, 0.4]) {
                const place = { x: from.x + share * (to.x - from.x), y: from.y + share * (to.y - from.y) };
                const isFree = Object.values(view.places.nodes).every((node) => Math.abs(node.x - place.x) > 60 || Math.abs(node.y - place.y) > 90);
                if (isFree && view.crowd.at(place) === id) return [id, stage.x + place.x * zoom + pan.x, stage.y + place.y * zoom + pan.y];
            }
        }
        return ["none is free", 0, 0];
    })()""")
    await visit.page.mouse.click(x, y)
    await visit.until(f"Meshscope.page.state.selection === {chosen!r}")
    assert await visit.ask(f"Meshscope.page.view.cy.getElementById({chosen!r}).selected()")


async def test_news_touches_only_what_looks_different(visitor: Visitor) -> None:
    visit = await crowded(visitor)
    await visit.page.wait_for_timeout(100)
    touched = """(() => {
        const { view, graph } = Meshscope.page;
        const touched = new Set();
        view.cy.on('data style', ({ target }) => { if (target !== view.cy) touched.add(target.id()); });
        for (const [id, node] of graph.nodes) graph.nodes.set(id, { ...node, in: { ...node.in, rate: 77 } });
        const [id, node] = graph.nodes.entries().next().value;
        graph.nodes.set(id, { ...node, health: 'degraded' });
        Meshscope.page.received(graph);
        return [...touched].filter((one) => view.graph.nodes.has(one)).length;
    })()"""
    assert await visit.ask(touched) == 1


async def test_a_long_table_shows_what_is_found_first(visitor: Visitor) -> None:
    visit = await crowded(visitor)
    await visit.page.keyboard.press("t")
    await visit.page.get_by_text(f"200 of {NODES}").wait_for()
    await visit.page.fill("#graph-find", "name = service-239")
    first = visit.page.locator("#graph-table tbody tr").first
    await first.get_by_role("button", name="service-239", exact=True).wait_for()
    assert await visit.page.locator("#graph-table tbody tr").count() == 400
