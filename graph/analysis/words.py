"""The vocabulary of questions and answers; whoever only names them need not load networkx."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """Which way to go from a node."""

    UPSTREAM = "upstream"
    """To its callers."""
    DOWNSTREAM = "downstream"
    """To whom it calls."""
    BOTH = "both"
    """To its callers and theirs, and to whom it calls and they call; not to other callees of its callers."""


class Weakness(StrEnum):
    """Why a node is a single point of failure."""

    ONE_REPLICA = "one_replica"
    """The inventory knows of one replica at most, and nobody else serves what it serves."""
    ONLY_WAY = "only_way"
    """Every way from an entry to some other nodes leads through it: it dominates them."""
    BRIDGE = "bridge"
    """It alone holds parts of the graph together, whichever way calls go: an articulation point."""
    NO_STAND_IN = "no_stand_in"
    """No other version or workload answers for its service, and how many replicas it has is not known."""


class Quantile(StrEnum):
    """Which latency of a call is meant."""

    P50 = "p50"
    P95 = "p95"
    P99 = "p99"
    MEAN = "mean"
