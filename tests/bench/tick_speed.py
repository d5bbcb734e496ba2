"""What news costs a page that shows 1,000 nodes: its main thread's CPU time in a real Chromium, and its longest task."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Page, async_playwright

from tests.bench.timing import ratio

BROWSER = Path(__file__).parents[1] / "browser"
NODES, EDGES = 1000, 3000
ROUNDS = 8
SETTLED_MS = 1000
"""In so long all is drawn that follows from a tick."""
PLACED = f"Meshscope.page.view.cy.nodes('[kind]').length === {NODES}"
NEWS = """() => {
    const { page } = Meshscope;
    const { nodes, edges } = page.graph;
    for (const [id, node] of nodes) nodes.set(id, { ...node, in: { ...node.in, rate: 100 * Math.random() } });
    for (const [id, edge] of edges) edges.set(id, { ...edge, rate: 100 * Math.random(), p95: 100 * Math.random() });
    page.received(page.graph);
}"""
PLAIN = """() => {
    const { cy } = Meshscope.page.view;
    cy.batch(() => cy.elements().forEach((element) => element.data("news", Math.random())));
}"""


async def report() -> AsyncIterator[str]:
    """Let all numbers change, by turns with a plain way of telling cytoscape so of each element."""
    async with _crowd() as page:
        ours, plain, longest = [], [], 0.0
        for _ in range(ROUNDS):
            tasks = await _tasks(page, NEWS)
            ours.append(sum(tasks))
            longest = max(longest, *tasks)
            plain.append(sum(await _tasks(page, PLAIN)))
    title = f"a second of a page with {NODES:,} nodes and {EDGES:,} edges, all with new numbers"
    yield ratio(ours, plain).line(title, "ms CPU", "with each element told plainly")
    yield f"the longest task of it: {longest:.0f} ms CPU"


@contextlib.asynccontextmanager
async def _crowd() -> AsyncIterator[Page]:
    console = await asyncio.create_subprocess_exec(
        sys.executable, str(BROWSER / "fake_console.py"), "0", stdout=asyncio.subprocess.PIPE
    )
    assert console.stdout
    try:
        url = (await console.stdout.readline()).decode().strip()
        async with async_playwright() as playwright:
            chromium = await playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
            )
            page = await chromium.new_page(viewport={"width": 1440, "height": 900})
            await page.goto(f"{url}/graph")
            await page.wait_for_selector("#graph-page[data-placed]", state="attached")
            await page.evaluate((BROWSER / "crowd.js").read_text(), [NODES, EDGES])
            while not await page.evaluate(PLACED):
                await page.wait_for_timeout(100)
            await page.wait_for_timeout(3 * SETTLED_MS)
            yield page
            await chromium.close()
    finally:
        console.terminate()
        await console.wait()


async def _tasks(page: Page, script: str) -> list[float]:
    """Milliseconds of CPU time of each task of the page's main thread, in the second after a script began."""
    assert page.context.browser
    session = await page.context.browser.new_browser_cdp_session()
    events: list[dict] = []
    complete = asyncio.Event()
    session.on("Tracing.dataCollected", lambda told: events.extend(told["value"]))
    session.on("Tracing.tracingComplete", lambda _: complete.set())
    config = {"includedCategories": ["toplevel"]}
    await session.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": config})
    await page.evaluate(script)
    await page.wait_for_timeout(SETTLED_MS)
    await session.send("Tracing.end")
    await complete.wait()
    await session.detach()
    main = {(one["pid"], one["tid"]) for one in events if one.get("args", {}).get("name") == "CrRendererMain"}
    return [
        one["tdur"] / 1000
        for one in events
        if (one["pid"], one["tid"]) in main and "tdur" in one and one["name"].endswith("RunTask")
    ]
