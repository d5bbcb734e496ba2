"""What a snapshot shows of its edges and nodes, by the column, out of the facts that were worked out for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from graph.arrays import REPORTERS, Flags, Floats, Ints
from graph.facts import PRESENCES, EdgeFacts
from graph.health import PRIORITY, Direction, Item, Judge, worst
from graph.model import (
    PRINCIPALS,
    Edge,
    Evidence,
    GraphType,
    Health,
    Node,
    NodeKind,
)
from graph.readings import stretch
from graph.records import Maybe, Objects, Several, Table, column, table
from graph.series_table import SeriesTable
from graph.sides import Sides
from graph.signals import TRANSPORT, SignalReader
from graph.types import ProjectedEdge, Projection

_ORDERS = np.array(
    [sorted(range(len(REPORTERS)), key=lambda rank: (rank != chosen, rank)) for chosen in range(len(REPORTERS) + 1)]
)
"""Per chosen reporter (or none) the order in which evidence is shown."""

KNOWN = Node._fields.index("health")
"""So many fields of a node come before those that follow from numbers."""

KINDS = {NodeKind.APP: "app", NodeKind.SERVICE: "service", NodeKind.WORKLOAD: "workload", NodeKind.GATEWAY: "workload"}
"""What Kiali's tolerances call a node."""


class NodeFacts(NamedTuple):
    """What is known of a projection's nodes beside numbers; another one for another inventory."""

    projection: Projection
    ids: Objects
    fixed: Objects
    """Per node the fields that do not follow from numbers."""
    rules: Ints
    """The rule that each is judged by."""
    floor: Ints
    """Its health before any traffic, as a position in :data:`PRIORITY`."""
    standing: Flags
    """Whether it is there without traffic, too."""
    nowhere: Flags
    """Per edge whether it stands for requests that reached nobody: without such requests there is no such edge."""

    @classmethod
    def of(cls, projection: Projection, judge: Judge) -> NodeFacts:
        """Lay side by side what a projection knows."""
        nodes = projection.nodes
        return cls(
            projection,
            column([node.id for node in nodes]),
            table([node[:KNOWN] for node in nodes], KNOWN),
            np.array([judge.rule(item_of(node)) for node in nodes], np.int64),
            np.array([PRIORITY.index(_by_replicas(node)) for node in nodes], np.int64),
            np.array([node.id in projection.standing for node in nodes], bool),
            np.array([_leads_nowhere(projection, edge) for edge in projection.edges], bool),
        )


