"""Why something is not well, in a sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from console.views import format as fmt
from console.views.health import WORDS
from graph.health import PRIORITY, Direction, Finding, Tolerance, judge_rates, judge_workload, status, tolerances_of
from graph.model import Edge, Health, Node, Snapshot, Workload
from graph.shown import item_of

WHOSE: Mapping[Direction, str] = {Direction.INBOUND: "that came to it", Direction.OUTBOUND: "that it sent"}
CODES_NAMED = 3
UNWELL = frozenset({Health.FAILURE, Health.DEGRADED, Health.NOT_READY})


class Reasons:
    """Why the nodes of a snapshot are not well."""

    def __init__(self, snapshot: Snapshot, tolerances: Sequence[Tolerance]) -> None:
        self._tolerances = tolerances
        self._window = fmt.window(snapshot.window_s)
        self._edges: defaultdict[tuple[str, Direction], list[Edge]] = defaultdict(list)
        unwell = {node.id for node in snapshot.nodes.values() if node.health in UNWELL}
        for edge in snapshot.edges.values():
            for end, direction in ((edge.target, Direction.INBOUND), (edge.source, Direction.OUTBOUND)):
                if end in unwell:
                    self._edges[end, direction].append(edge)

    def of(self, node: Node, known: Sequence[Workload] = ()) -> str:
        """Say what makes a node unwell: requests beyond a tolerance, or its replicas; ``""``: it is well.

        *known*: what the inventory has of it, where it is a workload.
        """
        if node.health not in UNWELL:
            return ""
        own = tolerances_of(item_of(node), self._tolerances)
        found = [(judge_rates(_rates(self._edges[node.id, one]), one, own), one) for one in Direction]
        worst, direction = max(found, key=lambda one: PRIORITY.index(one[0].health))
        if worst.health is node.health and worst.tolerance:
            return _of_requests(worst, direction, worst.tolerance, self._window)
        for workload in known:
            if judge_workload(workload) in UNWELL:
                return _of_replicas(workload)
        return "None of its replicas runs." if node.replicas == 0 else ""


def _rates(edges: Iterable[Edge]) -> Mapping[str, Mapping[str, float]]:
    """Requests by protocol and code."""
    rates: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for edge in edges:
        for outcome, count in edge.signals.outcomes.items():
            rates[edge.protocol][status(edge.protocol, outcome)] += count
    return rates


def _of_requests(found: Finding, direction: Direction, tolerance: Tolerance, window: str) -> str:
    codes = ", ".join("no response" if code == "-" else code for code in found.codes[:CODES_NAMED])
    limit = tolerance.failure if found.health is Health.FAILURE else tolerance.degraded
    share, word = fmt.percent(found.percent / 100), WORDS[found.health].lower()
    borne = f"{limit:g} % of them make" if limit else "any of them makes"
    return (
        f"{share} of the {found.protocol.upper()} requests {WHOSE[direction]} in {window}"
        f" ended in {codes}; {borne} it {word}."
    )


def _of_replicas(workload: Workload) -> str:
    desired = workload.replicas if workload.desired is None else workload.desired
    if desired == 0:
        return "It is scaled down to no replica."
    serving = workload.replicas if workload.available is None else workload.available
    if serving >= desired and 0 <= workload.synced < desired:
        return f"{workload.synced} of {fmt.plural(desired, 'proxy', 'proxies')} have their config."
    return f"{serving} of {fmt.plural(desired, 'replica')} can serve."
