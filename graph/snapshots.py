"""Building snapshots of one projection, taking over every node and edge that did not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from graph.health import PRIORITY, Direction, Item, Judge, worst
from graph.merge import REPORTERS, Floats, Ints
from graph.model import (
    PRINCIPALS,
    Edge,
    Evidence,
    GraphType,
    Health,
    Inventory,
    Node,
    NodeKind,
    Presence,
    Signals,
    Snapshot,
)
from graph.records import column, records, table
from graph.sides import Sides
from graph.signals import TOLD, Reading
from graph.strands import Strands
from graph.tally import Flags, Hearing, Period, Tally, Voices, add_up
from graph.types import ProjectedEdge, Projection, project, renew, unravel

GONE_AFTER_S = 300
"""An edge without traffic whose reporters have been silent for this long (and the window) is left out."""

REFRESH_MS = 10_000
"""How far ``at_ms`` of an edge may lag behind its newest reading while nothing else about it changes."""

_ORDERS = np.array(
    [sorted(range(len(REPORTERS)), key=lambda rank: (rank != chosen, rank)) for chosen in range(len(REPORTERS) + 1)]
)
"""Per chosen reporter (or none) the order in which evidence is shown."""

PRESENCES = (Presence.LIVE, Presence.IDLE, Presence.STALE)

KNOWN = Node._fields.index("health")
"""So many fields of a node come before those that follow from numbers."""

KINDS = {NodeKind.APP: "app", NodeKind.SERVICE: "service", NodeKind.WORKLOAD: "workload", NodeKind.GATEWAY: "workload"}
"""What Kiali's tolerances call a node."""


class EdgeFacts(NamedTuple):
    """What a snapshot says of its edges, side by side."""

    rows: Floats
    """Counters."""
    words: Floats
    """Everything else that shows, so that comparing both finds every change but that of ``heard_ms``."""
    active: Flags
    gone: Flags
    presence: Ints
    covered_s: Floats
    chosen: Ints
    heard_ms: Ints
    evidence: tuple[Floats, Ints, Ints]
    """Per edge and reporter: requests, instances, when."""
    reasons: Ints
    """Per edge the number of why it is stale, as its source says; 0: nothing is said."""


@dataclass(frozen=True, slots=True)
class Made:
    """A snapshot and what it was made from, for the next one to compare with."""

    projection: Projection
    facts: EdgeFacts
    shown_ms: Ints
    """Per edge the instant that it shows."""
    sides: tuple[Floats, Floats]
    nodes: list[Node]
    snapshot: Snapshot


