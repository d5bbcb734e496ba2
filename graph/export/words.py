"""What every format says of a node or an edge, and in which colours."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from graph.durations import milliseconds
from graph.model import Edge, Health, Node, Protocol, Snapshot

COLOURS: Mapping[Health, str] = {
    Health.FAILURE: "#d64545",
    Health.DEGRADED: "#d98c1f",
    Health.NOT_READY: "#7a7f87",
    Health.HEALTHY: "#2e9e6b",
    Health.IDLE: "#9aa1ab",
}
FOUND = "#e0a100"
"""The colour of what a user found."""
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write: control characters, which names out of spans and metrics may hold."""


def caption(edge: Edge) -> str:
    """Say what flows on an edge in one line."""
    signals = edge.signals
    if edge.health is Health.IDLE:
        return "no traffic"
    words = [] if edge.protocol is Protocol.TCP and not signals.requests else [f"{signals.rate:.1f}/s"]
    if edge.protocol is Protocol.TCP:
        words.append(f"{(signals.sent_bps + signals.received_bps) / 1000:.1f} kB/s")
    if signals.error_ratio:
        words.append(f"{signals.error_ratio:.1%} errors")
    if signals.p95_ms is not None:
        words.append(f"p95 {milliseconds(signals.p95_ms)}")
    return ", ".join(words)


def printable(text: str) -> str:
    """Put the sign of what is unknown (U+FFFD) in the place of whatever readers of XML and C strings stumble over."""
    return NOT_XML.sub("\ufffd", text)


def by_namespace(snapshot: Snapshot) -> Mapping[tuple[str, str], list[Node]]:
    """Put nodes together by cluster and namespace, in order."""
    found: defaultdict[tuple[str, str], list[Node]] = defaultdict(list)
    for node in snapshot.nodes.values():
        found[node.cluster, node.namespace].append(node)
    return dict(sorted(found.items()))


def box_title(cluster: str, namespace: str, snapshot: Snapshot) -> str:
    """Name a namespace; with its cluster, where there are several."""
    several = len({node.cluster for node in snapshot.nodes.values()}) > 1
    return f"{cluster}/{namespace}" if several else namespace
