"""A browser window on the played console."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.async_playwright import Axe
from fake_console import Stage
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

PATIENCE_S = 60
"""Longer than anything takes on a slow machine, and less than a test may take."""


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

    async def until(self, script: str) -> Any:
        """Wait until an expression holds in the page; polled from here because the page forbids eval."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := await self.page.evaluate(script)):
            assert time.monotonic() < deadline, f"never came true, but was {value!r} at last: {script}"
            await self.page.wait_for_timeout(100)
        return value

    async def told(self) -> str:
        """Say what the page shows, for whoever reads of a failure on another machine."""
        try:
            shown = await self.page.locator("body").inner_text(timeout=5000)
        except PlaywrightError as problem:
            shown = str(problem)
        return f"{self.page.url} showed:\n{shown}\nand had these troubles: {self.troubles}"

    async def violations_in_both_themes(self) -> list[tuple[str, str, list[str]]]:
        """What axe-core finds on the page in light and in dark."""
        found = await self._violations()
        await self.page.locator("#theme-toggle").evaluate("button => button.click()")
        await self.until("document.documentElement.getAttribute('data-mantine-color-scheme') === 'dark'")
        return [*found, *await self._violations()]

    async def _violations(self) -> list[tuple[str, str, list[str]]]:
        # Colours fade over, and what is half-way has a contrast of its own.
        await self.until(
            "document.getAnimations().every(one => one.playState !== 'running' || !one.transitionProperty)"
        )
        found = await Axe().run(self.page)
        return [
            (violation["id"], violation["impact"], [node["html"][:160] for node in violation["nodes"]])
            for violation in found.response["violations"]
        ]


Visitor = Callable[..., Awaitable[Visit]]
