"""Log lines searched and followed, and joined to traces, on the played mesh."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fake_console import Stage
from fake_shop import workload
from visits import Visit, Visitor

from graph.ports import LogLine, LogSource

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRACE = "00000000000000000000000000000003"
CATALOG, ORDERS = workload("catalog", "v1"), workload("orders", "v1")


def written(text: str, **fields: Any) -> LogLine:
    known = {"source": LogSource.OUTPUT, "workload": CATALOG, "instance": "catalog-v1~0", "level": "info"}
    return LogLine(**{"at_ns": time.time_ns(), "text": text, **known, **fields})


@pytest.fixture(scope="module", autouse=True)
def lines(stage: Stage) -> None:
    stage.console.logs.append(
        [
            written("listening on 8080"),
            written("stock of tea is EMPTY", level="error", trace_id=TRACE, attributes={"item": "tea"}),
            written("order 17 placed", workload=ORDERS, instance="orders-v1~0", source=LogSource.OTLP),
        ]
    )


async def shown(visit: Visit, *texts: str) -> None:
    """Wait until exactly these lines are shown."""
    script = "[...document.querySelectorAll('.log-text')].map(one => one.firstChild.textContent + (one.querySelector('mark') ? '…' : ''))"
    await visit.until(f"{script}.length === {len(texts)}")
    for text in texts:
        await visit.page.locator(".log", has_text=text).wait_for()


async def test_lines_are_filtered_as_one_types_and_the_address_keeps_the_filter(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/logs")
    await shown(visit, "listening on 8080", "stock of tea is EMPTY", "order 17 placed")
    await visit.page.get_by_placeholder("Find in lines").fill("empty")
    await shown(visit, "stock of tea is EMPTY")
    assert await visit.page.locator("mark").inner_text() == "EMPTY"
    await visit.until("location.search === '?grep=empty'")
    await visit.page.reload()
    await shown(visit, "stock of tea is EMPTY")

    await visit.page.get_by_placeholder("Find in lines").fill("")
    await visit.page.get_by_text("OpenTelemetry", exact=True).click()
    await shown(visit, "order 17 placed")


async def test_a_line_leads_to_its_trace_and_a_span_to_its_workloads_lines(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/logs?namespace=shop&workload=catalog-v1&level=error")
    await visit.page.locator(".log", has_text="EMPTY").get_by_role("link", name="Trace").click()
    await visit.page.wait_for_url(f"**/traces/{TRACE}")
    await visit.page.get_by_role("main").get_by_role("link", name="Logs", exact=True).click()
    await visit.page.wait_for_url(f"**/logs?trace={TRACE}")
    await shown(visit, "stock of tea is EMPTY")


async def test_what_is_written_appears_at_once_and_waits_while_one_pauses(visitor: Visitor, stage: Stage) -> None:
    visit = await visitor()
    await visit.go("/logs?grep=tick")
    await visit.page.get_by_text("No line matches").wait_for()
    await visit.until("performance.getEntriesByType('resource').filter(one => one.name.includes('/logs?')).length > 1")
    stage.console.logs.append([written("tick 1", level="warn")])
    await shown(visit, "tick 1")
    await visit.page.get_by_role("button", name="Pause").click()
    stage.console.logs.append([written("tick 2")])
    await visit.page.get_by_text("1 waiting").wait_for()
    await shown(visit, "tick 1")
    await visit.page.get_by_role("button", name="Pause").click()
    await shown(visit, "tick 1", "tick 2")


async def test_a_pattern_that_is_none_is_said(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/logs?regex=(")
    await visit.page.get_by_text("not a regular expression").wait_for()
    visit.troubles.clear()  # the browser reports the answer 400


async def test_a_proxys_page_leads_to_its_workloads_lines(visitor: Visitor, stage: Stage) -> None:
    instance = next(one.instance_id for one in stage.console.control.status() if one.workload == "orders-v1")
    visit = await visitor()
    await visit.go(f"/proxies/{instance}")
    await visit.page.get_by_role("main").get_by_role("link", name="Logs").click()
    await visit.page.wait_for_url("**/logs?namespace=shop&workload=orders-v1")
    await shown(visit, "order 17 placed")
