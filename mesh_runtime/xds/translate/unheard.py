"""Config that has no effect on a workload: passed over as by Istio, but not in silence.

Of several policies for the same the oldest counts, a Sidecar may name hosts that nobody has, and a Telemetry metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from mesh_runtime.api.hosts import matches, resolve_host
from mesh_runtime.api.networking import Sidecar
from mesh_runtime.api.networking.sidecar import ANY, OWN
from mesh_runtime.api.objects import ROOT_NAMESPACE, ConfigObject
from mesh_runtime.api.security import PeerAuthentication
from mesh_runtime.api.telemetry import Telemetry
from mesh_runtime.registry import Instance
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope, scope_of, written_listeners
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.world import World, selects

_Group = tuple[str, Sequence[ConfigObject]]
"""Policies of one width, the oldest first, and what they are for."""


def unheard_config(world: World, instance: Instance) -> tuple[str, ...]:
    """Say which policies would hold for a workload if no older one did, and which hosts of its Sidecar are nobody's."""
    scope, namespace, labels = scope_of(world, instance), instance.namespace, dict(instance.labels)
    key = "unheard", namespace, tuple(sorted(labels.items()))
    return world.once(
        key, lambda: (*_unheard(world, namespace, labels), *_nobody_s(world, scope), *_no_metrics(world, namespace))
    )


def _nobody_s(world: World, scope: SidecarScope) -> Iterator[str]:
    """Name hosts in full that no service or rule has: to be known, a host must be written with all of its name."""
    owned = [(service.namespace, service.known_as) for service in world.services_for(scope.namespace).values()]
    for item, spec in world.virtual_services:
        owned += ((item.key.namespace, resolve_host(host, item.key.namespace)) for host in spec.hosts)
    for one in (found for listener in written_listeners(world, scope) for found in listener.imports):
        where, name = one.namespace, one.host
        spaces = {ANY: {space for space, _ in owned}, OWN: {scope.namespace}}.get(where, {where})
        found = [host for space, host in owned if space in spaces]
        if not one.excluded and "*" not in name and not any(matches(host, name) for host in found):
            meant = next((f"; did you mean {where}/{host}?" for host in found if host.startswith(f"{name}.")), "")
            yield f"{scope.sidecar} names {where}/{name}, which is nobody's{meant}"


def _no_metrics(world: World, namespace: str) -> Iterator[str]:
    """Name metrics of which Telemetry speaks and that proxies do not make."""
    for item in chain.from_iterable(world.objects("Telemetry", where) for where in {ROOT_NAMESPACE, namespace}):
        for override in (one for metrics in spec_of(item, Telemetry).metrics for one in metrics.overrides):
            if not override.match.metrics:
                yield f"{item.key} names {override.match.custom_metric}, which is no metric of a proxy's"


def _unheard(world: World, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
    for what, found in _groups(world, namespace, labels):
        for item in found[1:]:
            yield f"{item.key} is not heard: {found[0].key} is for the same {what}, and older"


def _groups(world: World, namespace: str, labels: Mapping[str, str]) -> Iterator[_Group]:
    for kind in ("PeerAuthentication", "Sidecar", "Telemetry"):
        for where in dict.fromkeys((ROOT_NAMESPACE, namespace)):
            wide = [item for item in world.objects(kind, where) if not _chosen(item)]
            yield "mesh" if where == ROOT_NAMESPACE else "namespace", wide
    for kind in ("PeerAuthentication", "Sidecar"):
        own = world.objects(kind, namespace)
        yield "workload", [item for item in own if selects(_chosen(item), labels)]


def _chosen(item: ConfigObject) -> Mapping[str, str]:
    """Return by which labels a policy chooses workloads; empty: it is for all."""
    match item.spec:
        case Sidecar():
            return item.spec.labels
        case PeerAuthentication() | Telemetry() if item.spec.selector:
            return item.spec.selector.match_labels
        case Telemetry():
            return {one.name: one.kind for one in item.spec.references}
    return {}
