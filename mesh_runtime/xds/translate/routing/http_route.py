"""One VirtualService rule as Envoy routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh_runtime.api.hosts import resolve_host
from mesh_runtime.api.networking import (
    MESH,
    Destination,
    HTTPDirectResponse,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRewrite,
    HTTPRoute,
    HTTPRouteDestination,
)
from mesh_runtime.api.values import Percent
from mesh_runtime.xds.snapshot import NOWHERE, Envoy
from mesh_runtime.xds.translate.calling.balancing import hash_policies
from mesh_runtime.xds.translate.calling.clusters import outbound_name
from mesh_runtime.xds.translate.calling.rules import Rules, rules_for
from mesh_runtime.xds.translate.listeners.lookup import named
from mesh_runtime.xds.translate.proxy_headers import proxy_headers
from mesh_runtime.xds.translate.routing.http_match import EVERY_PATH, catches_all, route_match
from mesh_runtime.xds.translate.routing.http_options import (
    authority,
    filter_configs,
    fraction,
    header_operations,
    retry_policy,
    timeouts,
)
from mesh_runtime.xds.translate.services import MeshPort, MeshService
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope, find_service
from mesh_runtime.xds.translate.telemetry.tracing import spans_named
from mesh_runtime.xds.translate.world import World

_REDIRECT_CODES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_SCHEME_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """For whom a rule is translated: a workload or gateway, and on which of a service's or server's ports."""

    scope: SidecarScope
    labels: Mapping[str, str]
    gateway: str = MESH
    """``mesh``, or the ``namespace/name`` of a Gateway."""
    port: int
    tls: bool = False
    """Whether requests arrive encrypted, and are decrypted before the rules are asked."""
    https_port: int = _SCHEME_PORTS["https"]
    """Where the same hosts are found by HTTPS: the number that is opened for 443."""
    member: MeshService | None = None
    """The workload that is called by its own name, where rules for its headless service are followed."""

    @property
    def namespace(self) -> str:
        """Where it is."""
        return self.scope.namespace


def rule_routes(world: World, caller: Caller, namespace: str, rule: HTTPRoute) -> Iterator[Envoy]:
    """Yield a rule's routes, one per match that can hold for this caller, in order, up to one for every request.

    *namespace* is the VirtualService's: short names are completed in it.
    """
    for match in rule.match or (HTTPMatchRequest(),):
        if _concerns(match, caller, namespace):
            route = _route(world, caller, namespace, rule, match)
            yield from _kept_to_names(route, _names(world, caller, namespace, rule))
            if catches_all(route):
                return


def service_route(world: World, caller: Caller, service: MeshService, port: MeshPort) -> Envoy:
    """Return the route to a service that no VirtualService speaks of."""
    hashed = _hash_policy(world, caller, service, port, "")
    action = {
        "cluster": outbound_name(service, port),
        **timeouts(None),
        **retry_policy(world.mesh_config.default_http_retry_policy, hashed=bool(hashed)),
        **hashed,
    }
    names = {"headers": [named(service, port.number)]} if service.by_request else {}
    route = {"name": "default", "match": {**EVERY_PATH, **names}, "route": action}
    return {**route, **spans_named(route, service.host, port.number)}


def destination_cluster(world: World, caller: Caller, namespace: str, destination: Destination) -> str:
    """Return the cluster of a destination; one that is not there leads nowhere, which is answered and counted."""
    found = _target(world, caller, namespace, destination)
    if found is None:
        return NOWHERE
    service, port = found
    subset = "" if service is caller.member else destination.subset
    if subset and subset not in _rules(world, caller, service).subsets:
        return NOWHERE
    return outbound_name(service, port, subset)


def _target(
    world: World, caller: Caller, namespace: str, destination: Destination
) -> tuple[MeshService, MeshPort] | None:
    host = resolve_host(destination.host, namespace)
    if caller.member and host == caller.member.parent:
        service: MeshService | None = caller.member
    else:
        service = find_service(world, caller.scope, host)
    port = _destination_port(service, destination, caller.port) if service else None
    return (service, port) if service and port else None


def _destination_port(service: MeshService, destination: Destination, arrived_at: int) -> MeshPort | None:
    if destination.port is not None:
        return service.port(destination.port.number)
    if len(service.ports) == 1:
        return service.ports[0]
    return service.port(arrived_at) or service.default_http_port


def _names(world: World, caller: Caller, namespace: str, rule: HTTPRoute) -> list[Envoy]:
    """Return what a rule's requests must name, because it is where they go."""
    found = (_target(world, caller, namespace, one.destination) for one in rule.route if not rule.redirect)
    wanted = (named(service, port.number) for service, port in filter(None, found) if service.by_request)
    return list({str(one): one for one in wanted}.values())


