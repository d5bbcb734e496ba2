"""Questions about graphs and traces against answers by brute force, on whatever graphs and traces come."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from drawn import call, graph, node, span
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.analysis.blast import blast_radius
from graph.analysis.chains import slowest_chains
from graph.analysis.cycles import cycles
from graph.analysis.neighbours import around
from graph.analysis.single_points import single_points
from graph.analysis.trace_path import critical_path
from graph.analysis.words import Direction, Weakness
from graph.model import Health
from graph.query import Query, find, parse

laws = settings(max_examples=80, deadline=None)

NAMES = "abcdefg"
GRAPHS = st.dictionaries(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), st.integers(1, 9), min_size=1, max_size=14
).map(lambda rates: graph(*(call(*ends, rate, p95_ms=float(7 * rate)) for ends, rate in rates.items())))


def reached(starts, pairs):
    """Who can be reached from the starts, with them."""
    found = set(starts)
    while more := {target for source, target in pairs if source in found} - found:
        found |= more
    return found


def pairs_of(snapshot, without=()):
    ends = [(edge.source, edge.target) for edge in snapshot.edges.values()]
    return [pair for pair in ends if not set(pair) & set(without)]


def entries_of(snapshot):
    """Nodes that nobody calls who is not called by them, too."""
    pairs = pairs_of(snapshot)
    return {
        one
        for one in snapshot.nodes
        if all(other in reached({one}, pairs) for other in snapshot.nodes if one in reached({other}, pairs))
    }


def parts(nodes, pairs):
    """How many parts a graph has, whichever way edges go."""
    both = [*pairs, *((target, source) for source, target in pairs)]
    return len({frozenset(reached({one}, both)) for one in nodes})


@laws
@given(GRAPHS, st.sampled_from(NAMES), st.integers(1, 4), st.sampled_from([Direction.UPSTREAM, Direction.DOWNSTREAM]))
def test_neighbours_are_whom_so_many_steps_reach(snapshot, name, depth, direction):
    if name not in snapshot.nodes:
        return
    pairs = pairs_of(snapshot)
    if direction is Direction.UPSTREAM:
        pairs = [(target, source) for source, target in pairs]
    near, taken = {name}, set()
    for _ in range(depth):
        taken |= {pair for pair in pairs if pair[0] in near}
        near |= {target for source, target in pairs if source in near}
    found = around(snapshot, {name}, depth, direction)
    assert set(found.nodes) == near
    assert len(found.edges) == len(taken)


@laws
@given(GRAPHS)
def test_circles_hold_exactly_the_nodes_that_reach_themselves(snapshot):
    pairs = pairs_of(snapshot)
    circular = {one for one in snapshot.nodes if one in reached({to for by, to in pairs if by == one}, pairs)}
    found = cycles(snapshot)
    assert {one for cycle in found for one in cycle.nodes} == circular
    for cycle in found:
        assert all(set(cycle.nodes) <= reached({one}, pairs) for one in cycle.nodes)
        assert set(pairwise(cycle.way)) <= set(pairs)


@laws
@given(GRAPHS, st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_a_failure_meets_exactly_those_who_reach_it(snapshot, failed):
    failed &= set(snapshot.nodes)
    pairs, entries = pairs_of(snapshot), entries_of(snapshot)
    found = blast_radius(snapshot, failed)
    assert {one.id for one in found.callers} == {
        one for one in snapshot.nodes if reached({one}, pairs) & failed
    } - failed
    fed = reached(entries - failed, pairs_of(snapshot, without=failed)) - failed
    assert set(found.starved) == set(snapshot.nodes) - fed - failed
    assert {one.id for one in found.entries} == entries
    for share in (found.share, *(one.share for one in found.callers)):
        assert -1e-9 <= share.least <= share.likely + 1e-9
        assert share.likely <= share.most + 1e-9 <= 1 + 2e-9


@laws
@given(GRAPHS, st.sets(st.sampled_from(NAMES), min_size=1, max_size=2), st.sampled_from(NAMES))
def test_more_failures_are_never_met_by_less_traffic(snapshot, failed, more):
    some, all_of_them = (blast_radius(snapshot, of & set(snapshot.nodes)).share for of in (failed, failed | {more}))
    assert all(before <= after + 1e-6 for before, after in zip(some, all_of_them, strict=True))


@laws
@given(GRAPHS)
def test_single_points_are_those_whose_loss_takes_others_away(snapshot):
    pairs, entries = pairs_of(snapshot), entries_of(snapshot)
    found = {one.id: one for one in single_points(snapshot)}
    for lost in snapshot.nodes:
        left = pairs_of(snapshot, without={lost})
        cut_off = set(snapshot.nodes) - reached(entries - {lost}, left) - {lost}
        is_bridge = parts(set(snapshot.nodes) - {lost}, left) > parts(snapshot.nodes, pairs)
        assert set(found[lost].cut_off) == cut_off
        assert (Weakness.BRIDGE in found[lost].weaknesses) == is_bridge


@laws
@given(GRAPHS)
def test_chains_are_ways_and_add_up_to_no_less_than_they_take(snapshot):
    for chain in slowest_chains(snapshot):
        assert all(one.target == other.source for one, other in pairwise(chain.steps))
        assert chain.steps[0].latency_ms == chain.latency_ms
        assert sum(step.added_ms for step in chain.steps) >= chain.latency_ms - 1e-6


@st.composite
def traces(draw):
    times = st.integers(0, 40)
    spans = [span("0", *sorted((draw(times), draw(times))))]
    for number in range(1, draw(st.integers(1, 12))):
        parent = str(draw(st.integers(0, number - 1)))
        spans.append(span(str(number), *sorted((draw(times), draw(times))), parent))
    return draw(st.permutations(spans))


@laws
@given(traces())
def test_a_critical_path_is_the_whole_trace_and_waits_for_whoever_ended_last(spans):
    found = critical_path(spans)
    by_id = {one.span_id: one for one in spans}
    children = defaultdict(list)
    for one in spans:
        children[one.parent_id].append(one)
    cut = {}  # each span, cut to the time of those above it
    for number in range(len(spans)):
        one = by_id[str(number)]
        start, end = cut.get(one.parent_id, (one.start_ns, one.end_ns))
        cut[one.span_id] = max(one.start_ns, start), min(one.end_ns, end)
    assert [segment.start_ns for segment in found.segments[1:]] == [segment.end_ns for segment in found.segments[:-1]]
    assert sum(one.critical_ns for one in found.spans) == by_id["0"].end_ns - by_id["0"].start_ns
    for id_, start, end in found.segments:
        assert cut[id_][0] <= start < end <= cut[id_][1]
        ends = [cut[child.span_id][1] for child in children[id_] if cut[child.span_id][0] < cut[child.span_id][1]]
        assert not [one for one in ends if start < one <= end]
    for one in found.spans:
        running = range(one.span.start_ns, one.span.end_ns)
        below = children[one.span.span_id]
        assert one.self_ns == sum(not any(child.start_ns <= tick < child.end_ns for child in below) for tick in running)


FLAGS = ("degraded", "failure", "dead", "db")
TREES = st.recursive(
    st.sampled_from(FLAGS),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
    ),
    max_leaves=8,
)
STRENGTH = {"or": 0, "and": 1, "not": 2}


def said(tree, within=0):
    """Write an expression with no more parentheses than it needs."""
    if isinstance(tree, str):
        return tree
    strength = STRENGTH[tree[0]]
    text = (
        f"!{said(tree[1], 2)}"
        if tree[0] == "not"
        else f" {tree[0].upper()} ".join(said(one, strength) for one in tree[1:])
    )
    return f"({text})" if strength < within else text


def holds(tree, true):
    if isinstance(tree, str):
        return tree in true
    told = [holds(one, true) for one in tree[1:]]
    return not told[0] if tree[0] == "not" else all(told) if tree[0] == "and" else any(told)


@laws
@given(TREES, st.sampled_from([Health.HEALTHY, Health.DEGRADED, Health.FAILURE]), st.booleans())
def test_not_binds_tighter_than_and_and_and_tighter_than_or(tree, health, dead):
    shown = node("x")._replace(health=health, replicas=0 if dead else 1)
    query = parse(said(tree))
    assert isinstance(query, Query), query
    true = {health.value, *(["dead"] if dead else [])}
    assert bool(find(graph(nodes=[shown]), query).nodes) == holds(tree, true)
