"""Questions about the graph, as the API answers them and the command prints them."""

from __future__ import annotations

import asyncio
import json
import re
from types import SimpleNamespace

import pytest
from asgi import Visitor, listening, with_routes
from click.testing import CliRunner
from clocks import FixedClock

from collectors.errors import CollectorError
from console.cli import graph as command
from console.web.api import analysis, graph, traces
from graph.live import LiveGraph
from graph.model import (
    Counters,
    EdgeKey,
    Histogram,
    Observation,
    Outcome,
    Protocol,
    Reporter,
    ServiceRef,
    WorkloadRef,
)
from graph.ports import Span

T0 = 1_700_000_000_000
TRACE = "5b8efff798038103d269b633813fc60c"


def ref(name):
    app, _, version = name.partition("@")
    return WorkloadRef("c", "shop", app + (f"-{version}" if version else ""), app, version)


def seen(source, target, requests, ms):
    histogram = Histogram(
        (10.0, 100.0, float("inf")), (float(requests * (ms <= 10)), *2 * (float(requests),)), requests * ms
    )
    return Observation(
        edge=EdgeKey(ref(source), ServiceRef("c", "shop", ref(target).app), ref(target), Protocol.HTTP),
        reporter=Reporter.SOURCE,
        instance=source,
        epoch=T0,
        at_ms=T0 + 10_000,
        counters=Counters(requests={Outcome("200", "", "-"): float(requests)}, latency_ms=histogram),
    )


class Traces:
    """A store with one trace, unless it is away."""

    away = False

    async def trace(self, trace_id):
        if self.away:
            raise CollectorError("the store is away")
        spans = (("a", "", 0, 10), ("b", "a", 2, 6))
        return [self.span(*one) for one in spans] if trace_id == TRACE else []

    def span(self, span_id, parent, start_ms, end_ms):
        return Span(
            trace_id=TRACE, span_id=span_id, parent_id=parent, name=f"GET /{span_id}", kind="server",
            start_ns=start_ms * 10**6, end_ns=end_ms * 10**6, error=False, status_message="",
            cluster="c", namespace="shop", workload=span_id, app=span_id, version="",
        )  # fmt: skip


@pytest.fixture
def visitor():
    """A front calls a cart of two versions, most requests the first one; both call the stock, and the stock the cart."""
    clock = FixedClock(T0)
    live = LiveGraph(clock=clock)
    live.observe(
        [
            seen("web", "front", 100, 50),
            seen("front", "cart@v1", 60, 50),
            seen("front", "cart@v2", 20, 5),
            seen("cart@v1", "stock", 60, 5),
            seen("cart@v2", "stock", 20, 5),
            seen("stock", "cart@v2", 1, 5),
        ]
    )
    live.tick(T0 + 10_000)
    console = SimpleNamespace(clock=clock, live=live, histories=(), traces=Traces())
    return Visitor(with_routes(console, graph.api, analysis.api, traces.api))


async def ask(visitor, target):
    return await visitor.get(f"/api/v1/{target}")


def labels(nodes):
    return [f"{one['label']} {one['version']}".strip() for one in nodes]


@pytest.mark.parametrize(
    ("query", "nodes"),
    [
        ("node=front", "cart v1, cart v2, front, web"),
        ("node=front&direction=upstream", "front, web"),
        ("node=cart+v1&direction=downstream&depth=1", "cart v1, stock"),
        ("node=shop/cart+v1&direction=downstream&depth=9", "cart v1, cart v2, stock"),
        ("node=vapp:c/shop/stock&direction=upstream&depth=2", "cart v1, cart v2, front, stock"),
    ],
)
async def test_the_graph_around_a_node_reaches_as_far_as_asked(visitor, query, nodes):
    status, body = await ask(visitor, f"graph?window=10s&{query}")
    assert (status, ", ".join(sorted(labels(body["nodes"])))) == (200, nodes)


