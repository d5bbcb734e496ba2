"""One played console and one Chromium for all browser tests; a fresh context for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from fake_console import Stage, staged
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass
class Visit:
    """A page and everything about it that must not happen."""

    page: Page
    stage: Stage
    troubles: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        await self.page.goto(self.stage.url + path)

    async def graph(self, path: str = "/") -> None:
        """Open the graph and wait until everything has its place."""
        await self.go(path)
        await self.page.wait_for_selector("#graph-page[data-placed]", state="attached")

    async def ask(self, script: str, argument: Any = None) -> Any:
        return await self.page.evaluate(script, argument)

    async def until(self, script: str, *, seconds: float = 8) -> Any:
        """Wait until an expression holds in the page; polled from here because the page forbids eval."""
        for _ in range(int(seconds / 0.1)):
            if value := await self.page.evaluate(script):
                return value
            await self.page.wait_for_timeout(100)
        raise AssertionError(f"never came true: {script}")

    async def violations_in_both_themes(self) -> list[tuple[str, str, list[str]]]:
        """What axe-core finds on the page in light and in dark."""
        found = await self._violations()
        await self.page.locator("#theme-toggle").evaluate("button => button.click()")
        await self.until("document.documentElement.getAttribute('data-mantine-color-scheme') === 'dark'")
        await self.until(
            "document.getAnimations().every(one => one.playState !== 'running' || !one.transitionProperty)"
        )
        return [*found, *await self._violations()]

    async def _violations(self) -> list[tuple[str, str, list[str]]]:
        found = await Axe().run(self.page)
        return [
            (violation["id"], violation["impact"], [node["html"][:160] for node in violation["nodes"]])
            for violation in found.response["violations"]
        ]


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


Visitor = Callable[..., Awaitable[Visit]]


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, stage: Stage) -> AsyncIterator[Visitor]:
    """Opens browser windows; afterwards none may have had an error or asked anybody else for anything."""
    visits: list[Visit] = []

    async def open_window(**options: Any) -> Visit:
        context = await browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        page = await context.new_page()
        visit = Visit(page, stage)
        page.on("console", lambda m: visit.troubles.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: visit.troubles.append(str(error)))
        page.on("request", lambda r: None if _own(r.url, stage.url) else visit.foreign.append(r.url))
        visits.append(visit)
        return visit

    yield open_window
    for visit in visits:
        await visit.page.context.close()
    assert [trouble for visit in visits for trouble in visit.troubles] == []
    assert [url for visit in visits for url in visit.foreign] == []


def _own(url: str, base: str) -> bool:
    return url.startswith((base, "ws" + base.removeprefix("http"), "data:", "blob:"))
