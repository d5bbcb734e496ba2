"""How each mesh words its telemetry: one module per mesh, data plus a small function, nothing that waits."""

from __future__ import annotations

from collectors.dialects.dialect import (
    COLLECTED_BY,
    REPLICA_LABELS,
    Amount,
    Dialect,
    Gap,
    Identity,
    Labels,
    Latency,
    LatencyBucket,
    LatencySum,
    ListenerBytes,
    Measure,
    Need,
    Part,
    Requests,
    Sign,
    Tcp,
    first_known,
)
from collectors.dialects.registry import BUILT_IN, GROUP, candidates, detect, known

__all__ = [
    "BUILT_IN",
    "COLLECTED_BY",
    "GROUP",
    "REPLICA_LABELS",
    "Amount",
    "Dialect",
    "Gap",
    "Identity",
    "Labels",
    "Latency",
    "LatencyBucket",
    "LatencySum",
    "ListenerBytes",
    "Measure",
    "Need",
    "Part",
    "Requests",
    "Sign",
    "Tcp",
    "candidates",
    "detect",
    "first_known",
    "known",
]
