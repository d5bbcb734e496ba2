"""Finds the objects of Istio's API that decide where requests for a service go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mesh_runtime.api.core import Service
from mesh_runtime.api.hosts import matches, resolve_host, service_host
from mesh_runtime.api.networking import DestinationRule, HTTPMatchRequest, HTTPRoute, VirtualService
from mesh_runtime.api.objects import Config, ConfigObject
from wizards.intents import MESH, Foreign


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The one rule that requests fall through to, and where it stands: ``spec.http[index]``."""

    owner: ConfigObject
    index: int
    rule: HTTPRoute


def virtual_service(item: ConfigObject) -> VirtualService:
    """Give the object's spec as what it is."""
    assert isinstance(item.spec, VirtualService)
    return item.spec


def destination_rule(item: ConfigObject) -> DestinationRule:
    """Give the object's spec as what it is."""
    assert isinstance(item.spec, DestinationRule)
    return item.spec


def gateways_of(item: ConfigObject) -> tuple[str, ...]:
    """Name the gateways of a VirtualService in full; ``mesh`` where it names none."""
    named = virtual_service(item).gateways or (MESH,)
    return tuple(_full(gateway, item) for gateway in named)


def claims(config: Config, namespace: str, service: str, gateway: str) -> tuple[ConfigObject, ...]:
    """Find the VirtualServices that decide for a service: at ``mesh`` by their host, at a gateway by their target.

    At ``mesh``, those that name the host beat those whose ``*`` covers it.
    """
    host = service_host(service, namespace)
    bound = [item for item in config.of("VirtualService") if gateway in gateways_of(item)]
    if gateway != MESH:
        return tuple(item for item in bound if leads_to(item, host, gateway))
    hosts = {
        item.key: [resolve_host(name, item.key.namespace) for name in virtual_service(item).hosts] for item in bound
    }
    exact = tuple(item for item in bound if host in hosts[item.key])
    return exact or tuple(item for item in bound if any(matches(pattern, host) for pattern in hosts[item.key]))


def leads_to(item: ConfigObject, host: str, gateway: str) -> bool:
    """Tell whether a VirtualService sends any request that comes through a gateway to a host."""
    return any(
        resolve_host(target.destination.host, item.key.namespace) == host
        for rule in virtual_service(item).http
        if not rule.match or any(_applies(match, item, gateway) for match in rule.match)
        for target in rule.route
    )


def last_resort(item: ConfigObject, gateway: str) -> Rule | Foreign:
    """Find the rule for requests that fit no condition."""
    rules = virtual_service(item).http
    if not rules:
        return Foreign(reason=f"{item.key} routes TCP connections; shares are set for HTTP requests", object=item.key)
    for index, rule in enumerate(rules):
        if not rule.match or any(_always(match) and _applies(match, item, gateway) for match in rule.match):
            return Rule(owner=item, index=index, rule=rule)
    return Foreign(
        reason=f"every rule of {item.key} has a condition; add one without, for requests that fit none",
        object=item.key,
    )


def subset_rules(config: Config, namespace: str, service: str) -> tuple[ConfigObject, ...]:
    """Find the DestinationRules of a service's own host; those of its namespace come first."""
    host = service_host(service, namespace)
    found = [
        item
        for item in config.of("DestinationRule")
        if resolve_host(destination_rule(item).host, item.key.namespace) == host
    ]
    return tuple(sorted(found, key=lambda item: item.key.namespace != namespace))


def subsets_of(rules: Iterable[ConfigObject]) -> Mapping[str, Mapping[str, str]]:
    """Give subsets and their labels; the first rule that defines one counts."""
    found: dict[str, Mapping[str, str]] = {}
    for item in rules:
        for subset in destination_rule(item).subsets:
            found.setdefault(subset.name, subset.labels)
    return found


def no_http(config: Config, namespace: str, service: str) -> Foreign | None:
    """Say why requests for a service cannot be shared out at all, if so."""
    for item in config.of("Service", namespace):
        if item.key.name == service:
            assert isinstance(item.spec, Service)
            if not any(port.takes_requests for port in item.spec.ports):
                return Foreign(reason=f"{item.key} speaks TCP; shares are set for HTTP requests", object=item.key)
            return None
    return Foreign(reason=f"there is no Service {namespace}/{service}")


def _full(gateway: str, item: ConfigObject) -> str:
    return gateway if gateway == MESH or "/" in gateway else f"{item.key.namespace}/{gateway}"


def _applies(match: HTTPMatchRequest, item: ConfigObject, gateway: str) -> bool:
    return not match.gateways or gateway in {_full(name, item) for name in match.gateways}


def _always(match: HTTPMatchRequest) -> bool:
    """Tell whether a condition holds for every path and caller."""
    conditions = match.model_fields_set - {"name", "gateways", "ignore_uri_case"}
    return not conditions or (conditions == {"uri"} and match.uri is not None and match.uri.prefix == "/")
