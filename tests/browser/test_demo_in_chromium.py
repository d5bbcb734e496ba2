"""What a newcomer lives through with the real demo: a first change, a first incident, and every page in passing."""

from __future__ import annotations

import asyncio
import math
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import pytest
from demo_process import MESHSCOPE, Demo, until
from playwright.async_api import Locator
from visits import PATIENCE_S, Visit, Visitor

from console.datadir import DataDir

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("demo"),
    pytest.mark.timeout(300),
]

REQUESTS = 1000
SIGMAS = 4.9
"""Chance alone exceeds it once in a million runs."""
AT_ONCE = 16
TO_V2 = 80
ENTRANCE = "vapp:Kubernetes/shop/ingress>vapp:Kubernetes/shop/frontend>http"
TO = "vapp:Kubernetes/shop/frontend>vapp:Kubernetes/shop/catalog/{}>http"
CATALOG = "vapp:Kubernetes/shop/catalog/v2"


@dataclass
class Stage:
    """The real demo, at the place of the played one."""

    url: str
    shop: str
    demo: Demo

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [*MESHSCOPE, *command, "--data", str(self.demo.data)], capture_output=True, text=True, check=True
        )
        return done.stdout


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Demo(tmp_path_factory.mktemp("seen") / "data") as demo:
        demo.until_open()
        output = demo.output.read_text()
        page, shop = re.search(r"│ +(http://\S+)", output), re.search(r"the shop is open at (\S+)", output)
        assert page
        assert shop
        yield Stage(page[1], shop[1], demo)


@pytest.fixture
def healed(stage: Stage) -> Iterator[None]:
    """Whatever happens, the shop is well again afterwards."""
    yield
    stage.run("demo", "fault", "off")


def datum(edge: str, name: str) -> str:
    return f"Meshscope.page.view.cy.getElementById('{edge}').data('{name}')"


async def click_node(visit: Visit, node: str) -> None:
    """Click where the node stands on the canvas."""
    place = await visit.ask(f"Meshscope.page.view.cy.getElementById('{node}').renderedPosition()")
    await visit.page.locator("#graph-canvas").click(position={"x": place["x"], "y": place["y"]})


def all_acknowledged(outcome: str) -> bool:
    """Whether it says that every proxy has, and how quickly."""
    told = re.search(r"(\d+) of (\d+) proxies acknowledged in [\d.]+ m?s", outcome)
    return bool(told) and told[1] == told[2]


async def said_by(dialog: Locator, words: str) -> str:
    outcome = dialog.locator(".outcome")
    await outcome.get_by_text(words).wait_for()
    return await outcome.inner_text()