async def test_find_names_what_it_speaks_of_and_hide_takes_it_away(visitor):
    _, body = await ask(visitor, "graph?window=10s&find=app=cart+or+http+%3E+9&hide=name+contains+stock")
    assert set(labels(body["nodes"])) == {"web", "front", "cart v1", "cart v2"}
    assert body["found"]["nodes"] == ["vapp:c/shop/cart/v1", "vapp:c/shop/cart/v2"]
    assert body["found"]["edges"] == ["vapp:c/shop/web>vapp:c/shop/front>http"]
    assert (await ask(visitor, "graph?window=10s"))[1]["found"] is None


async def test_latency_between_groups_is_that_of_all_their_requests_but_hidden_ones(visitor):
    _, body = await ask(visitor, "analysis/latency?window=10s&shut=box:c/shop/cart")
    took = {(one["source"], one["target"]): (one["p50"], one["p95"], len(one["edges"])) for one in body["items"]}
    # Of 80 requests 20 took up to 10 ms, the others up to 100.
    assert took["vapp:c/shop/front", "box:c/shop/cart"] == (40.0, 94.0, 2)
    _, body = await ask(visitor, "analysis/latency?window=10s&shut=box:c/shop/cart&hide=version+=+v1")
    assert [(one["p50"], len(one["edges"])) for one in body["items"] if one["source"].endswith("front")] == [(5.0, 1)]


async def test_a_mistake_in_an_expression_is_told_with_its_column(visitor):
    status, body = await ask(visitor, "graph?find=rate+%3E+1+and+nam+=+x")
    assert (status, body["parameter"], body["column"], body["expression"]) == (422, "find", 14, "rate > 1 and nam = x")
    assert body["error"].startswith("find: no operand 'nam'; did you mean name")


@pytest.mark.parametrize(
    ("form", "media", "begin"),
    [
        ("json", "application/json", '{"type":"snapshot"'),
        ("csv", "text/csv", "source_cluster,"),
        ("dot", "text/vnd.graphviz", "digraph"),
        ("graphml", "application/graphml+xml", "<graphml"),
        ("mermaid", "text/vnd.mermaid", "flowchart LR"),
        ("svg", "image/svg+xml", "<svg"),
    ],
)
async def test_the_graph_is_a_file_in_every_format(visitor, form, media, begin):
    asked = await visitor.ask("GET", f"/api/v1/graph?window=10s&find=rate+%3E+5&format={form}")
    named = await visitor.ask("GET", f"/api/v1/graph.{form}?window=10s&find=rate+%3E+5")
    assert (asked.status, asked.headers["content-type"].split(";")[0]) == (200, media)
    assert asked.text.startswith(begin)
    assert named.text == asked.text


async def test_a_failure_is_told_with_everyone_who_meets_it(visitor):
    status, body = await ask(visitor, "analysis/blast-radius?window=10s&node=cart+v1")
    assert (status, body["share"]["likely"], body["entryRate"]) == (200, pytest.approx(0.6), 10)
    assert [(one["label"], one["hops"]) for one in body["callers"]] == [("front", 1), ("web", 2)]
    _, both = await ask(visitor, "analysis/blast-radius?window=10s&node=cart")
    assert (both["share"]["likely"], labels(both["starved"])) == (pytest.approx(0.8), ["stock"])


async def test_single_points_circles_and_critical_paths_are_listed(visitor):
    _, points = await ask(visitor, "analysis/single-points?window=10s")
    assert labels(points["items"])[:2] == ["web", "front"]
    _, circles = await ask(visitor, "analysis/cycles?window=10s")
    assert [labels(one["way"]) for one in circles["items"]] == [["cart v2", "stock", "cart v2"]]
    _, chains = await ask(visitor, "analysis/critical-paths?window=10s&quantile=mean")
    (chain,) = chains["items"]
    assert [(step["target"]["label"], step["ms"], step["addedMs"]) for step in chain["steps"]][:2] == [
        ("front", 50, 20),
        ("cart", 50, 27),
    ]
    assert sum(step["addedMs"] for step in chain["steps"]) == pytest.approx(chain["ms"])


