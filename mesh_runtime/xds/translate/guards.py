"""What a request or connection must pass before it reaches a workload or a gateway's routes."""

from __future__ import annotations

from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.ports import InboundPort
from mesh_runtime.xds.translate.world import World


def http_guards(world: World, instance: Instance, port: InboundPort | None) -> tuple[Envoy, ...]:  # noqa: ARG001
    """Return the HTTP filters that requests to a workload's port pass, or to a gateway (``None``)."""
    return ()


def tcp_guards(world: World, instance: Instance, port: InboundPort | None) -> tuple[Envoy, ...]:  # noqa: ARG001
    """Return the network filters that connections pass."""
    return ()
