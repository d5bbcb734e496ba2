"""Who meets the failure of a node: how much of the traffic, and which callers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.views import format as fmt
from graph.model import Snapshot

if TYPE_CHECKING:
    from graph.analysis.blast import BlastRadius, Share

CALLERS = 8
"""So many callers are listed, the most affected first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependant:
    """A caller, directly or through others."""

    id: str
    name: str
    share: str
    """Of the requests that it gets."""
    bounds: str
    """The least and the most that the counters allow; ``""`` where they leave no doubt."""
    way: str
    """How many calls away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """What the failure of a node means."""

    sentence: str
    bounds: str
    dependants: tuple[Dependant, ...]
    more: int
    """Callers that are not listed."""
    starved: str
    """Whom no traffic would reach any more."""


def dependence(snapshot: Snapshot, found: BlastRadius) -> Dependence | None:
    """Describe a blast radius; ``None`` where nobody calls the node and no traffic needs it."""
    if not found.callers and not found.share.most:
        return None
    return Dependence(
        sentence=f"{fmt.percent(found.share.likely)} of the traffic that enters the mesh depends on it",
        bounds=_bounds(found.share),
        dependants=tuple(
            Dependant(
                id=caller.id,
                name=snapshot.nodes[caller.id].title,
                share=fmt.percent(caller.share.likely),
                bounds=_bounds(caller.share),
                way="calls it" if caller.hops == 1 else f"{caller.hops} calls away",
            )
            for caller in found.callers[:CALLERS]
        ),
        more=max(0, len(found.callers) - CALLERS),
        starved=", ".join(snapshot.nodes[id_].title for id_ in found.starved),
    )


def _bounds(share: Share) -> str:
    least, most = fmt.percent(share.least), fmt.percent(share.most)
    return "" if least == most else f"{least} to {most}"