async def test_a_trace_is_told_where_its_time_went(visitor):
    status, body = await ask(visitor, f"traces/{TRACE}/critical-path")
    assert status == 200
    assert [(one["name"], one["criticalMs"], one["selfMs"]) for one in body["spans"]] == [
        ("GET /a", 6, 6),
        ("GET /b", 4, 4),
    ]
    assert (await ask(visitor, "traces/abc/critical-path"))[0] == 404
    visitor.app.state.console.traces.away = True
    assert await ask(visitor, f"traces/{TRACE}/critical-path") == (503, {"error": "the store is away"})


@pytest.mark.parametrize(
    ("target", "status", "sentence"),
    [
        ("graph.pdf", 422, "graphml"),
        ("graph?node=kart", 404, "there is cart"),
        ("graph?node=cart&depth=0", 422, "depth"),
        ("graph?node=cart&direction=sideways", 422, "upstream"),
        ("analysis/blast-radius?node=nobody", 404, "no node is called 'nobody'"),
        ("analysis/blast-radius", 422, "node"),
        ("analysis/cycles?window=1s", 422, "from 10s to 30d"),
        ("analysis/critical-paths?quantile=p42", 422, "p95"),
    ],
)
async def test_questions_that_cannot_be_answered_are_refused_with_the_way_out(visitor, target, status, sentence):
    answered, body = await ask(visitor, target)
    assert (answered, sentence in body["error"]) == (status, True), body


@pytest.fixture
async def run(visitor):
    """Runs ``meshscope graph`` against the server, and returns what it printed."""
    async with listening(visitor.app) as url:

        async def run(*arguments):
            return await asyncio.to_thread(CliRunner().invoke, command.graph, [*arguments, "--server", url])

        yield run


def cells(table):
    """Take a printed table apart, however wide its columns are."""
    return [re.split(" {2,}", line.strip()) for line in table.splitlines()]


async def test_the_command_answers_in_tables_and_in_json(run):
    asked = {
        "blast-radius": ["cart v1"],
        "cycles": [],
        "single-points": [],
        "critical-path": ["--quantile", "mean"],
    }
    told = {name: (await run("analyse", name, "--window", "10s", *more)).output for name, more in asked.items()}
    assert told["blast-radius"].splitlines()[:2] == [
        "If shop/cart v1 fails, 60.0% of what enters the mesh meets it",
        "(60.0% to 60.0% of 10 requests/s); 2 nodes are not affected.",
    ]
    assert ["shop/front", "60.0%", "60.0%", "60.0%", "1"] in cells(told["blast-radius"])
    assert ["shop/cart v2 → shop/stock → shop/cart v2", "2", "2.1/s"] in cells(told["cycles"])
    assert cells(told["single-points"])[1][:2] == ["shop/web", "100.0%"]
    assert ["shop/web → shop/front", "50 ms", "20 ms", "100.0%"] in cells(told["critical-path"])
    told = await run("analyse", "critical-path", "--trace", TRACE)
    assert ["GET /a", "a", "6.0 ms", "60.0%", "6.0 ms", "10 ms"] in cells(told.output)
    assert json.loads((await run("analyse", "cycles", "--window", "10s", "-o", "json")).output)["items"]


async def test_the_command_shows_neighbours_pictures_and_where_an_expression_is_wrong(run):
    told = await run("--node", "front", "--direction", "upstream", "--window", "10s")
    assert len(json.loads(told.output)["nodes"]) == 2
    picture = await run("--window", "10s", "--find", "rate > 5", "-o", "png")
    assert picture.stdout_bytes.startswith(b"\x89PNG\r\n")
    wrong = await run("--hide", "!healthy and (name = x")
    assert (wrong.exit_code, wrong.output.splitlines()[-2:]) == (
        1,
        ["    !healthy and (name = x", "    " + 22 * " " + "^"],
    )
