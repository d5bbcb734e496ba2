"""Lists of what there is: services and workloads, searched and sorted alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from graph.health import PRIORITY
from graph.model import Health, Node

SHOWN = 200
"""Rows at most; the search finds the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One of them, and its traffic."""

    cluster: str
    namespace: str
    name: str
    icon: str
    href: str
    health: Health
    reason: str = ""
    """Why it is not well."""
    rate: float
    throughput: float
    """Bytes per second of TCP traffic."""
    error_ratio: float | None
    p95_ms: float | None
    mtls: float | None
    sends: bool = False
    """Nobody calls it: the numbers are of what it sends."""
    versions: tuple[str, ...] = ()
    replicas: int | None = None
    shift: str = ""
    """``namespace/service`` whose traffic can be shifted."""

    @property
    def place(self) -> str:
        """Where it is and what it is called: what a search looks at."""
        return f"{self.cluster}/{self.namespace}/{self.name}"


KEYS: Mapping[str, Callable[[Row], object]] = {
    "name": lambda row: (row.name, row.namespace, row.cluster),
    "cluster": lambda row: (row.cluster, row.namespace, row.name),
    "namespace": lambda row: (row.namespace, row.name, row.cluster),
    "health": lambda row: (-PRIORITY.index(row.health), row.name, row.place),
    "rate": lambda row: (-row.rate, -row.throughput, row.name),
    "errors": lambda row: (-(row.error_ratio if row.error_ratio is not None else -1.0), row.name),
    "p95": lambda row: (-(row.p95_ms or -1.0), row.name),
}
"""Sort orders; the natural direction puts what one looks for first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The table."""

    rows: tuple[Row, ...]
    hidden: int
    """So many more fit, beyond :data:`SHOWN`."""
    total: int
    sort: str
    reverse: bool
    text: str
    several_clusters: bool
    """Namespace and name alone do not say which one is meant."""


def row(
    node: Node,
    *,
    name: str,
    icon: str,
    href: str,
    reason: str,
    versions: Iterable[str] = (),
    replicas: int | None = None,
    shift: str = "",
) -> Row:
    """Describe a node by the traffic that came to it, or that it sends where nothing comes."""
    seen = node.inbound or node.outbound
    return Row(
        cluster=node.cluster,
        namespace=node.namespace,
        name=name,
        icon=icon,
        href=href,
        health=node.health,
        reason=reason,
        rate=seen.rate if seen else 0.0,
        throughput=seen.sent_bps + seen.received_bps if seen else 0.0,
        error_ratio=seen.error_ratio if seen and seen.requests else None,
        p95_ms=seen.p95_ms if seen else None,
        mtls=seen.mtls if seen else None,
        sends=node.outbound is not None and node.inbound is None,
        versions=tuple(versions),
        replicas=replicas,
        shift=shift,
    )


def listing(found: Sequence[Row], *, text: str = "", sort: str = "health", reverse: bool = False) -> Listing:
    """Search by any words of cluster, namespace and name; sort by a key of :data:`KEYS`."""
    words = text.lower().split()
    several = len({one.cluster for one in found}) > 1
    kept = [one for one in found if all(word in one.place.lower() for word in words)]
    order = sort if sort in KEYS else "health"
    kept.sort(key=KEYS[order], reverse=reverse)  # type: ignore[arg-type]
    return Listing(
        rows=tuple(kept[:SHOWN]),
        hidden=max(0, len(kept) - SHOWN),
        total=len(found),
        sort=order,
        reverse=reverse,
        text=text,
        several_clusters=several,
    )
