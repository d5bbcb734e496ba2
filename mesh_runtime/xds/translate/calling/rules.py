"""Which DestinationRules a caller follows, and what they say of a service: Istio's order of precedence."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from mesh_runtime.api.hosts import matches
from mesh_runtime.api.networking import (
    PRIVATE,
    PUBLIC,
    ClientTLS,
    ConnectionPool,
    DestinationRule,
    LoadBalancer,
    LocalityLbSetting,
    OutlierDetection,
    PortPolicy,
    ProxyProtocol,
    RetryBudget,
    Subset,
    TrafficPolicy,
    Tunnel,
    ZoneAwareLbSetting,
)
from mesh_runtime.api.objects import ROOT_NAMESPACE
from mesh_runtime.registry import Instance, Role
from mesh_runtime.xds.translate.services import MeshService
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope, scope_of
from mesh_runtime.xds.translate.world import World

Labels = Mapping[str, str]
NO_LABELS: Final[Labels] = MappingProxyType({})
WORKLOAD: Final = ("app", "version")
"""The labels by which the instances of a caller's own workload are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a port of a service, or of a subset of it, is called."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None
    """``None``: as each endpoint can."""
    tunnel: Tunnel | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


NO_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the DestinationRules that a caller follows say of a service."""

    key: Hashable
    """Names these rules: the same for all callers that follow the same ones."""
    general: TrafficPolicy | None
    subsets: Mapping[str, Subset]

    def policy(self, port: int, subset: str = "") -> Policy:
        """Return how a port is called. What a subset says of it replaces what the rule says, part by part.

        What either says of the single port is all that it says of it: parts that are left out have defaults.
        """
        general, _ = _for_port(self.general, port)
        own = self.subsets[subset].traffic_policy if subset in self.subsets else None
        if own is None:
            return general
        special, of_port = _for_port(own, port)
        wider = replace(NO_POLICY, **_given(general, _BEYOND_PORTS)) if of_port else general
        return replace(wider, **_given(special, _PARTS))


NO_RULES: Final = Rules(key=(), general=None, subsets={})
_BEYOND_PORTS: Final = ("tunnel", "proxy_protocol", "retry_budget")
_OF_PORTS: Final = ("load_balancer", "connection_pool", "outlier_detection", "tls")
_PARTS: Final = (*_OF_PORTS, *_BEYOND_PORTS)


@dataclass(frozen=True, slots=True)
class Client:
    """What of a caller makes a difference to how it calls: as little as possible, so that many share the outcome."""

    scope: SidecarScope
    labels: tuple[tuple[str, str], ...] = ()
    """Those by which rules choose their callers, or by which endpoints are near."""
    locality: str = ""
    """Empty where no rule asks for it."""
    gateway: bool = False
    """Gateways look into nothing to find out what it is."""

    @property
    def namespace(self) -> str:
        """Where it is."""
        return self.scope.namespace


def client_of(world: World, instance: Instance) -> Client:
    """Return what of an instance makes a difference to how it calls."""
    kept = {
        name: value
        for selector in selectors_of(world, instance.namespace)
        if instance.labels.items() >= selector.items()
        for name, value in selector.items()
    }
    names = world.once("labels of nearness", lambda: frozenset(_labels_of_nearness(world)))
    kept |= {name: value for name, value in instance.labels.items() if name in names}
    near = world.once("asks for localities", lambda: _asks_for_localities(world))
    return Client(
        scope_of(world, instance),
        tuple(sorted(kept.items())),
        instance.locality if near else "",
        instance.role is Role.GATEWAY,
    )


def selectors_of(world: World, namespace: str) -> tuple[Labels, ...]:
    """Return by which labels DestinationRules of a namespace choose their callers."""

    def find() -> tuple[Labels, ...]:
        return tuple(
            rule.workload_selector.match_labels
            for (where, _), rules in world.destination_rules.items()
            if where == namespace
            for rule in rules
            if rule.workload_selector
        )

    return world.once(("selectors", namespace), find)


def rules_for(world: World, namespace: str, service: MeshService, labels: Labels = NO_LABELS) -> Rules:
    """Return the rules that a caller follows: those of its namespace, else the service's, else the root namespace's.

    Of a namespace's rules those for the closest host count, and of those the ones that choose callers with
    such *labels*, else those that choose none.
    """
    for where, scope in _places(namespace, service.namespace):
        host = _closest(world, where, scope, service.known_as)
        visible = _visible(world, where, scope, host, namespace) if host else ()
        if visible:
            return _merged(world, (where, host), _followed(visible, labels))
    return NO_RULES


_Numbered = tuple[int, DestinationRule]
_LOCAL: Final = "local"
_OWN_ONLY: Final = "own only"
_EXPORTED: Final = "exported"


def _places(namespace: str, owner: str) -> Iterator[tuple[str, str]]:
    """Yield in which namespaces' rules to look, and in which of them.

    The root namespace's rules are meant for everybody, so that for its own callers, too, they come last.
    """
    yield namespace, _OWN_ONLY if namespace == ROOT_NAMESPACE else _LOCAL
    yield owner, _EXPORTED
    yield ROOT_NAMESPACE, _EXPORTED


def _is_in(rule: DestinationRule, namespace: str, scope: str) -> bool:
    exports = {PRIVATE} if rule.workload_selector else set(rule.export_to)
    own_only = exports in ({PRIVATE}, {namespace})
    if scope == _LOCAL:
        return not exports or bool(exports & {PUBLIC, PRIVATE, namespace})
    return own_only if scope == _OWN_ONLY else not own_only


def _by_host(world: World, namespace: str, scope: str) -> Mapping[str, tuple[_Numbered, ...]]:
    def find() -> dict[str, tuple[_Numbered, ...]]:
        found = {
            host: tuple((index, rule) for index, rule in enumerate(rules) if _is_in(rule, namespace, scope))
            for (where, host), rules in world.destination_rules.items()
            if where == namespace
        }
        return {host: rules for host, rules in found.items() if rules}

    return world.once(("rules by host", namespace, scope), find)


def _closest(world: World, namespace: str, scope: str, host: str) -> str | None:
    def find() -> str | None:
        known = _by_host(world, namespace, scope)
        if host in known:
            return host
        return max((name for name in known if name.startswith("*") and matches(name, host)), key=len, default=None)

    return world.once(("rules' host", namespace, scope, host), find)


def _visible(world: World, where: str, scope: str, host: str, namespace: str) -> tuple[_Numbered, ...]:
    """Return a host's rules that callers of a namespace may follow."""
    rules = _by_host(world, where, scope)[host]
    if scope != _EXPORTED:
        return rules
    return tuple(one for one in rules if not one[1].export_to or {PUBLIC, namespace} & set(one[1].export_to))