class Shown:
    """Makes tables of a projection's edges and nodes."""

    def __init__(
        self,
        projection: Projection,
        series: SeriesTable,
        places: tuple[Ints, Ints],
        figures: tuple[SignalReader, Judge],
    ) -> None:
        edges, slots = places
        self._reader, self._judge = figures
        size = len(projection.edges)
        self.sides = Sides(projection)
        self.ids = column([edge.id for edge in projection.edges])
        self._kind = projection.type
        self._fixed = table([_fixed(projection, edge) for edge in projection.edges], 8)
        self._principals = column(_principals(edges, series, size))
        origins = series.origins(slots)
        self._origins = column([origins.get(slot, "") for slot in range(size * len(REPORTERS))])

    def edges(self, nodes: NodeFacts, facts: EdgeFacts, reasons: Objects, window_s: int, wanted: Ints) -> Table[Edge]:
        """Give these edges."""
        rows = facts.rows[wanted]
        ids, sources, targets, protocols, keys, services, operations, hosts = self._fixed[wanted].T.tolist()
        # An edge is its source's outbound and its target's inbound traffic.
        inbound, outbound = (nodes.rules[end[wanted]] for end in self.sides.ends)
        return Table(
            Edge,
            {
                "id": ids,
                "source": sources,
                "target": targets,
                "protocol": protocols,
                "signals": partial(self._reader.signals, rows, facts.covered.seconds[wanted], window_s),
                "health": partial(self._healths, [lambda: rows] * 2, (inbound, outbound)),
                "presence": [PRESENCES[presence] for presence in facts.presence[wanted].tolist()],
                "evidence": partial(self._evidence, facts, wanted),
                "keys": keys,
                "at_ms": facts.heard_ms[wanted],
                "service": services,
                "reason": reasons[facts.reasons[wanted]].tolist(),
                "operation": operations,
                "host": hosts,
                "principals": self._principals[wanted].tolist(),
                "latency_ms": partial(self._reader.histograms, rows)
                if self._kind is GraphType.FINEST
                else [None] * len(rows),
            },
        )

    def nodes(self, nodes: NodeFacts, facts: EdgeFacts, covered_s: float, window_s: int, wanted: Ints) -> Table[Node]:
        """Give these nodes, which are in ascending order."""
        sums = [cache(partial(self.sides.total, side, facts.rows, wanted)) for side in range(len(self.sides.ends))]
        rules = nodes.rules[wanted]
        covered = [partial(self._covered_s, side, facts, covered_s, wanted) for side in range(len(self.sides.ends))]
        inbound, outbound = (partial(self._side, *one, window_s) for one in zip(sums, covered, strict=True))
        fixed = dict(zip(Node._fields[:KNOWN], nodes.fixed[wanted].T.tolist(), strict=True))
        health = partial(self._healths, sums, (rules, rules), nodes.floor[wanted])
        return Table(Node, {**fixed, "health": health, "inbound": inbound, "outbound": outbound})

    def _covered_s(self, side: int, facts: EdgeFacts, covered_s: float, wanted: Ints) -> Floats:
        """Per node what is covered of one side's traffic: requests, or bytes where there are none."""
        requests, _ = self._reader.errors(facts.rows)
        counts = np.column_stack((requests, facts.rows[:, TRANSPORT].sum(axis=1)))
        totals = self.sides.total(side, np.hstack((counts, counts / facts.covered.stretch[:, None])), wanted)
        return covered_s * stretch(*np.where(totals[:, :1] > 0, totals[:, ::2], totals[:, 1::2]).T)

    def _side(self, sums: Callable[[], Floats], covered_s: Callable[[], Floats], window_s: int) -> Maybe:
        """One side's signals; none where nothing flows."""
        rows = sums()
        flows = self._reader.active(rows)
        busy = rows[flows]
        return Maybe(self._reader.signals(busy, covered_s()[flows], window_s), flows.tolist())

    def _healths(
        self, sides: Sequence[Callable[[], Floats]], rules: tuple[Ints, Ints], floor: Ints | int = 0
    ) -> list[Health]:
        """Judge what comes in and what goes out; the worse of both counts, or the floor."""
        inward, outward = map(
            self._judge.levels, [rows() for rows in sides], (Direction.INBOUND, Direction.OUTBOUND), rules
        )
        return [PRIORITY[level] for level in np.maximum(np.maximum(inward, outward), floor).tolist()]

    def _evidence(self, facts: EdgeFacts, wanted: Ints) -> Several:
        """Per edge the word of each reporter, the chosen one's first."""
        order = _ORDERS[facts.chosen[wanted]]
        requests, instances, at = (np.take_along_axis(one[wanted], order, axis=1) for one in facts.evidence)
        said = at > 0
        slots = wanted[:, None] * len(REPORTERS) + order
        fields = (
            [REPORTERS[rank] for rank in order[said].tolist()],
            instances[said],
            requests[said],
            at[said],
            self._origins[slots[said]].tolist(),
        )
        words = Table(Evidence, dict(zip(Evidence._fields, fields, strict=True)))
        return Several(words, said.sum(axis=1).tolist())


def _fixed(projection: Projection, edge: ProjectedEdge) -> tuple[object, ...]:
    """What stays of an edge whatever is counted on it."""
    source, target = projection.nodes[edge.source].id, projection.nodes[edge.target].id
    return edge.id, source, target, edge.protocol, edge.keys, edge.service, edge.operation, edge.host


def _principals(edges: Ints, series: SeriesTable, size: int) -> list[tuple[tuple[str, str], ...]]:
    """Per edge who called whom, as certificates say."""
    found: dict[int, dict[tuple[str, str], None]] = {}
    for edge, one in zip(edges.tolist(), series.all, strict=True):
        pair = (one.key.source_principal, one.key.destination_principal)
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
