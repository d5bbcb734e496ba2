"""Hosts that nobody declared: what the mesh does with their requests, and how one finds out who they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.views import links
from graph.model import Node, NodeKind

FATES: Mapping[NodeKind, tuple[str, str, str]] = {
    NodeKind.PASSTHROUGH: (
        "warn",
        "The mesh lets these requests through. ",
        "so no rule, timeout, mutual TLS or policy of the mesh applies to them.",
    ),
    NodeKind.BLACK_HOLE: (
        "error",
        "The mesh refuses these requests. ",
        "and the mesh passes on to declared ones only (outboundTrafficPolicy REGISTRY_ONLY).",
    ),
}
"""What becomes of their requests: tone, the fact, and what follows from there being no declaration."""
LOOK = "Metrics do not carry the hosts; the callers' access logs do, once a Telemetry turns them on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeclared:
    """Hosts that nobody declared: what happens to their requests, and how they get a name."""

    tone: str
    head: str
    text: str
    command: str
    """Tells which hosts they are."""
    declare_href: str


def undeclared_hosts(node: Node, callers: Sequence[Node | None]) -> Undeclared | None:
    """Describe a node that stands for such hosts; *callers*: the busiest first. ``None``: it stands for something else."""
    if node.kind not in FATES:
        return None
    tone, head, consequence = FATES[node.kind]
    caller = next((caller for caller in callers if caller and caller.workload), None)
    namespace = caller.namespace if caller else ""
    command = f"meshscope logs {caller.workload} -n {namespace} --proxy" if caller else ""
    return Undeclared(
        tone=tone,
        head=head,
        text=f"Nobody declared their hosts, {consequence} {LOOK}",
        command=command,
        declare_href=links.declare(namespace),
    )