def _kept_to_names(route: dict[str, Any], names: Sequence[Envoy]) -> Iterator[dict[str, Any]]:
    """Yield a route for requests that name what they may, and one that answers the others."""
    if names:
        match = route["match"]
        yield {**route, "match": {**match, "headers": [*match.get("headers", ()), *names]}}
        yield {"match": match, "route": {"cluster": NOWHERE}}
    else:
        yield route


def _concerns(match: HTTPMatchRequest, caller: Caller, namespace: str) -> bool:
    """Tell whether a match can hold, by what is known before a request comes.

    As in Istio, one that names gateways asks nothing else of the caller.
    """
    if match.port is not None and match.port != caller.port:
        return False
    if match.gateways:
        return any(_full_name(name, namespace) == caller.gateway for name in match.gateways)
    return match.source_namespace in {"", caller.namespace} and all(
        caller.labels.get(key) == value for key, value in match.source_labels.items()
    )


def _full_name(gateway: str, namespace: str) -> str:
    return gateway if "/" in gateway or gateway == MESH else f"{namespace}/{gateway}"


def _route(world: World, caller: Caller, namespace: str, rule: HTTPRoute, match: HTTPMatchRequest) -> dict[str, Any]:
    # What a single destination does to headers comes after what the rule does.
    alone = rule.route[0].headers if _is_to_one(rule) else None
    named = {"name": ".".join(filter(None, (rule.name, match.name))), "stat_prefix": match.stat_prefix}
    return {
        **{key: value for key, value in named.items() if value},
        "match": route_match(match),
        **_outcome(world, caller, namespace, rule),
        **header_operations(rule.headers, alone),
        **filter_configs(rule),
    }


def _is_to_one(rule: HTTPRoute) -> bool:
    return len(rule.route) == 1 and rule.redirect is None and rule.direct_response is None


def _outcome(world: World, caller: Caller, namespace: str, rule: HTTPRoute) -> Envoy:
    if rule.redirect is not None:
        return {"redirect": _redirect(rule.redirect, caller)}
    if rule.direct_response is not None:
        return {"direct_response": _direct_response(rule.direct_response)}
    return {"route": _route_action(world, caller, namespace, rule)}


def _redirect(redirect: HTTPRedirect, caller: Caller) -> Envoy:
    derived = caller.port if redirect.derive_port == "FROM_REQUEST_PORT" else None
    # Else Envoy keeps the port that the client named.
    secured = caller.https_port if redirect.scheme == "https" and not redirect.authority else None
    port = redirect.port or derived or secured
    scheme = redirect.scheme or ("https" if caller.tls else "http")
    action = {
        "path_redirect": redirect.uri,
        "prefix_rewrite": redirect.prefix_rewrite,
        "host_redirect": redirect.authority,
        # A scheme's own port is not written out.
        "port_redirect": None if port == _SCHEME_PORTS[scheme] else port,
        "scheme_redirect": redirect.scheme,
    }
    written = {name: value for name, value in action.items() if value}
    return {**written, "response_code": _REDIRECT_CODES[redirect.redirect_code]}