class Builder:
    """Builds the snapshots of one projection; stands until the projection, the series or the columns change."""

    def __init__(self, projection: Projection, voices: Voices, reading: Reading, judge: Judge) -> None:
        self._edge_of: Ints = np.array(projection.edge_of, np.int64)
        self.edge = self._edge_of[voices.joined.home]
        """Per series the projected edge that it counts for."""
        self._voices = voices
        self._reading = reading
        self._judge = judge
        self._mutual = voices.mutual
        self._sides = Sides(projection)
        self._since = np.full(len(projection.edges), np.iinfo(np.int64).max)
        np.minimum.at(self._since, self.edge, voices.since_ms)
        witness = self.edge.copy()
        self._shared = np.zeros(len(witness), bool)
        """Per series whether it speaks of several edges together, and nobody can say which part is whose."""
        for contender in voices.joined.contenders:
            covering = {projection.edge_of[int(edge)] for edge in contender.edges}
            if len(covering) == 1:
                witness[contender.series] = covering.pop()
            else:
                self._shared[contender.series] = True
        self._slot = witness * len(REPORTERS) + voices.reporter
        """Per series the place of its evidence: an edge and a reporter."""
        self._speakers = np.unique(np.column_stack((self._slot, voices.instance)), axis=0, return_inverse=True)
        self._reasons = {"": 0}
        """Reasons for staleness by number, so that a change of them is found as any other."""
        self._placed: tuple[Ints, Ints] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._fixed_edges = table([_fixed(projection, edge) for edge in projection.edges], 8)
        self._principals = column(_principals(self.edge, voices, len(projection.edges)))
        origins = voices.origins(self._slot)
        self._origins = column([origins.get(slot, "") for slot in range(len(projection.edges) * len(REPORTERS))])
        self._know(projection)

    def _know(self, projection: Projection) -> None:
        """Take what is known of the nodes."""
        self.projection = projection
        self._rules = np.array([self._judge.rule(item_of(node)) for node in projection.nodes], np.int64)
        self._standing = np.array([node.id in projection.standing for node in projection.nodes], bool)
        self._nowhere = np.array([_leads_nowhere(projection, edge) for edge in projection.edges], bool)
        self._fixed_nodes = table([node[:KNOWN] for node in projection.nodes], KNOWN)
        self._floor = np.array([PRIORITY.index(_by_replicas(node)) for node in projection.nodes], np.int64)

    @classmethod
    def of(cls, kind: GraphType, voices: Voices, inventory: Inventory, reading: Reading, judge: Judge) -> Builder:
        """Project the voices' edges, and be ready to build."""
        asked = voices.asked()
        if kind not in {GraphType.OPERATION, GraphType.FINEST}:
            return cls(project(kind, voices.joined.edges, inventory, asked), voices, reading, judge)
        strands = Strands(voices, kind)
        return cls(unravel(kind, strands.strands, inventory, asked), strands, reading, judge)

    def renewed(self, inventory: Inventory) -> bool:
        """Go on with an inventory that calls everything the same; ``False``: it must be projected anew."""
        if self.projection.naming is None:
            return False
        self._know(renew(self.projection, self.projection.naming, inventory))
        return True

    def build(self, counted: Tally, hearing: Hearing, window_s: int, revision: int, last: Made | None) -> Made:
        """Make the snapshot; what is as in the last one is taken from it."""
        if isinstance(self._voices, Strands):
            counted, hearing = self._voices.lay(counted, hearing)
        facts = self._facts(counted, hearing, window_s)
        if last is not None and not self._follows(last.projection):
            last = None
        renewed = self._known_anew(last)
        changed = _changed(facts, last) | np.logical_or(*(renewed[end] for end in self._sides.ends))
        edges = self._edges(facts, changed, window_s, last)
        nodes, sides = self._nodes(facts, changed, renewed, window_s, last)
        shown = np.where(changed, facts.heard_ms, last.shown_ms) if last else facts.heard_ms
        visible = self._visible(facts)
        snapshot = Snapshot(
            type=self.projection.type,
            window_s=window_s,
            revision=revision,
            at_ms=counted.period.at_ms,
            nodes={node.id: node for node, seen in zip(nodes, visible, strict=True) if seen},
            edges=edges,
        )
        return Made(self.projection, facts, shown, sides, nodes, snapshot)

    def edges_of(self, id_: str, direction: Direction | None = None) -> Flags:
        """Which edges are this edge, or come into this node (or leave it, where none comes in).

        *direction*: only those that come into it, or only those that leave it.
        """
        edges, nodes = self.projection.edges, self.projection.nodes
        coming = [nodes[edge.target].id == id_ for edge in edges]
        leaving = [nodes[edge.source].id == id_ for edge in edges]
        if direction:
            return np.array(coming if direction is Direction.INBOUND else leaving, bool)
        candidates = ([edge.id == id_ for edge in edges], coming, leaving)
        return np.array(next((found for found in candidates if any(found)), candidates[0]), bool)

    def cells_of(self, wanted: Flags, counted: Tally) -> Ints:
        """Number the cells of what counts for the wanted edges."""
        touched = np.zeros(int(self._voices.index.max(initial=-1)) + 1, bool)
        touched[self._voices.index[wanted[self.edge]]] = True
        return np.flatnonzero(touched[counted.period.cell_series] & (counted.counts > 0))

    def rows(self, counted: Tally) -> Floats:
        """The counters of each edge."""
        size, width, period = len(self.projection.edges), self._reading.width, counted.period
        rows = add_up(self._cell_of(period), counted.counts, size * width).reshape(size, width)
        for number, told in enumerate(counted.told):
            rows[:, 2 * number - TOLD] = add_up(self.edge, told, size)
            rows[:, 2 * number - TOLD + 1] = add_up(self.edge, told * self._mutual, size)
        return rows

    def _cell_of(self, period: Period) -> Ints:
        """Per counted cell its place in the rows; found again only where there are new cells."""
        if period.cell_series is not self._placed[0]:
            places = self.edge[period.cell_series] * self._reading.width + period.cell_column
            self._placed = (period.cell_series, places)
        return self._placed[1]

    def _facts(self, counted: Tally, hearing: Hearing, window_s: int) -> EdgeFacts:
        rows, size, period = self.rows(counted), len(self.projection.edges), counted.period
        active = self._reading.active(rows)
        heard = np.zeros(size, np.int64)
        np.maximum.at(heard, self.edge, hearing.at_ms)
        fresh = add_up(self.edge, hearing.fresh, size) > 0
        own = add_up(self.edge, ~counted.silent, size) > 0
        forgotten = ~active & ~fresh & (period.at_ms - heard > 1000 * max(GONE_AFTER_S, window_s))
        end = np.where(fresh, period.at_ms, np.maximum(heard, period.from_ms))
        begin = np.maximum(self._since, period.from_ms)
        unseen = [np.clip(np.minimum(end, until) - np.maximum(begin, since), 0, None) for since, until in period.gaps]
        covered = np.maximum(end - begin - sum(unseen), 0) / 1000
        presence = np.where(~fresh, 2, np.where(active, 0, 1))
        chosen = np.full(size, len(REPORTERS))
        np.minimum.at(chosen, self._edge_of, counted.chosen)
        requests, instances, at = self._evidence(counted, hearing)
        gone = forgotten | ~own | (self._nowhere & ~active)
        reasons = self._doubted(hearing, ~fresh)
        words = np.column_stack((presence, gone, np.where(active, covered, 0), chosen, requests, instances, reasons))
        return EdgeFacts(
            rows, words, active, gone, presence, covered, chosen, heard, (requests, instances, at), reasons
        )

    def _doubted(self, hearing: Hearing, stale: Flags) -> Ints:
        """Per edge the number of the reason of its staleness; of several the one heard last."""
        reasons = np.zeros(len(self.projection.edges), np.int64)
        if hearing.why:
            for series in np.argsort(hearing.at_ms, kind="stable").tolist():
                if hearing.why[series] and stale[self.edge[series]]:
                    reasons[self.edge[series]] = self._reasons.setdefault(hearing.why[series], len(self._reasons))
        return reasons

    def _evidence(self, counted: Tally, hearing: Hearing) -> tuple[Floats, Ints, Ints]:
        slots = len(self.projection.edges) * len(REPORTERS)
        shape = (len(self.projection.edges), len(REPORTERS))
        clear = ~(self._shared & counted.silent)
        requests = add_up(self._slot, counted.requests * clear, slots)
        at = np.zeros(slots, np.int64)
        np.maximum.at(at, self._slot[clear], hearing.at_ms[clear])
        pairs, pair = self._speakers
        speaking = add_up(pair.ravel(), (hearing.fresh | (counted.requests > 0)) & clear, len(pairs)) > 0
        instances = np.bincount(pairs[speaking, 0], minlength=slots)
        return requests.reshape(shape), instances.reshape(shape), at.reshape(shape)

    def _edges(self, facts: EdgeFacts, different: Flags, window_s: int, last: Made | None) -> dict[str, Edge]:
        edges = dict(last.snapshot.edges) if last else {}
        changed = np.flatnonzero(different)
        rows = facts.rows[changed]
        signals = self._reading.signals(rows, facts.covered_s[changed], window_s)
        # An edge is its source's outbound and its target's inbound traffic.
        inbound, outbound = (self._rules[end[changed]] for end in self._sides.ends)
        levels = np.maximum(
            self._judge.levels(rows, Direction.OUTBOUND, outbound),
            self._judge.levels(rows, Direction.INBOUND, inbound),
        )
        ids, sources, targets, protocols, keys, services, operations, hosts = self._fixed_edges[changed].T.tolist()
        reasons = list(self._reasons)
        made = records(
            Edge,
            ids,
            sources,
            targets,
            protocols,
            signals,
            [PRIORITY[level] for level in levels.tolist()],
            [PRESENCES[presence] for presence in facts.presence[changed].tolist()],
            self._words(facts, changed),
            keys,
            facts.heard_ms[changed].tolist(),
            services,
            [reasons[number] for number in facts.reasons[changed].tolist()],
            operations,
            hosts,
            self._principals[changed].tolist(),
            self._reading.histograms(rows) if self.projection.type is GraphType.FINEST else [None] * len(rows),
        )
        edges.update(zip(ids, made, strict=True))
        for number in np.flatnonzero(different & facts.gone).tolist():
            del edges[self.projection.edges[number].id]
        return edges

    def _words(self, facts: EdgeFacts, changed: Ints) -> list[tuple[Evidence, ...]]:
        """Per edge the word of each reporter, the chosen one's first."""
        order = _ORDERS[facts.chosen[changed]]
        requests, instances, at = (np.take_along_axis(one[changed], order, axis=1) for one in facts.evidence)
        said = at > 0
        slots = changed[:, None] * len(REPORTERS) + order
        made = iter(
            records(
                Evidence,
                [REPORTERS[rank] for rank in order[said].tolist()],
                instances[said].tolist(),
                requests[said].tolist(),
                at[said].tolist(),
                self._origins[slots[said]].tolist(),
            )
        )
        return [tuple(islice(made, count)) for count in said.sum(axis=1).tolist()]

    def _side(
        self, rows: Floats, different: Flags, known: Sequence[Signals | None], covered_s: float, window_s: int
    ) -> list[Signals | None]:
        """The signals of the nodes' one side, made anew where they differ; none where nothing flows."""
        wanted = different & self._reading.active(rows)
        signals = iter(self._reading.signals(rows[wanted], np.full(int(wanted.sum()), covered_s), window_s))
        return [
            (next(signals) if flows else None) if new else before
            for new, flows, before in zip(different.tolist(), wanted.tolist(), known, strict=True)
        ]

    def _visible(self, facts: EdgeFacts) -> list[bool]:
        """What exists, and whatever has an edge."""
        seen = self._standing.copy()
        for ends in self._sides.ends:
            seen[ends[~facts.gone]] = True
        shown: list[bool] = seen.tolist()
        return shown

    def _follows(self, before: Projection) -> bool:
        """Whether it is the projection before, or that one renewed. All without edges share the empty tuple."""
        mine = self.projection
        return before is mine or (before.edges is mine.edges and len(before.nodes) == len(mine.nodes))

    def _known_anew(self, last: Made | None) -> Flags:
        """Which nodes are known as something else than in the last snapshot."""
        nodes = self.projection.nodes
        if last is None or last.projection is self.projection:
            return np.full(len(nodes), last is None)
        pairs = zip(nodes, last.projection.nodes, strict=True)
        return np.array([node != before for node, before in pairs], bool)

    def _nodes(
        self, facts: EdgeFacts, changed: Flags, renewed: Flags, window_s: int, last: Made | None
    ) -> tuple[list[Node], tuple[Floats, Floats]]:
        covered = facts.covered_s.max(initial=0.0)
        sides = self._sides.totals(facts.rows, changed, last.sides if last else None)
        nodes = list(last.nodes) if last else list(self.projection.nodes)
        same_time = last is not None and covered == last.facts.covered_s.max(initial=0.0)
        inward, outward = (
            (side != last.sides[number]).any(axis=1) | (self._reading.active(side) & (not same_time))
            if last
            else np.full(len(nodes), True)
            for number, side in enumerate(sides)
        )
        numbers = np.flatnonzero(inward | outward | renewed)
        known = [nodes[number] for number in numbers.tolist()]
        inbound = self._side(sides[0][numbers], inward[numbers], [node.inbound for node in known], covered, window_s)
        outbound = self._side(sides[1][numbers], outward[numbers], [node.outbound for node in known], covered, window_s)
        levels = np.maximum(
            self._judge.levels(sides[0][numbers], Direction.INBOUND, self._rules[numbers]),
            self._judge.levels(sides[1][numbers], Direction.OUTBOUND, self._rules[numbers]),
        )
        healths = [PRIORITY[level] for level in np.maximum(levels, self._floor[numbers]).tolist()]
        made = records(Node, *self._fixed_nodes[numbers].T.tolist(), healths, inbound, outbound)
        for number, node in zip(numbers.tolist(), made, strict=True):
            nodes[number] = node
        return nodes, sides


