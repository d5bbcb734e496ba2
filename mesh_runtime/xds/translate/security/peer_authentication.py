"""Which PeerAuthentication applies to a workload and its ports: Istio's order of precedence."""

from __future__ import annotations

from collections.abc import Mapping

from mesh_runtime.api.objects import ROOT_NAMESPACE
from mesh_runtime.api.security import PeerAuthentication
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.world import World, selects


def mtls_mode(world: World, namespace: str, labels: Mapping[str, str], port: int | None = None) -> str:
    """Return what a workload, or one of its own ports, accepts: ``STRICT``, ``PERMISSIVE`` or ``DISABLE``.

    The port's mode in the workload's own PeerAuthentication, else that one's, else its namespace's, else the
    mesh's, else permissive. Of several for the same, the oldest counts.
    """
    key = "mtls", namespace, tuple(sorted(labels.items()))
    general, by_port = world.once(key, lambda: _modes(world, namespace, labels))
    return general if port is None else by_port.get(str(port), general)


def _modes(world: World, namespace: str, labels: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    own = _of_workload(world, namespace, labels) if namespace != ROOT_NAMESPACE else None
    found = (own, _of_namespace(world, namespace), _of_namespace(world, ROOT_NAMESPACE))
    stated = (spec.mtls.mode for spec in found if spec and spec.mtls and spec.mtls.mode != "UNSET")
    general = next(stated, "PERMISSIVE")
    ports = own.port_level_mtls if own else {}
    return general, {port: mtls.mode if mtls.mode != "UNSET" else general for port, mtls in ports.items()}


def _of_workload(world: World, namespace: str, labels: Mapping[str, str]) -> PeerAuthentication | None:
    found = (spec_of(item, PeerAuthentication) for item in world.objects("PeerAuthentication", namespace))
    return next((spec for spec in found if spec.selector and selects(spec.selector.match_labels, labels)), None)


def _of_namespace(world: World, namespace: str) -> PeerAuthentication | None:
    found = (spec_of(item, PeerAuthentication) for item in world.objects("PeerAuthentication", namespace))
    return next((spec for spec in found if not spec.selector or not spec.selector.match_labels), None)
