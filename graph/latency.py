"""How long the requests of several edges took: quantiles of all of them together, never means of quantiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from graph.columns import Bucket
from graph.groups import around
from graph.model import OUTSIDE_HOSTS, STRANGERS, Edge, EdgeKey, Histogram, Protocol, Snapshot
from graph.quantiles import Scale


class Between(NamedTuple):
    """Edges that are one when groups are shut; an end is a node's id, or a group's that stands for its nodes."""

    source: str
    target: str
    protocol: Protocol
    edges: tuple[Edge, ...]


def quantiles(samples: Iterable[Histogram], wanted: Sequence[float]) -> tuple[float, ...]:
    """Return the quantiles (0-1) of everything that was sampled, in milliseconds; empty without samples."""
    buckets: defaultdict[Bucket, float] = defaultdict(float)
    for one in samples:
        below, low = 0.0, 0.0
        for bound, upto in zip(one.bounds, one.counts, strict=True):
            buckets[Bucket(low, bound)] += upto - below
            below, low = upto, bound
    if not any(buckets.values()):
        return ()
    found = Scale(tuple(buckets)).quantiles(np.array([list(buckets.values())]), wanted)
    return tuple(found[0].tolist())


def between(snapshot: Snapshot, shut: Collection[str]) -> tuple[Between, ...]:
    """Put the edges together that lead to or from a group in *shut*; those within one are in none.

    What lies outside the mesh stands for itself, whichever namespace declares it.
    """
    stand = {
        node.id: next((group for group in around(node) if group in shut), node.id)
        for node in snapshot.nodes.values()
        if node.kind not in OUTSIDE_HOSTS | STRANGERS
    }
    found: defaultdict[tuple[str, str, Protocol], list[Edge]] = defaultdict(list)
    for edge in snapshot.edges.values():
        source, target = stand.get(edge.source, edge.source), stand.get(edge.target, edge.target)
        if source != target and (source, target) != (edge.source, edge.target):
            found[source, target, edge.protocol].append(edge)
    return tuple(Between(*ends, tuple(edges)) for ends, edges in found.items())


def latencies(
    snapshot: Snapshot, finest: Snapshot, shut: Collection[str], wanted: Sequence[float]
) -> list[tuple[Between, tuple[float, ...]]]:
    """Return with their quantiles what edges lead to and from shut groups; *finest*: the finest graph of the same window."""
    samples: defaultdict[EdgeKey, list[tuple[str, Histogram]]] = defaultdict(list)
    for edge in finest.edges.values():
        if edge.latency_ms:
            for key in edge.keys:
                samples[key].append((edge.operation, edge.latency_ms))
    return [(one, quantiles(_sampled(one.edges, samples), wanted)) for one in between(snapshot, shut)]


def _sampled(edges: Iterable[Edge], samples: Mapping[EdgeKey, Sequence[tuple[str, Histogram]]]) -> Iterator[Histogram]:
    for edge in edges:
        for key in edge.keys:
            yield from (sample for operation, sample in samples.get(key, ()) if edge.operation in {"", operation})