def _direct_response(response: HTTPDirectResponse) -> Envoy:
    body = response.body
    if body is None:
        return {"status": response.status}
    source = {"inline_bytes": body.bytes} if body.bytes is not None else {"inline_string": body.string}
    return {"status": response.status, "body": source}


def _route_action(world: World, caller: Caller, namespace: str, rule: HTTPRoute) -> Envoy:
    hashed = _hash_policies(world, caller, namespace, rule.route)
    retries = rule.retries or world.mesh_config.default_http_retry_policy
    bound_to_host = len(rule.route) == 1 and bool(hashed)
    return {
        **_clusters(world, caller, namespace, rule),
        **timeouts(rule),
        **retry_policy(retries, hashed=bound_to_host),
        **_rewrite(world, rule),
        **_mirrors(world, caller, namespace, rule),
        **hashed,
    }


def _rewrite(world: World, rule: HTTPRoute) -> Envoy:
    rewrite = rule.rewrite or HTTPRewrite.model_construct()
    host = rewrite.authority or authority(rule.headers)
    if not host and _is_to_one(rule):
        host = authority(rule.route[0].headers)
    action: dict[str, Any] = {"host_rewrite_literal": host} if host else {}
    if rule.rewrite and proxy_headers(world).x_forwarded_host.enabled:
        action["append_x_forwarded_host"] = True
    if rewrite.uri:
        action["prefix_rewrite"] = rewrite.uri
    if rewrite.uri_regex_rewrite:
        found = rewrite.uri_regex_rewrite
        action["regex_rewrite"] = {"pattern": {"regex": found.match}, "substitution": found.rewrite}
    return action


def _mirrors(world: World, caller: Caller, namespace: str, rule: HTTPRoute) -> Envoy:
    shares = [(mirror.destination, mirror.percentage or Percent(value=100)) for mirror in rule.copies]
    policies = [
        {
            "cluster": destination_cluster(world, caller, namespace, destination),
            "runtime_fraction": {"default_value": fraction(share)},
            # The copy's spans would look like a second request of the caller's.
            "trace_sampled": False,
            # As in Istio, a copy names the host that the request does: by it applications and policies go.
            "disable_shadow_host_suffix_append": True,
        }
        for destination, share in shares
        if share.value
    ]
    return {"request_mirror_policies": policies} if policies else {}


def _clusters(world: World, caller: Caller, namespace: str, rule: HTTPRoute) -> Envoy:
    if _is_to_one(rule):
        return {"cluster": destination_cluster(world, caller, namespace, rule.route[0].destination)}
    return {
        "weighted_clusters": {
            "clusters": [_choice(world, caller, namespace, choice) for choice in rule.route if choice.weight]
        }
    }


def _choice(world: World, caller: Caller, namespace: str, choice: HTTPRouteDestination) -> Envoy:
    host = authority(choice.headers)
    return {
        "name": destination_cluster(world, caller, namespace, choice.destination),
        "weight": choice.weight,
        **header_operations(choice.headers),
        **({"host_rewrite_literal": host} if host else {}),
    }


def _hash_policies(world: World, caller: Caller, namespace: str, route: Sequence[HTTPRouteDestination]) -> Envoy:
    """Join what is hashed for each destination: Envoy decides by it once, whichever is chosen."""
    hashed: list[Envoy] = []
    for destination in (choice.destination for choice in route):
        target = _target(world, caller, namespace, destination)
        if target:
            found = _hash_policy(world, caller, *target, destination.subset).get("hash_policy", [])
            hashed += [one for one in found if one not in hashed]
    return {"hash_policy": hashed} if hashed else {}


def _hash_policy(world: World, caller: Caller, service: MeshService, port: MeshPort, subset: str) -> Envoy:
    hashed = hash_policies(_rules(world, caller, service).policy(port.number, subset))
    return {"hash_policy": hashed} if hashed else {}


def _rules(world: World, caller: Caller, service: MeshService) -> Rules:
    return rules_for(world, caller.namespace, service, caller.labels)
