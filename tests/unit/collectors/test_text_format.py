"""Pages as Prometheus' text format 0.0.4 and OpenMetrics 1.0 allow them, whoever wrote them."""

from __future__ import annotations

import pytest

from collectors.dialects import istio
from collectors.errors import CollectorError
from collectors.exposition import Exposition

LABELS = 'reporter="source",source_workload="web",destination_workload="cart",response_code="200"'
SERIES = f"istio_requests_total{{{LABELS}}}"
EXEMPLAR = '# {trace_id="KOO5S4vxi0o"} 0.67 1520879607.789'


def read(*pages: str) -> list[tuple[str, float]]:
    """Callers and requests, as the last page tells them."""
    exposition = Exposition(istio.DIALECT, cluster="Kubernetes")
    seen = []
    for page in pages:
        seen = exposition.read(page, instance="web-1", epoch=0, at_ms=1, origin="http://web-1")
    return [(one.edge.source.workload, sum(one.counters.requests.values())) for one in seen]


@pytest.mark.parametrize(
    "page",
    [
        f"{SERIES} 5\n",
        f"{SERIES} 5",
        f"{SERIES} 5\r\n",
        f"{SERIES}\t5\n",
        f"{SERIES}  5 \n",
        f"  {SERIES} 5\n",
        f"{SERIES}5\n",
        f"{SERIES} 5 1395066363000\n",
        f"{SERIES} 5 {EXEMPLAR}\n",
        f"{SERIES} 5 1395066363.0 {EXEMPLAR}\n",
        f"{SERIES} 5 # {{}} 0.67\n",
        f"{SERIES.replace('{', ' {')} 5\n",
        f"{SERIES.replace('{', '{ ').replace('=', ' = ').replace(',', ' , ').replace('}', ', }')} 5\n",
        f"# TYPE istio_requests counter\n{SERIES} 5.0\n{SERIES.replace('_total', '_created')} 1520430000.1\n# EOF\n",
        f"\n\t# a comment\n#another\n\n{SERIES} 0.5e1\n",
    ],
)
def test_the_same_is_read_however_it_is_written(page):
    assert read(page, page) == [("web", 5)]


@pytest.mark.parametrize("name", ["we\u2028b", "we\x85b", "we\x1cb", "we # {b", "we} b", "we}", "{web", "wéb 🕸"])
def test_labels_hold_any_character(name):
    page = f"{SERIES.replace('web', name)} 5\nup 1\n"
    assert read(page, page) == [(name, 5)]


def test_quotes_backslashes_and_ends_of_lines_are_escaped():
    assert read(SERIES.replace("web", r"w\"e\\b\n") + " 5\n") == [('w"e\\b\n', 5)]


def test_what_is_not_a_number_now_counts_as_it_did():
    assert read(f"{SERIES} 5\n", f"{SERIES} NaN\n", f"{SERIES} 7\n") == [("web", 7)]
    assert read(f"{SERIES} NaN\n") == [("web", 0)]


@pytest.mark.parametrize("page", ["<html>log in</html>\n", "\x12\x05\x00\n", f"{SERIES}\n", f"{SERIES} 0x10\n"])
def test_what_is_no_such_page_is_refused(page):
    with pytest.raises(CollectorError, match="http://web-1"):
        read(page)
