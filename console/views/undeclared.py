"""Hosts that nobody declared: what the mesh does with their requests, and how one finds out who they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.views import links
from graph.model import Node, NodeKind


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
    caller = next((caller for caller in callers if caller and caller.workload), None)
    namespace = caller.namespace if caller else ""
    command = f"meshscope logs {caller.workload} -n {namespace} --proxy" if caller else ""
    declare_href = links.declare(namespace)
    if node.kind is NodeKind.PASSTHROUGH:
        return Undeclared(
            tone="warn",
            head="The mesh lets these requests through. ",
            text="Nobody declared their hosts, so no rule, timeout, mutual TLS or policy of the mesh applies to them. "
            "Metrics do not carry the hosts; the callers' access logs do, once a Telemetry turns them on.",
            command=command,
            declare_href=declare_href,
        )
    if node.kind is NodeKind.BLACK_HOLE:
        return Undeclared(
            tone="error",
            head="The mesh refuses these requests. ",
            text="Nobody declared their hosts, and the mesh passes on to declared ones only "
            "(outboundTrafficPolicy REGISTRY_ONLY). Metrics do not carry the hosts; the callers' access logs do, once a Telemetry turns them on.",
            command=command,
            declare_href=declare_href,
        )
    return None