def _followed(rules: Iterable[_Numbered], labels: Labels) -> tuple[_Numbered, ...]:
    """Keep the rules of the first selector that chooses these labels, else those without one."""
    chosen: Labels | None = None
    for _, rule in rules:
        selector = rule.workload_selector
        if selector and labels.items() >= selector.match_labels.items():
            chosen = selector.match_labels
            break
    return tuple(
        (index, rule)
        for index, rule in rules
        if (rule.workload_selector.match_labels if rule.workload_selector else None) == chosen
    )


def _merged(world: World, place: Hashable, rules: tuple[_Numbered, ...]) -> Rules:
    """Join the rules for one host: the first policy, and the first subset of each name."""
    key = place, tuple(index for index, _ in rules)

    def merge() -> Rules:
        subsets: dict[str, Subset] = {}
        for _, rule in rules:
            for subset in rule.subsets:
                subsets.setdefault(subset.name, subset)
        general = next((rule.traffic_policy for _, rule in rules if rule.traffic_policy), None)
        return Rules(key=key, general=general, subsets=subsets)

    return world.once(("rules", key), merge)


def _for_port(policy: TrafficPolicy | None, port: int) -> tuple[Policy, bool]:
    """Return what a policy says of a port, and whether it speaks of that port in particular."""
    if policy is None:
        return NO_POLICY, False
    special = next((one for one in policy.port_level_settings if one.port.number == port), None)
    if special is not None:
        return Policy(**_given(special, _OF_PORTS)), True
    return Policy(**_given(policy, _PARTS)), False


def _given(policy: Policy | TrafficPolicy | PortPolicy, names: Iterable[str]) -> dict[str, Any]:
    return {name: part for name in names if (part := getattr(policy, name)) is not None}


def policies(rules: Iterable[DestinationRule]) -> Iterator[TrafficPolicy | PortPolicy]:
    """Yield every policy in rules: theirs, their subsets', and those of single ports."""
    for rule in rules:
        for policy in (rule.traffic_policy, *(subset.traffic_policy for subset in rule.subsets)):
            if policy is not None:
                yield policy
                yield from policy.port_level_settings


def _all_policies(world: World) -> Iterator[TrafficPolicy | PortPolicy]:
    for rules in world.destination_rules.values():
        yield from policies(rules)


def _locality_settings(world: World) -> Iterator[LocalityLbSetting]:
    yield world.mesh_config.locality_lb_setting
    for policy in _all_policies(world):
        if policy.load_balancer and policy.load_balancer.locality_lb_setting:
            yield policy.load_balancer.locality_lb_setting


def _zone_settings(world: World) -> Iterator[ZoneAwareLbSetting]:
    if world.mesh_config.zone_aware_lb_setting:
        yield world.mesh_config.zone_aware_lb_setting
    for policy in _all_policies(world):
        if policy.load_balancer and policy.load_balancer.zone_aware_lb_setting:
            yield policy.load_balancer.zone_aware_lb_setting


def _labels_of_nearness(world: World) -> Iterator[str]:
    zoned = tuple(_zone_settings(world))
    settings: Iterable[LocalityLbSetting | ZoneAwareLbSetting] = (*_locality_settings(world), *zoned)
    for setting in settings:
        for label in setting.failover_priority:
            yield label.partition("=")[0]
    if zoned:
        yield from WORKLOAD


def _asks_for_localities(world: World) -> bool:
    return (
        any(setting.distribute for setting in _locality_settings(world))
        or any(_zone_settings(world))
        or any(policy.outlier_detection for policy in _all_policies(world))
        or any(service.prefers for service in world.every_service)
    )
