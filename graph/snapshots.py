"""Building snapshots of one projection: out of what is true of every edge, and of what of that has changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from graph.arrays import Flags, Ints
from graph.facts import EdgeFacts, FactFinder
from graph.health import Direction, Judge
from graph.hearing import Hearing
from graph.model import Edge, GraphType, Inventory, Node, Snapshot
from graph.rows import Rows
from graph.series_table import SeriesTable
from graph.shown import NodeFacts, Shown
from graph.signals import SignalReader
from graph.strands import Strands
from graph.tally import Tally
from graph.types import Projection, project, renew, unravel

REFRESH_MS = 10_000
"""How far ``at_ms`` of an edge may lag behind its newest reading while nothing else about it changes."""


@dataclass(frozen=True, slots=True)
class Made:
    """A snapshot and what it was made from, for the next one to compare with."""

    node_facts: NodeFacts
    facts: EdgeFacts
    covered_s: float
    """The longest time that any edge covers: that of the nodes."""
    edges: Rows[Edge]
    nodes: Rows[Node]
    snapshot: Snapshot


class Changes(NamedTuple):
    """Which edges and which nodes show anything else than in the last snapshot."""

    edges: Flags
    nodes: Flags


class Builder:
    """Builds the snapshots of one projection; stands until the projection, the series or the columns change.

    Nodes and edges that do not change are the same objects from one snapshot to the next.
    """

    def __init__(self, projection: Projection, series: SeriesTable, reader: SignalReader, judge: Judge) -> None:
        self._series = series
        self._judge = judge
        self._finder = FactFinder(projection, series, reader)
        self._shown = Shown(projection, series, (self._finder.series_edge, self._finder.series_slot), (reader, judge))
        self._node_facts = NodeFacts.of(projection, judge)

    @classmethod
    def of(
        cls, kind: GraphType, series: SeriesTable, inventory: Inventory, reader: SignalReader, judge: Judge
    ) -> Builder:
        """Project the series' edges, and be ready to build."""
        asked = series.asked()
        if kind not in {GraphType.OPERATION, GraphType.FINEST}:
            return cls(project(kind, series.joined.edges, inventory, asked), series, reader, judge)
        strands = Strands(series, kind)
        return cls(unravel(kind, strands.strands, inventory, asked), strands, reader, judge)

    def renewed(self, inventory: Inventory) -> bool:
        """Go on with an inventory that calls everything the same; ``False``: it must be projected anew."""
        projection = self._node_facts.projection
        if projection.naming is None:
            return False
        self._node_facts = NodeFacts.of(renew(projection, projection.naming, inventory), self._judge)
        return True

    def build(self, counted: Tally, hearing: Hearing, window_s: int, revision: int, last: Made | None) -> Made:
        """Make the snapshot; what is as in the last one is taken from it."""
        if isinstance(self._series, Strands):
            counted, hearing = self._series.lay(counted, hearing)
        facts = self._finder.find(counted, hearing, self._node_facts.nowhere, window_s)
        covered_s = float((facts.covered.seconds / facts.covered.stretch).max(initial=0.0))
        changes = self._changes(facts, covered_s, last) if last and self._follows(last) else None
        if last and changes:
            facts = facts.since(last.facts, changes.edges)
        sides = self._shown.sides
        there, standing = ~facts.gone, self._node_facts.standing | sides.touched(~facts.gone)
        edge_table = partial(self._shown.edges, self._node_facts, facts, self._finder.reasons, window_s)
        node_table = partial(self._shown.nodes, self._node_facts, facts, covered_s, window_s)
        if last and changes:
            edges = last.edges.next(revision, changes.edges, there, edge_table)
            nodes = last.nodes.next(revision, changes.nodes, standing, node_table)
        else:
            edges = Rows.first(self._shown.ids, revision, there, edge_table)
            nodes = Rows.first(self._node_facts.ids, revision, standing, node_table)
        snapshot = Snapshot(
            type=self._node_facts.projection.type,
            window_s=window_s,
            revision=revision,
            at_ms=counted.period.at_ms,
            nodes=nodes,
            edges=edges,
        )
        return Made(self._node_facts, facts, covered_s, edges, nodes, snapshot)

    def edges_of(self, id_: str, direction: Direction | None = None) -> Flags:
        """Which edges are this edge, or come into this node (or leave it, where none comes in).

        *direction*: only those that come into it, or only those that leave it.
        """
        edges, nodes = self._node_facts.projection.edges, self._node_facts.projection.nodes
        coming = [nodes[edge.target].id == id_ for edge in edges]
        leaving = [nodes[edge.source].id == id_ for edge in edges]
        if direction:
            return np.array(coming if direction is Direction.INBOUND else leaving, bool)
        candidates = ([edge.id == id_ for edge in edges], coming, leaving)
        return np.array(next((found for found in candidates if any(found)), candidates[0]), bool)

    def cells_of(self, wanted: Flags, counted: Tally) -> Ints:
        """Number the cells of what counts for the wanted edges."""
        touched = np.zeros(int(self._series.original.max(initial=-1)) + 1, bool)
        touched[self._series.original[wanted[self._finder.series_edge]]] = True
        return np.flatnonzero(touched[counted.period.cell_series] & (counted.counts > 0))

    def _follows(self, last: Made) -> bool:
        """Whether its rows are of the same edges and nodes."""
        before, now = last.node_facts, self._node_facts
        same_nodes = before is now or np.array_equal(before.ids, now.ids)
        return last.edges.lineage.ids is self._shown.ids and same_nodes

    def _changes(self, facts: EdgeFacts, covered_s: float, last: Made) -> Changes:
        before, sides = last.facts, self._shown.sides
        counts = (facts.rows != before.rows).any(axis=1) | (facts.covered.stretch != before.covered.stretch)
        words = (facts.words != before.words).any(axis=1) | (facts.heard_ms - before.heard_ms >= REFRESH_MS)
        renamed = self._renamed(last)
        # What flows through a node is per second of the longest time that any edge covers.
        flows = counts | facts.active if covered_s != last.covered_s else counts
        return Changes(
            counts | words | np.logical_or(*(renamed[end] for end in sides.ends)), renamed | sides.touched(flows)
        )

    def _renamed(self, last: Made) -> Flags:
        """Which nodes are known as something else than in the last snapshot."""
        nodes, before = self._node_facts.projection.nodes, last.node_facts.projection.nodes
        if nodes is before:
            return np.zeros(len(nodes), bool)
        return np.array([node != other for node, other in zip(nodes, before, strict=True)], bool)
