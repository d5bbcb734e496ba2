"""One played console and one Chromium for all browser tests; a fresh context for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
import pytest_asyncio
from fake_console import Stage, staged
from playwright.async_api import Browser, async_playwright
from visits import PATIENCE_S, Visit, Visitor

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[HAS_FAILED] = report.failed
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as ready:
        yield ready


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, stage: Stage, request: pytest.FixtureRequest) -> AsyncIterator[Visitor]:
    """Opens browser windows; afterwards none may have had an error or asked anybody else for anything.

    What they show when a test fails is printed.
    """
    visits: list[Visit] = []

    async def open_window(**options: Any) -> Visit:
        context = await browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(1000 * PATIENCE_S)
        page = await context.new_page()
        visit = Visit(page, stage)
        page.on("console", lambda m: visit.troubles.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: visit.troubles.append(str(error)))
        page.on("request", lambda r: None if _own(r.url, stage.url) else visit.foreign.append(r.url))
        visits.append(visit)
        return visit

    yield open_window
    for visit in visits:
        if request.node.stash.get(HAS_FAILED, False):
            print(await visit.told())
        await visit.page.context.close()
    assert [trouble for visit in visits for trouble in visit.troubles] == []
    assert [url for visit in visits for url in visit.foreign] == []


def _own(url: str, base: str) -> bool:
    return url.startswith((base, "ws" + base.removeprefix("http"), "data:", "blob:"))
