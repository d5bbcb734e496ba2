"""What the graph's panel says: boxes, what stands out, two moments side by side."""

from __future__ import annotations

import pytest
from graph_words import T0, answered, edge, seen

from console.looked import looked
from console.views import comparison
from console.views.groups import group_of, insights
from console.views.mesh import mesh_view
from console.views.reasons import Reasons
from graph.compare import compare
from graph.health import DEFAULT
from graph.model import GraphType, Inventory
from graph.moment import snapshot_of
from graph.ports import TraceQuery

WEB_CART, CART_DB = edge("web", "cart@v1"), edge("cart@v1", "db")


def at(*counted, window_s=300):
    """The moment in which this was counted: pairs of an edge and its counters."""
    observations = [seen(key, counters, at=window_s, epoch=T0) for key, counters in counted]
    return snapshot_of(observations, Inventory(), GraphType.VERSIONED_APP, T0, T0 + 1000 * window_s)


def test_a_box_is_told_about_by_what_is_in_it():
    snapshot = at((WEB_CART, answered(900, failed=100)), (CART_DB, answered(500)))
    box = next(
        group for group in (group_of(snapshot, f"ns:{WEB_CART.source.cluster}/{WEB_CART.source.namespace}"),) if group
    )
    view = mesh_view(box.snapshot, {}, Reasons(snapshot, DEFAULT), title=box.label, about=box.about)
    assert (view.title, view.about) == (WEB_CART.source.namespace, "Namespace with 3 nodes. Last 5 min")
    why = {node.name: node.why for node in view.trouble}
    assert why["cart v1"].startswith("10 % of the HTTP requests that came to it in 5 min ended in 5")
    assert group_of(snapshot, "ns:nowhere/else") is None


def test_single_points_of_failure_and_circles_stand_out():
    found = insights(at((WEB_CART, answered(900)), (CART_DB, answered(500)), (edge("db", "cart@v1"), answered(5))))
    assert {item.sort for item in found} == {"Single points of failure", "Cycles of calls"}
    circle = next(item for item in found if item.sort == "Cycles of calls")
    assert circle.text in {"cart v1 → db → cart v1", "db → cart v1 → db"}
    assert len(circle.light) == 4


def test_what_fails_more_is_listed_with_both_numbers():
    view = comparison.overview(compare(at((WEB_CART, answered(1000))), at((WEB_CART, answered(900, failed=100)))))
    assert [(line.word, line.tone, line.detail) for line in view.lines] == [("Fails more", "error", "0 % → 10 %")]


@pytest.mark.parametrize("is_changed", [True, False])
def test_an_edge_is_put_side_by_side_whether_it_changed_or_not(is_changed):
    after = at((WEB_CART, answered(900, failed=100 if is_changed else 0)))
    found = compare(at((WEB_CART, answered(900))), after)
    changed = comparison.change_of(found, next(iter(after.edges)))
    assert [row.name for row in changed.rows][:2] == ["Requests", "Failed"]
    assert bool(changed.verdicts) is is_changed
    assert comparison.change_of(found, "nothing like it") is None


def test_what_is_only_in_one_moment_has_no_numbers_in_the_other():
    found = compare(at((WEB_CART, answered(1000))), at((WEB_CART, answered(1000)), (CART_DB, answered(500))))
    (line,) = comparison.overview(found).lines
    assert (line.word, line.detail) == ("New", "1.7 rps")
    assert {row.before for row in comparison.change_of(found, line.id).rows} == {"–"}


def test_the_past_asks_for_the_traces_of_its_window():
    then = looked({"type": "workload", "window": 60, "at": 1_700_000_000_000})
    assert then.restricted(TraceQuery(app="cart")) == TraceQuery(
        app="cart", since_ms=1_699_999_940_000, until_ms=1_700_000_000_000
    )
    assert not then.is_live
    assert looked({"type": "workload", "window": 60}).is_live
    assert not looked({"type": "workload", "window": 86_400}).is_live