def _fixed(projection: Projection, edge: ProjectedEdge) -> tuple[object, ...]:
    """What stays of an edge whatever is counted on it."""
    source, target = projection.nodes[edge.source].id, projection.nodes[edge.target].id
    return edge.id, source, target, edge.protocol, edge.keys, edge.service, edge.operation, edge.host


def _principals(edges: Ints, voices: Voices, size: int) -> list[tuple[tuple[str, str], ...]]:
    """Per edge who called whom, as certificates say."""
    found: dict[int, dict[tuple[str, str], None]] = {}
    for edge, voice in zip(edges.tolist(), voices.all, strict=True):
        pair = (voice.key.source_principal, voice.key.destination_principal)
        if any(pair) and len(found.get(edge, ())) < PRINCIPALS:
            found.setdefault(edge, {})[pair] = None
    return [tuple(found.get(edge, ())) for edge in range(size)]


def _leads_nowhere(projection: Projection, edge: ProjectedEdge) -> bool:
    """Whether the edge stands for requests that reached nobody: without such requests there is no such edge."""
    target = projection.nodes[edge.target]
    outside = target.kind is NodeKind.EXTERNAL and target.id in projection.standing
    return not outside and all(key.target is None for key in edge.keys)


def item_of(node: Node) -> Item:
    """Say what a node is for the tolerances that judge it."""
    if node.kind in KINDS:
        return Item(node.namespace, KINDS[node.kind], node.label, node.tolerances)
    kind = "service" if node.service else "workload" if node.workload else ""
    return Item(node.namespace, kind, node.label, node.tolerances)


def _by_replicas(node: Node) -> Health:
    """The health of a projection's node, before any traffic."""
    return worst((node.health, Health.NOT_READY if node.replicas == 0 else Health.IDLE))


def _changed(facts: EdgeFacts, last: Made | None) -> Flags:
    if last is None:
        return np.full(len(facts.rows), True)
    late = facts.heard_ms - last.shown_ms >= REFRESH_MS
    before = last.facts
    differ = (facts.rows != before.rows).any(axis=1) | (facts.words != before.words).any(axis=1)
    return np.asarray(differ | late, np.bool_)
