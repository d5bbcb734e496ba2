"""Kubernetes clusters: whether they are followed, what is not there, and what may not be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from console.clusters import Cluster
from console.signals.signal import Advice, Area, Presence, Signal, numbers


def of_clusters(clusters: Iterable[Cluster], now_ms: int) -> Iterator[Signal]:
    """Tell of every cluster."""
    for cluster in clusters:
        yield _cluster(cluster, now_ms)


def _cluster(one: Cluster, now_ms: int) -> Signal:
    state = one.state
    presence, text = Presence.PRESENT, _followed(one)
    if state.error:
        presence = Presence.STALE if one.declared else Presence.FAILING
        text = f"for {(now_ms - state.since_ms) // 1000} s: {state.error}"
        text += "; what is shown is as it was before" if one.declared else ""
    elif state.forbidden:
        presence = Presence.MISSING
        text += f"; may not be read: {', '.join(kind.plural for kind in state.forbidden)}"
    elif _misnamed(one):
        presence = Presence.MISSING
        text += f"; its metrics call it {one.own_name}, and are not found to be about it"
    counted = {"workloads": len(one.inventory.workloads), "objects": len(one.declared), "lists": state.lists}
    return Signal(
        area=Area.MESH,
        name=f"cluster {one.name}",
        text=text,
        presence=presence,
        advice=tuple(_advice(one)),
        counters=numbers(counted | {"kinds": state.kinds, "since_ms": state.since_ms}),
    )


def _followed(one: Cluster) -> str:
    if not one.state.kinds:
        return "not read yet"
    there = [group for group in one.config.config_groups if group not in one.state.absent]
    mesh = f"config of {', '.join(there)}" if there else "no mesh's config is installed"
    return f"{one.state.server} is followed: {one.state.kinds} kinds of objects; {mesh}"


def _misnamed(one: Cluster) -> bool:
    return bool(one.own_name) and one.own_name != one.name


def _advice(one: Cluster) -> Iterator[Advice]:
    if one.state.role:
        yield Advice(text="Have somebody who may grant it apply this there (kubectl apply -f):", paste=one.state.role)
    if _misnamed(one):
        yield Advice(text="Call it as its istiod does:", paste=f"--context {one.own_name}={one.config.context}")
