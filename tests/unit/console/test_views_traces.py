from __future__ import annotations

from console.views.traces import query, waterfall
from graph.ports import Span

MS = 1_000_000
NOW_MS = 100


def span(number: str, parent: str, start: int, end: int, *, app: str = "shop", error: bool = False) -> Span:
    return Span(
        trace_id="t",
        span_id=number,
        parent_id=parent,
        name=f"op {number}",
        kind="server",
        start_ns=start * MS,
        end_ns=end * MS,
        error=error,
        status_message="",
        cluster="c",
        namespace="n",
        workload="w",
        app=app,
        version="",
    )


def test_children_follow_their_parent_in_the_order_they_began():
    view = waterfall(
        [span("b", "a", 60, 80), span("a", "", 0, 100), span("c", "a", 10, 50), span("d", "c", 20, 30)], NOW_MS
    )
    assert [(bar.name, bar.depth) for bar in view.bars] == [("op a", 0), ("op c", 1), ("op d", 2), ("op b", 1)]


def test_time_of_its_own_is_what_no_child_covers_and_overlaps_count_once():
    view = waterfall([span("a", "", 0, 100), span("b", "a", 10, 50), span("c", "a", 40, 60)], NOW_MS)
    assert view.bars[0].own == "50 ms"


def test_a_span_whose_parent_is_lost_stands_at_the_root():
    view = waterfall([span("a", "", 0, 10), span("b", "gone", 2, 3)], NOW_MS)
    assert [bar.depth for bar in view.bars] == [0, 0]


def test_spans_in_a_circle_do_not_hang_the_page():
    view = waterfall([span("r", "", 0, 10), span("a", "b", 1, 2), span("b", "a", 1, 2)], NOW_MS)
    assert [bar.name for bar in view.bars] == ["op r", "op a", "op b"]


def test_a_circle_of_all_spans_still_shows_something():
    view = waterfall([span("a", "b", 1, 2), span("b", "a", 1, 2)], NOW_MS)
    assert view.bars


def test_a_trace_of_the_past_leads_to_the_graph_of_that_moment():
    assert waterfall([span("a", "", 0, 100)], 5000).graph == "/graph?trace=t"
    assert waterfall([span("a", "", 0, 100)], 60_000).graph == "/graph?trace=t&at=3100"


def test_what_is_not_a_number_does_not_filter():
    assert query({"min": "fast", "errors": "yes"}).min_duration_ms == 0
    assert query({"min": "-5"}).min_duration_ms == 0
    assert query({"errors": "yes"}).errors_only
