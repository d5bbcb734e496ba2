"""The browser's find language is a port; it must agree with the original on every expression."""

from __future__ import annotations

import pytest
from visits import Visitor

from graph.model import GraphType
from graph.query import Query, find, parse
from graph.wire import snapshot_json

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXPRESSIONS = (
    "",
    "name = catalog",
    "name *= cat",
    "name !*= cat",
    "ns = shop",
    "ns = SHOP and version = v2",
    "healthy",
    "!healthy",
    "not is healthy",
    "node = unknown or external",
    "%err > 1",
    "%err >= 6% or (rt > 50ms and http > 1)",
    "rps < 10 and protocol = http",
    "protocol = tcp",
    "!(protocol = tcp)",
    "mtls",
    "!mtls or db",
    "has vs",
    "version = NaN",
    "version != NaN",
    "replicas > 1",
    'name = "catalog"',
    "p99 = nan",
    "in > 30 and !root",
    "unhealthy or degraded",
    "code = 503",
    "rate",
    "name",
    "nonsense = 1",
    "name = catalog and %err > 1",
    "rate > fast",
    "(name = a",
    "name = a b",
    "mtls = 1",
    "name =",
    "httpin > 5 and rank < 4",
    "tcpin > 0 or tcpout > 0 or grpcin = NaN",
    "rank = 1",
    "rank = 2 or %httptraffic > 40",
    "%httptraffic = 100 or throughput > 10",
    "label:app = catalog or has label:version",
    "label:app != catalog",
    "name contains cat",
    "name not contains cat",
    "name !startswith cat and version endswith 1",
    "node = wl or node = app",
    "node = pod",
    "node *= a",
    "dead or inaccessible or outside or we or rr or tcpts",
    "sourceprincipal contains frontend",
    "destprincipal = NaN",
    "op = NaN",
    'name =~ "cat.*|front.*"',
    'name !~ "CAT.*"',
    "name =~ cat",
    'name =~ "("',
    "rate =~ 5",
    "rate *= 5",
    "rate = fast",
    "flags = NaN",
    "rt > 0.02s and p99 < 1min",
    "rt > '20 ms' or p50 >= 5000us",
    "rate > 0.01k and http < 10k/s",
    "tcp > .1kB or throughput > 0.1KB/s and tcp < 1m",
    "rt > 10k",
    "rate > 5ms",
    "%err > 5ms",
    "replicas > 2k",
    "rate > inf",
    "rate > 0x10",
    "rate > 1_000",
    "code >= 200",
    "idle and contains x",
    "and",
    ")",
    "%",
    "name = 'catalog' or app = 'a b'",
    "name = a'b",
    "protocol = amqp",
    "protocol *= ht",
    "health = poor",
    "health != idle",
    "label: = x",
    "has label:",
    "healthy and or",
    "name = and",
)

SCRIPT = """async ([expressions, snapshot]) => {
    const find = await import('/assets/js/find.js');
    return expressions.map((text) => {
        try {
            const query = find.parse(text, snapshot);
            return {
                nodes: snapshot.nodes.filter(query.node).map((node) => node.id).sort(),
                edges: snapshot.edges.filter(query.edge).map((edge) => edge.id).sort(),
            };
        } catch (problem) {
            if (!(problem instanceof find.QueryError)) throw problem;
            return { position: problem.position };
        }
    });
}"""


async def test_browser_and_server_agree_on_every_expression(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/")
    snapshot = visit.stage.console.live.snapshot(GraphType.VERSIONED_APP, 60)
    answers = await visit.ask(SCRIPT, [list(EXPRESSIONS), snapshot_json(snapshot)])
    for text, answer in zip(EXPRESSIONS, answers, strict=True):
        query = parse(text)
        if isinstance(query, Query):
            expected = {sort: sorted(ids) for sort, ids in find(snapshot, query)._asdict().items()}
        else:
            expected = {"position": query.position}
        assert answer == expected, text
