"""Where one can go from a node or an edge of the graph: its traces, logs, live requests, its pages."""

from __future__ import annotations

from typing import NamedTuple

from console.views import links
from graph.model import STRANGERS, UNDECLARED, Node, NodeKind


class Way(NamedTuple):
    """A link."""

    icon: str
    text: str
    href: str


def ways_of_node(node: Node, service: str) -> tuple[Way, ...]:
    """From a node; *service*: the one in its namespace that callers use, ``""``: none."""
    ways = [Way("activity", "Traces", links.traces(app=node.app, version=node.version))] if node.app else []
    end = _end(node)
    if end:
        ways.append(Way("zap", "Live requests", links.tap(target=end)))
    if node.workload and end:
        ways.append(Way("scroll-text", "Logs", links.logs(namespace=node.namespace, workload=node.workload)))
        ways.append(Way("box", "Workload", links.workload(node.namespace, node.workload)))
    if service:
        ways.append(Way("server", "Service", links.service(node.namespace, service)))
    return tuple(ways)


def ways_of_edge(source: Node | None, target: Node | None, service: str) -> tuple[Way, ...]:
    """From an edge; *service*: its declared one as ``namespace/name``, ``""``: none."""
    ways = []
    if source and target and source.app and target.app:
        peer = f"{target.app} {target.version}".strip()
        ways.append(Way("activity", "Traces", links.traces(app=source.app, peer=peer)))
    ends = {name: _end(node) for name, node in (("source", source), ("target", target)) if node}
    if any(ends.values()):
        ways.append(Way("zap", "Live requests", links.tap(**ends)))
    if service:
        namespace, _, name = service.partition("/")
        ways.append(Way("server", "Service", links.service(namespace, name)))
    return tuple(ways)


def _end(node: Node) -> str:
    """How live requests name a node; ``""`` for whom no proxy speaks."""
    if node.kind in UNDECLARED or node.kind in STRANGERS or node.kind is NodeKind.OPERATION:
        return ""
    name = node.workload or node.app or node.service
    return f"{name}.{node.namespace}" if name else ""
