"""Requests watched while they happen, on the played mesh."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from fake_console import Stage
from fake_shop import service, workload
from visits import Visit, Visitor

from collectors.als.tap import TappedRequest
from graph.model import Protocol

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRACE = "00000000000000000000000000000003"
NUMBERS = count()


def seen(path: str, **fields: Any) -> TappedRequest:
    known = {
        "at_ns": time.time_ns(),
        "source": workload("frontend"),
        "service": service("catalog"),
        "target": workload("catalog", "v1"),
        "reporter": "source",
        "protocol": Protocol.HTTP,
        "method": "GET",
        "code": "200",
        "duration_ms": 12.0,
        "request_id": f"id-{next(NUMBERS)}",
    }
    return TappedRequest(path=path, **{**known, **fields})


async def shown(visit: Visit, *paths: str) -> None:
    """Wait until exactly these requests are shown."""
    script = "[...document.querySelectorAll('.request-what')].map(one => one.textContent.split(' ')[1]).join(' ')"
    await visit.until(f"{script} === '{' '.join(paths)}'")


@pytest.fixture
def requests(stage: Stage) -> Iterator[Any]:
    """Have proxies tell of requests; afterwards the tap has forgotten them."""
    yield lambda *found: stage.console.tap.record(found)
    stage.console.tap._edges.clear()


async def connected(visit: Visit) -> None:
    """The second request is asked for when the socket is open."""
    await visit.until("performance.getEntriesByType('resource').filter(one => one.name.includes('/tap?')).length > 1")


async def test_requests_appear_as_they_happen_and_wait_while_one_pauses(visitor: Visitor, requests: Any) -> None:
    requests(seen("/before"))
    visit = await visitor()
    await visit.go("/tap?target=catalog.shop")
    await shown(visit, "/before")
    await connected(visit)
    requests(
        seen("/failed", code="503", flags="UF", failed=True, trace_id=TRACE), seen("/else", service=None, target=None)
    )
    await shown(visit, "/before", "/failed")
    assert "503" in await visit.page.locator(".request.failed").inner_text()
    await visit.page.get_by_role("button", name="Pause").click()
    requests(seen("/later"))
    await visit.page.get_by_text("1 waiting").wait_for()
    await visit.page.get_by_role("button", name="Pause").click()
    await shown(visit, "/before", "/failed", "/later")
    await visit.page.locator(".request.failed").get_by_role("link", name="Trace").click()
    await visit.page.wait_for_url(f"**/traces/{TRACE}")


async def test_requests_are_filtered_by_path_status_and_method(visitor: Visitor, requests: Any) -> None:
    requests(seen("/orders/1", method="POST"), seen("/orders/2", code="503", failed=True), seen("/tea"))
    visit = await visitor()
    await visit.go("/tap")
    await shown(visit, "/orders/1", "/orders/2", "/tea")
    await visit.page.get_by_placeholder("Path").fill("/orders")
    await shown(visit, "/orders/1", "/orders/2")
    await visit.page.get_by_placeholder("Status").fill("5xx")
    await shown(visit, "/orders/2")
    await visit.until("location.search === '?path=%2Forders&status=5xx'")
    await visit.page.get_by_placeholder("Status").fill("")
    await visit.page.get_by_placeholder("Every method").click()
    await visit.page.get_by_role("option", name="POST").click()
    await shown(visit, "/orders/1")
