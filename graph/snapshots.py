"""Building snapshots of one projection: what is true of every edge, and what of that has changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from graph.arrays import REPORTERS, Flags, Floats, Ints, add_up, newest
from graph.health import Direction, Judge
from graph.model import Edge, GraphType, Inventory, Node, Snapshot
from graph.records import column
from graph.rows import Rows
from graph.seldom import stretches
from graph.series_table import Hearing, SeriesTable
from graph.shown import EdgeFacts, Known, Shown
from graph.signals import TOLD, Reading
from graph.strands import Strands
from graph.tally import Period, Tally
from graph.types import Projection, project, renew, unravel

GONE_AFTER_S = 300
"""An edge without traffic whose reporters have been silent for this long (and the window) is left out."""

REFRESH_MS = 10_000
"""How far ``at_ms`` of an edge may lag behind its newest reading while nothing else about it changes."""


@dataclass(frozen=True, slots=True)
class Made:
    """A snapshot and what it was made from, for the next one to compare with."""

    known: Known
    facts: EdgeFacts
    covered_s: float
    """The longest time that any edge covers: that of the nodes."""
    edges: Rows[Edge]
    nodes: Rows[Node]
    snapshot: Snapshot


class Builder:
    """Builds the snapshots of one projection; stands until the projection, the series or the columns change.

    Nodes and edges that do not change are the same objects from one snapshot to the next.
    """

    def __init__(self, projection: Projection, series: SeriesTable, reading: Reading, judge: Judge) -> None:
        self._finest_edge: Ints = np.array(projection.edge_of, np.int64)
        self._series_edge = self._finest_edge[series.joined.home]
        """Per series the projected edge that it counts for."""
        self._series = series
        self._reading = reading
        self._judge = judge
        self._since = np.full(len(projection.edges), np.iinfo(np.int64).max)
        np.minimum.at(self._since, self._series_edge, series.since_ms)
        witness = self._series_edge.copy()
        self._shared = np.zeros(len(witness), bool)
        """Per series whether it speaks of several edges together, and nobody can say which part is whose."""
        for contender in series.joined.contenders:
            covering = {projection.edge_of[int(edge)] for edge in contender.edges}
            if len(covering) == 1:
                witness[contender.series] = covering.pop()
            else:
                self._shared[contender.series] = True
        self._series_slot = witness * len(REPORTERS) + series.reporter
        """Per series the place of its evidence: an edge and a reporter."""
        self._slot_instances = np.unique(
            np.column_stack((self._series_slot, series.instance)), axis=0, return_inverse=True
        )
        self._reasons = {"": 0}
        """Reasons for doubt by number, so that a change of them is found as any other."""
        self._placed: tuple[Ints, Ints] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._shown = Shown(projection, series, (self._series_edge, self._series_slot), (reading, judge))
        self._known = Known.of(projection, judge)

    @classmethod
    def of(cls, kind: GraphType, series: SeriesTable, inventory: Inventory, reading: Reading, judge: Judge) -> Builder:
        """Project the series' edges, and be ready to build."""
        asked = series.asked()
        if kind not in {GraphType.OPERATION, GraphType.FINEST}:
            return cls(project(kind, series.joined.edges, inventory, asked), series, reading, judge)
        strands = Strands(series, kind)
        return cls(unravel(kind, strands.strands, inventory, asked), strands, reading, judge)

    def renewed(self, inventory: Inventory) -> bool:
        """Go on with an inventory that calls everything the same; ``False``: it must be projected anew."""
        projection = self._known.projection
        if projection.naming is None:
            return False
        self._known = Known.of(renew(projection, projection.naming, inventory), self._judge)
        return True

    def build(self, counted: Tally, hearing: Hearing, window_s: int, revision: int, last: Made | None) -> Made:
        """Make the snapshot; what is as in the last one is taken from it."""
        if isinstance(self._series, Strands):
            counted, hearing = self._series.lay(counted, hearing)
        facts = self._facts(counted, hearing, window_s)
        if last is not None and not self._follows(last):
            last = None
        covered_s = float((facts.covered_s / facts.stretch).max(initial=0.0))
        renewed = self._known_anew(last)
        moved, changed = _changed(facts, last)
        changed |= np.logical_or(*(renewed[end] for end in self._shown.sides.ends))
        if last is None or covered_s != last.covered_s:
            moved |= facts.active
        facts = facts.since(last.facts, changed) if last else facts
        touched = renewed | self._shown.sides.touched(moved)
        seen = self._known.standing | self._shown.sides.touched(~facts.gone)
        edge_table = partial(self._shown.edges, self._known, facts, column(self._reasons), window_s)
        node_table = partial(self._shown.nodes, self._known, facts, covered_s, window_s)
        if last:
            edges = last.edges.next(revision, changed, ~facts.gone, edge_table)
            nodes = last.nodes.next(revision, touched, seen, node_table)
        else:
            edges = Rows.first(self._shown.ids, revision, ~facts.gone, edge_table)
            nodes = Rows.first(self._known.ids, revision, seen, node_table)
        snapshot = Snapshot(
            type=self._known.projection.type,
            window_s=window_s,
            revision=revision,
            at_ms=counted.period.at_ms,
            nodes=nodes,
            edges=edges,
        )
        return Made(self._known, facts, covered_s, edges, nodes, snapshot)

    def edges_of(self, id_: str, direction: Direction | None = None) -> Flags:
        """Which edges are this edge, or come into this node (or leave it, where none comes in).

        *direction*: only those that come into it, or only those that leave it.
        """
        edges, nodes = self._known.projection.edges, self._known.projection.nodes
        coming = [nodes[edge.target].id == id_ for edge in edges]
        leaving = [nodes[edge.source].id == id_ for edge in edges]
        if direction:
            return np.array(coming if direction is Direction.INBOUND else leaving, bool)
        candidates = ([edge.id == id_ for edge in edges], coming, leaving)
        return np.array(next((found for found in candidates if any(found)), candidates[0]), bool)

    def cells_of(self, wanted: Flags, counted: Tally) -> Ints:
        """Number the cells of what counts for the wanted edges."""
        touched = np.zeros(int(self._series.counted.max(initial=-1)) + 1, bool)
        touched[self._series.counted[wanted[self._series_edge]]] = True
        return np.flatnonzero(touched[counted.period.cell_series] & (counted.counts > 0))

    def rows(self, counted: Tally) -> Floats:
        """The counters of each edge."""
        size, width, period = len(self._known.projection.edges), self._reading.width, counted.period
        rows = add_up(self._cell_of(period), counted.counts, size * width).reshape(size, width)
        for number, told in enumerate(counted.told):
            rows[:, 2 * number - TOLD] = add_up(self._series_edge, told, size)
            rows[:, 2 * number - TOLD + 1] = add_up(self._series_edge, told * self._series.mutual, size)
        return rows

    def _cell_of(self, period: Period) -> Ints:
        """Per counted cell its place in the rows; found again only where there are new cells."""
        if period.cell_series is not self._placed[0]:
            places = self._series_edge[period.cell_series] * self._reading.width + period.cell_column
            self._placed = (period.cell_series, places)
        return self._placed[1]

    def _facts(self, counted: Tally, hearing: Hearing, window_s: int) -> EdgeFacts:
        rows, size, period = self.rows(counted), len(self._known.projection.edges), counted.period
        active = self._reading.active(rows)
        heard = newest(self._series_edge, hearing.at_ms, size)
        fresh, sure = (add_up(self._series_edge, heard, size) > 0 for heard in (hearing.fresh, hearing.sure))
        own = add_up(self._series_edge, ~counted.silent, size) > 0
        forgotten = ~active & ~fresh & (period.at_ms - heard > 1000 * max(GONE_AFTER_S, window_s))
        counts = add_up(period.cell_series, counted.counts, len(self._series_edge))
        # Of those who do not go on telling it is known from which reading to which they counted what is shown.
        telling = np.flatnonzero(counts)
        read = np.full(size, period.at_ms)
        np.minimum.at(read, self._series_edge[telling], period.read_ms[telling])
        last = newest(self._series_edge[telling], hearing.at_ms[telling], size)
        end = np.where(fresh, period.at_ms, np.maximum(last, read))
        begin = np.maximum(self._since, np.where(fresh, period.from_ms, read))
        unseen = [np.clip(np.minimum(end, until) - np.maximum(begin, since), 0, None) for since, until in period.gaps]
        span = np.maximum(end - begin - sum(unseen), 0)
        stretch = self._stretches(period, counts, span, fresh)
        covered = np.rint(span * stretch) / 1000
        presence = np.where(~fresh, 2, np.where(active, 0, 1))
        chosen = np.full(size, len(REPORTERS))
        np.minimum.at(chosen, self._finest_edge, counted.chosen)
        requests, instances, at = self._evidence(counted, hearing)
        gone = forgotten | ~own | (self._known.nowhere & ~active)
        reasons = self._doubted(hearing, ~sure)
        words = np.column_stack((presence, gone, np.where(active, covered, 0), chosen, requests, instances, reasons))
        told = (chosen, heard, requests, instances, at, reasons)
        return EdgeFacts(rows, words, active, gone, presence, covered, stretch, *told)

    def _stretches(self, period: Period, counts: Floats, span_ms: Ints, fresh: Flags) -> Floats:
        """Per edge how many times as long as its window it was counted."""
        slack_ms = np.where(fresh[self._series_edge], period.slack_ms, 0)
        if not slack_ms.any():
            return np.ones(len(span_ms))
        return stretches(self._series_edge, span_ms.astype(float), slack_ms, counts)

    def _doubted(self, hearing: Hearing, doubtful: Flags) -> Ints:
        """Per edge the number of the reason why it is stale, or may be soon; of several the one heard last."""
        reasons = np.zeros(len(self._known.projection.edges), np.int64)
        if hearing.why:
            for series in np.argsort(hearing.at_ms, kind="stable").tolist():
                if hearing.why[series] and doubtful[self._series_edge[series]]:
                    reasons[self._series_edge[series]] = self._reasons.setdefault(
                        hearing.why[series], len(self._reasons)
                    )
        return reasons

    def _evidence(self, counted: Tally, hearing: Hearing) -> tuple[Floats, Ints, Ints]:
        slots = len(self._known.projection.edges) * len(REPORTERS)
        shape = (len(self._known.projection.edges), len(REPORTERS))
        clear = ~(self._shared & counted.silent)
        requests = add_up(self._series_slot, counted.requests * clear, slots)
        at = newest(self._series_slot[clear], hearing.at_ms[clear], slots)
        pairs, pair = self._slot_instances
        speaking = add_up(pair.ravel(), (hearing.fresh | (counted.requests > 0)) & clear, len(pairs)) > 0
        instances = np.bincount(pairs[speaking, 0], minlength=slots)
        return requests.reshape(shape), instances.reshape(shape), at.reshape(shape)

    def _follows(self, last: Made) -> bool:
        """Whether its rows are of the same edges and nodes."""
        before, known = last.known, self._known
        same_nodes = before is known or np.array_equal(before.ids, known.ids)
        return last.edges.lineage.ids is self._shown.ids and same_nodes

    def _known_anew(self, last: Made | None) -> Flags:
        """Which nodes are known as something else than in the last snapshot."""
        nodes = self._known.projection.nodes
        if last is None or last.known is self._known:
            return np.full(len(nodes), last is None)
        pairs = zip(nodes, last.known.projection.nodes, strict=True)
        return np.array([node != before for node, before in pairs], bool)


def _changed(facts: EdgeFacts, last: Made | None) -> tuple[Flags, Flags]:
    """Which edges count otherwise than in the last snapshot, and which show anything else."""
    if last is None:
        return np.full(len(facts.rows), True), np.full(len(facts.rows), True)
    before = last.facts
    moved = (facts.rows != before.rows).any(axis=1) | (facts.stretch != before.stretch)
    late = facts.heard_ms - before.heard_ms >= REFRESH_MS
    return moved, moved | (facts.words != before.words).any(axis=1) | late
