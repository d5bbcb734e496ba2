"""Boxes of the graph, and what stands out in its shape."""

from __future__ import annotations

from dataclasses import dataclass, replace

from console.views.format import percent, plural
from graph.model import Snapshot
from graph.wire import groups_json

INSIGHTS = 5
"""Of each sort so many are listed."""
SMALL_SHARE = 0.01
"""A single point of failure that less of the traffic needs is not worth a line."""

KINDS = {"cluster": "Cluster", "namespace": "Namespace", "app": "App"}
WEAKNESSES = {
    "one_replica": "one replica",
    "only_way": "the only path to others",
    "bridge": "the mesh splits without it",
    "no_stand_in": "no fallback",
}


@dataclass(frozen=True, slots=True)
class Group:
    """A cluster, a namespace or an app with everything in it."""

    label: str
    about: str
    snapshot: Snapshot
    """Its nodes, and the edges that begin or end in it."""


@dataclass(frozen=True, slots=True)
class Insight:
    """One thing worth knowing."""

    sort: str
    text: str
    detail: str
    select: str
    """The node to choose."""
    light: tuple[str, ...]
    """What to highlight: ids of nodes and edges."""


def group_of(snapshot: Snapshot, id_: str) -> Group | None:
    """Find the group that a box stands for."""
    found = next((one for one in groups_json(snapshot.nodes.values()) if one["id"] == id_), None)
    if found is None:
        return None
    members = set(found["nodes"])
    edges = {key: edge for key, edge in snapshot.edges.items() if edge.source in members or edge.target in members}
    nodes = {key: node for key, node in snapshot.nodes.items() if key in members}
    about = f"{KINDS[found['kind']]} with {plural(len(members), 'node')}"
    return Group(found["label"], about, replace(snapshot, nodes=nodes, edges=edges))


def insights(snapshot: Snapshot) -> tuple[Insight, ...]:
    """List single points of failure and cycles of calls, the weightiest first."""
    # here, not above: networkx costs the server's start half a second
    from graph.analysis.cycles import cycles  # noqa: PLC0415
    from graph.analysis.single_points import single_points  # noqa: PLC0415

    points = [one for one in single_points(snapshot) if one.share.likely >= SMALL_SHARE]
    return (
        *(
            Insight(
                sort="Single points of failure",
                text=_name(snapshot, one.id),
                detail=f"{percent(one.share.likely)} of traffic · "
                + ", ".join(WEAKNESSES.get(weakness, weakness) for weakness in one.weaknesses),
                select=one.id,
                light=(),
            )
            for one in points[:INSIGHTS]
        ),
        *(
            Insight(
                sort="Cycles of calls",
                text=" → ".join(_name(snapshot, id_) for id_ in one.way),
                detail="each needs the others: one that is slow slows all",
                select=one.nodes[0],
                light=(*one.nodes, *one.edges),
            )
            for one in cycles(snapshot)[:INSIGHTS]
        ),
    )


def _name(snapshot: Snapshot, id_: str) -> str:
    return snapshot.nodes[id_].title if id_ in snapshot.nodes else id_
