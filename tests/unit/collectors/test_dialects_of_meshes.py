import json
from pathlib import Path

import pytest

from collectors.dialects import known
from collectors.exposition import Exposition
from graph.model import EdgeKey, Observation

GOLDEN = Path(__file__).parents[2] / "golden" / "dialects"
DIALECTS = known([GOLDEN / "acme" / "acme.toml"])
# Istio's sidecars are reviewed in more detail beside the tests of its dialect.
PAGES = sorted(page for page in GOLDEN.glob("*/*.prom") if page.parent.name != "istio")


def target_of(page: str) -> dict[str, str]:
    """The labels of what was scraped stand in a page's first line."""
    first = page.partition("\n")[0]
    return dict(one.split("=", 1) for one in first.removeprefix("# target: ").split()) if "# target: " in first else {}


def read(name: str, page: str) -> list[Observation]:
    exposition = Exposition(DIALECTS[name], cluster="c")
    return exposition.read(page, instance="p", epoch=1, at_ms=1, origin="here", target=target_of(page))


def end(ref) -> str:
    return "/".join(ref) if ref else "-"


def edge(key: EdgeKey) -> str:
    return f"{end(key.source)} > {end(key.service)} > {end(key.target)} ({key.protocol})"


def shape(seen: Observation) -> dict:
    counters, latency = seen.counters, seen.counters.latency_ms
    tcp = [counters.sent_bytes, counters.received_bytes, counters.opened, counters.closed]
    told = {
        "edge": edge(seen.edge),
        "reporter": seen.reporter,
        "security": seen.security,
        "requests": {" ".join(outcome): number for outcome, number in counters.requests.items()},
        "latency_ms": [dict(zip(map(str, latency.bounds), latency.counts, strict=True)), latency.total]
        if latency
        else None,
        "tcp": tcp if any(tcp) else None,
        "carrier": seen.carrier,
    }
    return {name: value for name, value in told.items() if value}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_a_page_as_proxies_write_it_becomes_the_edges_reviewed_by_eye(page):
    shapes = [shape(one) for one in read(page.parent.name.removesuffix("-ambient"), page.read_text())]
    assert shapes == json.loads(page.with_suffix(".json").read_text())
