"""What config does to the traffic for a host: routes, faults, mirrors, limits. Kiali's rules, by route instead of whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from collectors.inventory.hosts import covers, full_host, service_host
from collectors.inventory.objects import GATEWAY_API, ISTIO, Manifest, Object, Objects, part, parts, selects, texts

API_ROUTES = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
LIMITS = ("connectionPool", "outlierDetection")
"""What of a traffic policy is called circuit breaker."""
CIRCUIT_BREAKER = "circuit-breaker"


@dataclass(slots=True)
class Effects:
    """What is done to the traffic for one host."""

    badges: dict[str, None] = field(default_factory=dict)
    of_subsets: list[tuple[Manifest, str]] = field(default_factory=list)
    """Badges of the workloads with these labels only."""
    routes: dict[str, None] = field(default_factory=dict)
    """The hosts of the routes that lead to it."""


class Routing:
    """The effects of all VirtualServices, DestinationRules and Gateway API routes, by host."""

    def __init__(self, objects: Objects) -> None:
        self._of: defaultdict[str, Effects] = defaultdict(Effects)
        for one in objects.of(ISTIO, "VirtualService"):
            self._route(one)
        for one in objects.of(ISTIO, "DestinationRule"):
            self._limit(one)
        for kind in API_ROUTES:
            for one in objects.of(GATEWAY_API, kind):
                self._route_by_api(one)
        self._patterns = [host for host in self._of if host.startswith("*")]

    def of(self, hosts: tuple[str, ...]) -> Effects:
        """Put together what is done to any of these hosts."""
        found = Effects()
        for host in hosts:
            for name in (host, *(pattern for pattern in self._patterns if covers(pattern, host))):
                if name in self._of:
                    found.badges |= self._of[name].badges
                    found.of_subsets += self._of[name].of_subsets
                    found.routes |= self._of[name].routes
        return found

    def _route(self, one: Object) -> None:
        claimed = tuple(full_host(host, one.namespace) for host in texts(one.spec, "hosts"))
        for protocol, effects_of in (("http", _of_requests), ("tcp", _of_connections), ("tls", _of_connections)):
            for rule in parts(one.spec, protocol):
                led = {
                    full_host(str(part(to, "destination").get("host", "")), one.namespace)
                    for to in parts(rule, "route")
                }
                for host in (*claimed, *sorted(led)):
                    self._of[host].badges |= dict.fromkeys(("virtual-service", *effects_of(rule)))
                    self._of[host].routes |= dict.fromkeys(texts(one.spec, "hosts"))

    def _limit(self, one: Object) -> None:
        effects = self._of[full_host(str(one.spec.get("host", "")), one.namespace)]
        if _limits(part(one.spec, "trafficPolicy")):
            effects.badges[CIRCUIT_BREAKER] = None
        for subset in parts(one.spec, "subsets"):
            if _limits(part(subset, "trafficPolicy")):
                effects.of_subsets.append((part(subset, "labels"), CIRCUIT_BREAKER))

    def _route_by_api(self, one: Object) -> None:
        asked = {
            _service(parent, one.namespace)
            for parent in parts(one.spec, "parentRefs")
            if parent.get("kind") == "Service"
        }
        for rule in parts(one.spec, "rules"):
            led = {_service(to, one.namespace) for to in parts(rule, "backendRefs")}
            for host in sorted(asked | led):
                self._of[host].badges |= dict.fromkeys(("gateway-api", *_of_api(rule)))
                self._of[host].routes |= dict.fromkeys(texts(one.spec, "hostnames"))


def subset_badges(effects: Effects, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Name what is done to the traffic of one workload behind the host, beside what is done to all of them."""
    return tuple(badge for wanted, badge in effects.of_subsets if selects(wanted, labels))


def _of_requests(rule: Manifest) -> Iterator[str]:
    routes = list(parts(rule, "route"))
    effects = {
        "request-routing": routes,
        "traffic-shifting": len(routes) > 1,
        "fault-injection": rule.get("fault"),
        "timeout": rule.get("timeout"),
        "mirroring": rule.get("mirror") or rule.get("mirrors"),
    }
    yield from (badge for badge, applies in effects.items() if applies)


def _of_connections(rule: Manifest) -> Iterator[str]:
    yield "request-routing"
    if len(list(parts(rule, "route"))) > 1:
        yield "tcp-traffic-shifting"


def _of_api(rule: Manifest) -> Iterator[str]:
    effects = {
        "request-routing": True,
        "traffic-shifting": len(list(parts(rule, "backendRefs"))) > 1,
        "timeout": part(rule, "timeouts"),
        "mirroring": any(one.get("type") == "RequestMirror" for one in parts(rule, "filters")),
    }
    yield from (badge for badge, applies in effects.items() if applies)


def _limits(policy: Manifest) -> bool:
    return any(policy.get(name) for name in LIMITS)


def _service(ref: Manifest, namespace: str) -> str:
    return service_host(str(ref.get("name", "")), str(ref.get("namespace") or namespace))
