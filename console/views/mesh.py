"""The side panel when nothing is chosen: the whole picture, or a box of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views.overview import entering
from console.views.reasons import Reasons
from graph.health import PRIORITY
from graph.model import Health, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwell:
    """A node that is not well."""

    id: str
    name: str
    health: Health
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """The panel when nothing is chosen."""

    healthy: int
    trouble: tuple[Unwell, ...]
    metrics: tuple[tuple[str, str], ...]
    shiftable: tuple[tuple[str, str, str], ...]
    """``namespace/service``, its name, and its versions."""
    title: str
    about: str


def mesh_view(
    snapshot: Snapshot,
    shiftable: Mapping[str, Sequence[str]],
    reasons: Reasons,
    *,
    title: str = "This mesh",
    about: str = "",
) -> Mesh:
    """Describe the whole picture, or a box of it: what is wrong first and why, then what one could do."""
    sick = [node for node in snapshot.nodes.values() if node.health not in {Health.HEALTHY, Health.IDLE}]
    sick.sort(key=lambda node: (-PRIORITY.index(node.health), node.label))
    come_in = [edge.signals for edge in entering(snapshot)]
    requests = sum(signals.requests for signals in come_in)
    slowest = max(((edge.signals.p95_ms or 0.0) for edge in snapshot.edges.values()), default=0.0)
    return Mesh(
        healthy=sum(node.health is Health.HEALTHY for node in snapshot.nodes.values()),
        trouble=tuple(Unwell(id=node.id, name=node.title, health=node.health, why=reasons.of(node)) for node in sick),
        metrics=(
            ("Requests entering", f"{fmt.rate(sum(signals.rate for signals in come_in))} rps"),
            (
                "Of these failed",
                fmt.percent(sum(signals.errors for signals in come_in) / requests if requests else None),
            ),
            ("Slowest p95 of an edge", fmt.milliseconds(slowest or None)),
        ),
        shiftable=tuple(
            (key, key.partition("/")[2], ", ".join(versions)) for key, versions in sorted(shiftable.items())
        ),
        title=title,
        about=". ".join(filter(None, (about, f"Last {fmt.window(snapshot.window_s)}"))),
    )
