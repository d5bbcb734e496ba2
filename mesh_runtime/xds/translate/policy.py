"""Which DestinationRule and PeerAuthentication apply: Istio's order of precedence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def mtls_mode(world: World, namespace: str, labels: Mapping[str, str]) -> str:
    """Return what a workload accepts: ``STRICT``, ``PERMISSIVE`` or ``DISABLE``.

    The workload's own PeerAuthentication, else its namespace's, else the mesh's, else permissive.
    """
    key = "mtls", namespace, tuple(sorted(labels.items()))
    return world.once(key, lambda: next(_modes(world, namespace, labels), "PERMISSIVE"))


def _modes(world: World, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
    for where, selected in ((namespace, True), (namespace, False), (ROOT_NAMESPACE, False)):
        for item in world.objects("PeerAuthentication", where):
            spec = item.spec
            assert isinstance(spec, PeerAuthentication)
            wanted = spec.selector.match_labels if spec.selector else {}
            applies = selects(wanted, labels) if selected else not wanted
            if applies and spec.mtls and spec.mtls.mode != "UNSET":
                yield spec.mtls.mode


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