async def answered_by(shop: str) -> Counter[str]:
    """Ask the shop through its gateway; which version of the catalog stands in the answers."""
    versions: Counter[str] = Counter()
    left = iter(range(REQUESTS))
    headers = {"accept": "application/json"}

    async def ask_on(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.get(f"{shop}/search?q=tea") as answer:
                answer.raise_for_status()
                versions[(await answer.json())["version"]] += 1

    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(ask_on(session))
    return versions


async def test_a_newcomer_shifts_traffic_sees_it_happen_and_takes_it_back(visitor: Visitor, stage: Stage) -> None:
    before = stage.run("get", "virtualservice", "catalog", "-n", "shop", "-o", "yaml")
    visit = await visitor()
    page = visit.page
    await visit.graph()
    await visit.ask("window.seen = Meshscope.page.graph.revision")
    await visit.until(f"Meshscope.page.graph.revision > window.seen && {datum(ENTRANCE, 'text')}")

    await click_node(visit, CATALOG)
    panel = page.get_by_role("complementary", name="Details")
    await panel.get_by_role("heading", name="catalog v2").wait_for()
    await panel.get_by_role("button", name="Shift traffic").click()
    dialog = page.get_by_role("dialog", name="Shift traffic of catalog.shop")
    slider = dialog.get_by_role("slider", name="Weight of v2 in percent")
    await slider.focus()
    await page.keyboard.press("End")
    for _ in range(100 - TO_V2):
        await page.keyboard.press("ArrowLeft")
    weights = f"{100 - TO_V2} %,{TO_V2} %"
    await visit.until(
        f"[...document.querySelectorAll('dialog .weight')].map(one => one.innerText).join() === '{weights}'"
    )
    changes = dialog.get_by_role("region", name="VirtualService shop/catalog")
    await changes.get_by_text(f"weight: {TO_V2}", exact=True).wait_for()
    await dialog.get_by_role("button", name="Apply").click()
    assert all_acknowledged(await said_by(dialog, "Applied."))

    versions = await answered_by(stage.shop)
    assert versions.total() == REQUESTS
    share = TO_V2 / 100
    assert abs(versions["v2"] - share * REQUESTS) <= SIGMAS * math.sqrt(REQUESTS * share * (1 - share)), versions
    v1, v2 = (f"parseFloat({datum(TO.format(version), 'text')})" for version in ("v1", "v2"))
    await visit.until(f"({v2}) > 1.5 * ({v1})")

    await dialog.get_by_role("button", name="Undo").click()
    assert all_acknowledged(await said_by(dialog, "Taken back."))
    assert stage.run("get", "virtualservice", "catalog", "-n", "shop", "-o", "yaml") == before


@pytest.mark.usefixtures("healed")
async def test_an_incident_is_seen_told_traced_to_its_cause_and_over(visitor: Visitor) -> None:
    visit = await visitor()
    page = visit.page
    await visit.go("/alerts")
    await page.get_by_role("button", name="Failing v2").click()
    now = page.locator(".card", has=page.get_by_role("heading", name="Now"))
    firing = now.locator(".entry", has_text="→ catalog v2").get_by_role("link", name="High error ratio").first
    await firing.wait_for()
    await page.get_by_text("signature verified").first.wait_for()

    await firing.click()
    await page.wait_for_selector("#graph-page[data-placed]", state="attached")
    edge = TO.format("v2")
    await visit.until(f"{datum(edge, 'health')} === 'failure'")
    drawn, red = await visit.ask(f"[{datum(edge, 'text')}, Meshscope.page.view.theme.error]")
    assert "err" in drawn
    assert await visit.ask(f"""(() => {{
        const probe = document.createElement('i');
        probe.style.color = {red!r};
        document.body.append(probe);
        const red = getComputedStyle(probe).color;
        probe.remove();
        return Meshscope.page.view.cy.getElementById('{edge}').style('line-color') === red.replaceAll(' ', '');
    }})()""")
    panel = page.get_by_role("complementary", name="Details")
    await panel.get_by_text("Recent traces").wait_for()
    await panel.get_by_text("sets x-shop-fault for v2").wait_for()
    cause = await panel.get_by_role("link", name="VirtualService catalog").get_attribute("href")
    await panel.locator("a[href^='/traces/']").first.click()

    failed = page.locator("details.span", has_text="catalog").filter(has_text="failed").last
    await failed.locator("summary").click()
    await failed.get_by_text("x-shop-fault").first.wait_for()

    assert cause
    await visit.go(cause)
    await page.get_by_role("main").get_by_text("x-shop-fault").locator("visible=true").first.wait_for()

    await visit.go("/alerts")
    await firing.wait_for()
    await page.get_by_role("button", name="Off", exact=True).click()
    # The rule looks at the last minute.
    await firing.wait_for(state="hidden", timeout=2000 * PATIENCE_S)
    inbox = page.locator(".card", has_text="The demo's inbox")
    await inbox.get_by_text("Resolved", exact=True).first.wait_for()


def envoy_of(stage: Stage, node: str) -> int:
    """The process of a proxy; its bootstrap names it."""
    (bootstrap,) = [
        path
        for path in DataDir(stage.demo.data).run_dir().glob("a*/*.json")
        if node in path.read_text(encoding="utf-8")
    ]
    (pid,) = stage.demo.named(str(bootstrap))
    return pid


def roots(stage: Stage) -> set[str]:
    return {one["root"] for one in stage.demo.client.get("/certificates")["items"]}


async def test_a_new_root_takes_over_step_by_step_and_waits_for_who_is_late(visitor: Visitor, stage: Stage) -> None:
    (old,) = roots(stage)
    visit = await visitor()
    page = visit.page
    await visit.go("/certificates")
    await page.get_by_role("link", name="shop/db~0").wait_for()
    late = envoy_of(stage, "~db~0.shop")
    os.kill(late, signal.SIGSTOP)
    try:
        await page.get_by_role("button", name="Replace the root").focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Replace the mesh's root?")
        await dialog.get_by_role("button", name="Replace the root").focus()
        await page.keyboard.press("Enter")
        step = page.locator("[aria-current=step]")
        await step.get_by_role("link", name="shop/db~0", exact=True).wait_for()
        assert "trusts both" in await step.inner_text()
        assert roots(stage) == {old}
        await visit.until("document.querySelectorAll('table[aria-label=Roots] tbody tr').length === 2")
    finally:
        os.kill(late, signal.SIGCONT)
    await page.get_by_text("The root has been replaced.").wait_for()
    await visit.until("document.querySelectorAll('table[aria-label=Roots] tbody tr').length === 1")
    (new,) = roots(stage)
    assert new != old
    await page.get_by_text(new[:16]).nth(1).wait_for()


PAGES = {
    "graph": "/graph",
    "selected node": f"/graph?sel={CATALOG}",
    "table": "/graph?view=table",
    "overview": "/overview",
    "services": "/services",
    "service": "/services/shop/catalog",
    "traces": "/traces",
    "trace": "/traces/{trace}",
    "config": "/config",
    "proxies": "/proxies",
    "proxy": "/proxies/shop/ingress~0",
    "certificates": "/certificates",
    "certificate": "/certificates/shop/ingress~0",
    "object": "/config/VirtualService/shop/catalog",
    "history": "/config/history",
    "revision": "/config/history/1",
    "alerts": "/alerts",
    "workload": "/workloads/shop/catalog-v2",
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_of_the_real_mesh_is_silent_and_self_contained(visitor: Visitor, stage: Stage, name: str) -> None:
    (trace,) = until(lambda: stage.demo.client.get("/traces", app="frontend", limit=1)["items"])
    visit = await visitor(color_scheme="light")
    await visit.go(PAGES[name].format(trace=trace["traceId"]))
    await visit.page.wait_for_selector("main h1", state="attached")
    await visit.until("document.getElementById('live-text').textContent === 'Live'")
    if PAGES[name].startswith("/graph"):
        await visit.page.wait_for_selector("#graph-page[data-placed]", state="attached")
        await visit.page.get_by_role("complementary", name="Details").locator("h1").wait_for()
