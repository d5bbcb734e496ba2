"""Which DestinationRule and PeerAuthentication apply: Istio's order of precedence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mesh_runtime.api.hosts import matches
from mesh_runtime.api.networking import (
    ConnectionPool,
    DestinationRule,
    LoadBalancer,
    OutlierDetection,
    Subset,
    TrafficPolicy,
)
from mesh_runtime.api.objects import ROOT_NAMESPACE
from mesh_runtime.api.security import PeerAuthentication
from mesh_runtime.xds.translate.services import MeshService
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.world import World, selects


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a service, or a subset of it, is called from a namespace."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: str = ""
    """``DISABLE``, ``ISTIO_MUTUAL``, or ``""``: as each endpoint can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What DestinationRules say of a service: its policy, and each subset's labels and policy."""

    policy: Policy
    subsets: Mapping[str, tuple[Mapping[str, str], Policy]]


NO_RULES = Rules(policy=Policy(), subsets={})


def rules_for(world: World, namespace: str, service: MeshService) -> Rules:
    """Return the rules for calls from a namespace: the caller's, else the service's, else the root namespace's."""
    for where in dict.fromkeys((namespace, service.namespace, ROOT_NAMESPACE)):
        found = world.once(("rules", where, service.host), lambda: _in_namespace(world, where, service.host))  # noqa: B023
        if found is not None:
            return found
    return NO_RULES


def mtls_mode(world: World, namespace: str, labels: Mapping[str, str], port: int | None = None) -> str:
    """Return what a workload, or one of its own ports, accepts: ``STRICT``, ``PERMISSIVE`` or ``DISABLE``.

    The port's mode in the workload's own PeerAuthentication, else that one's, else its namespace's, else the
    mesh's, else permissive. Of several for the same, the first by name counts.
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


def _in_namespace(world: World, namespace: str, host: str) -> Rules | None:
    found = _closest(world, namespace, host)
    if not found:
        return None
    general = next((rule.traffic_policy for rule in found if rule.traffic_policy), None)
    subsets: dict[str, Subset] = {}
    for rule in found:
        for subset in rule.subsets:
            subsets.setdefault(subset.name, subset)
    return Rules(
        policy=_policy(general, None),
        subsets={name: (subset.labels, _policy(general, subset.traffic_policy)) for name, subset in subsets.items()},
    )


def _closest(world: World, namespace: str, host: str) -> tuple[DestinationRule, ...]:
    exact = world.destination_rules.get((namespace, host))
    if exact:
        return exact
    wide = world.once("wide rules", lambda: [key for key in world.destination_rules if key[1].startswith("*")])
    fitting = [key for key in wide if key[0] == namespace and matches(key[1], host)]
    return world.destination_rules[max(fitting, key=lambda key: len(key[1]))] if fitting else ()


def _policy(general: TrafficPolicy | None, own: TrafficPolicy | None) -> Policy:
    """Lay a subset's policy over the rule's: each part that it has replaces the rule's."""
    parts = [policy for policy in (own, general) if policy is not None]
    tls = next((policy.tls.mode for policy in parts if policy.tls), "")
    return Policy(
        load_balancer=next((policy.load_balancer for policy in parts if policy.load_balancer), None),
        connection_pool=next((policy.connection_pool for policy in parts if policy.connection_pool), None),
        outlier_detection=next((policy.outlier_detection for policy in parts if policy.outlier_detection), None),
        tls=tls,
    )
