"""What the frame says about the whole mesh."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from console.signals.signal import Area, Presence, Signal
from console.views import format as fmt
from graph.model import OUTSIDE_HOSTS, STRANGERS, Snapshot
from mesh_runtime.control import ProxyStatus


class MutualTls(NamedTuple):
    """How much of the traffic between workloads mutual TLS protects."""

    value: str
    """``everywhere``, a percentage, or a dash where nothing was measured."""
    tone: str
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellView:
    """The masthead and the control plane's lines."""

    cluster: str
    mtls: MutualTls
    control: tuple[tuple[str, str], ...]


class Silence(NamedTuple):
    """That nothing of what is shown is news."""

    age: str
    """How old the newest measurement is."""
    why: str


def silence(unheard_since_ms: int | None, now_ms: int, found: Iterable[Signal]) -> Silence | None:
    """Say since when there are no news, and what the sources of metrics say of it; ``None`` where there are."""
    if unheard_since_ms is None:
        return None
    silent = [one for one in found if one.area is Area.METRICS and one.presence in {Presence.FAILING, Presence.STALE}]
    told = [f"{one.name}: {one.text.partition('; ')[0]}" for one in silent[:1]]
    more = [f"and {fmt.plural(len(silent) - 1, 'other source')}"] if len(silent) > 1 else []
    why = ", ".join(told + more) or "none of the proxies answers"
    return Silence(fmt.duration((now_ms - unheard_since_ms) / 1000), why)


def shell(snapshot: Snapshot, *, cluster: str, sync: str, revision: int) -> ShellView:
    """Sum up the mesh for the frame."""
    return ShellView(
        cluster=cluster,
        mtls=mtls(snapshot),
        control=(
            ("Proxies in sync", sync),
            ("Config revision", str(revision)),
        ),
    )


def sync(proxies: Collection[ProxyStatus], astray: int) -> str:
    """How many proxies have the newest config; while it is on its way to some, that."""
    following = sum(proxy.in_sync for proxy in proxies)
    return f"{following} of {len(proxies)}" if following + astray == len(proxies) else "syncing …"


def mtls(snapshot: Snapshot) -> MutualTls:
    """Sum up what was measured on the edges between workloads, by their requests."""
    pairs = [
        (max(edge.signals.requests, 1.0), edge.signals.mtls)
        for edge in snapshot.edges.values()
        if edge.signals.mtls is not None and not _crosses_the_border(snapshot, (edge.source, edge.target))
    ]
    if not pairs:
        return MutualTls(fmt.NONE, "", f"No traffic between workloads in the last {fmt.window(snapshot.window_s)}")
    share = sum(weight * part for weight, part in pairs) / sum(weight for weight, _ in pairs)
    if share >= 0.9995:
        return MutualTls("everywhere", "ok", "between all workloads of the mesh")
    return MutualTls(
        fmt.percent(share), "warn", "Some traffic between workloads is not over mutual TLS; find it with !mtls"
    )


def _crosses_the_border(snapshot: Snapshot, ends: Iterable[str]) -> bool:
    outside = OUTSIDE_HOSTS | STRANGERS
    return any(end not in snapshot.nodes or snapshot.nodes[end].kind in outside for end in ends)
