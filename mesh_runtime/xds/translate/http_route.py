"""One VirtualService rule as Envoy routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from mesh_runtime.api.hosts import resolve_host
from mesh_runtime.api.networking import (
    MESH,
    Destination,
    HeaderOperations,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRetry,
    HTTPRoute,
    HTTPRouteDestination,
)
from mesh_runtime.api.networking.virtual_service import GrpcStatus
from mesh_runtime.api.values import Percent, StringMatch
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import NOWHERE, Envoy
from mesh_runtime.xds.translate.balancing import hash_policies
from mesh_runtime.xds.translate.clusters import outbound_name
from mesh_runtime.xds.translate.rules import Rules, rules_for
from mesh_runtime.xds.translate.services import MeshPort, MeshService
from mesh_runtime.xds.translate.world import World

FAULT_FILTER: Final = "envoy.filters.http.fault"
RETRY_ON: Final = "connect-failure,refused-stream,unavailable,cancelled,reset-before-request,503"
"""Istio's default, as a VirtualService would write it."""
DEFAULT_ATTEMPTS: Final = 2
NO_TIMEOUT: Final = "0s"

_REDIRECT_CODES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """For whom a rule is translated: a sidecar's namespace and labels, or a gateway; and on which port."""

    namespace: str
    labels: Mapping[str, str]
    gateway: str = MESH
    """``mesh``, or the ``namespace/name`` of a Gateway."""
    port: int


def rule_routes(world: World, caller: Caller, namespace: str, rule: HTTPRoute, described: Envoy) -> Iterator[Envoy]:
    """Yield a rule's routes, one per match that can hold for this caller, in order.

    *namespace* is the VirtualService's: short names are completed in it. *described* becomes the routes' metadata.
    """
    outcome = _outcome(world, caller, namespace, rule)
    matches = [match for match in rule.match if _concerns(match, caller, namespace)]
    if rule.match and not matches:
        return
    for match in matches or [HTTPMatchRequest()]:
        yield {
            **({"name": rule.name} if rule.name else {}),
            "match": _match(match),
            **outcome,
            **_header_operations(
                rule.headers.request if rule.headers else None, rule.headers.response if rule.headers else None
            ),
            **_fault(rule.fault),
            "metadata": described,
        }


def service_route(world: World, caller: Caller, service: MeshService, port: MeshPort) -> Envoy:
    """Return the route to a service that no VirtualService speaks of."""
    action = {
        "cluster": outbound_name(service, port),
        "timeout": NO_TIMEOUT,
        **retry_policy(None),
        **_hash_policy(world, caller, service, port, ""),
    }
    return {"name": "default", "match": {"prefix": "/"}, "route": action}


def retry_policy(retries: HTTPRetry | None) -> Envoy:
    """Return the retry policy of a route; Istio's default where none is written, nothing where it is 0 attempts."""
    attempts = DEFAULT_ATTEMPTS if retries is None else retries.attempts
    if attempts == 0:
        return {}
    written = [name.strip() for name in ((retries and retries.retry_on) or RETRY_ON).split(",")]
    codes = [int(name) for name in written if name.isdecimal()]
    policies = [name for name in written if not name.isdecimal()]
    if codes and "retriable-status-codes" not in policies:
        policies.append("retriable-status-codes")
    policy: dict[str, Any] = {
        "retry_on": ",".join(policies),
        "num_retries": attempts,
        "retriable_status_codes": codes,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": any_of("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }
    if retries and retries.per_try_timeout:
        policy["per_try_timeout"] = _seconds(retries.per_try_timeout)
    if retries and retries.backoff:
        policy["retry_back_off"] = {"base_interval": _seconds(retries.backoff)}
    return {"retry_policy": policy}


def destination_cluster(world: World, caller: Caller, namespace: str, destination: Destination) -> str:
    """Return the cluster of a destination; one that is not there leads nowhere, which is answered and counted."""
    service = world.find_service(resolve_host(destination.host, namespace), caller.namespace)
    if service is None:
        return NOWHERE
    port = _destination_port(service, destination, caller.port)
    if port is None:
        return NOWHERE
    if destination.subset and destination.subset not in _rules(world, caller, service).subsets:
        return NOWHERE
    return outbound_name(service, port, destination.subset)


def _destination_port(service: MeshService, destination: Destination, arrived_at: int) -> MeshPort | None:
    if destination.port is not None:
        return service.port(destination.port.number)
    if len(service.ports) == 1:
        return service.ports[0]
    return service.port(arrived_at) or service.default_http_port


def _concerns(match: HTTPMatchRequest, caller: Caller, namespace: str) -> bool:
    """Tell whether a match can hold, by what is known before a request comes."""
    gateways = [name if "/" in name or name == MESH else f"{namespace}/{name}" for name in match.gateways]
    if gateways and caller.gateway not in gateways:
        return False
    if match.port is not None and match.port != caller.port:
        return False
    if caller.gateway != MESH:
        return True
    if match.source_namespace and match.source_namespace != caller.namespace:
        return False
    return all(caller.labels.get(key) == value for key, value in match.source_labels.items())


def _match(match: HTTPMatchRequest) -> Envoy:
    path: dict[str, Any] = {"prefix": "/"}
    if match.uri is not None:
        kind, text = _compared(match.uri)
        path = {"safe_regex": {"regex": text}} if kind == "regex" else {{"exact": "path"}.get(kind, kind): text}
    pseudo = {":method": match.method, ":authority": match.authority, ":scheme": match.scheme}
    headers = [_header(name, wanted) for name, wanted in pseudo.items() if wanted is not None]
    headers += [_header(name, wanted) for name, wanted in match.headers.items()]
    built: dict[str, Any] = dict(path)
    if match.ignore_uri_case and "safe_regex" not in path:
        built["case_sensitive"] = False
    if headers:
        built["headers"] = headers
    if match.query_params:
        built["query_parameters"] = [
            {"name": name, **({"string_match": _string(wanted)} if _has_text(wanted) else {"present_match": True})}
            for name, wanted in match.query_params.items()
        ]
    return built


def _header(name: str, wanted: StringMatch) -> Envoy:
    return {"name": name, **({"string_match": _string(wanted)} if _has_text(wanted) else {"present_match": True})}


def _string(wanted: StringMatch) -> Envoy:
    kind, text = _compared(wanted)
    return {"safe_regex": {"regex": text}} if kind == "regex" else {kind: text}


def _compared(wanted: StringMatch) -> tuple[str, str]:
    ways = (("exact", wanted.exact), ("prefix", wanted.prefix), ("regex", wanted.regex))
    return next(((kind, text) for kind, text in ways if text), ("prefix", ""))


def _has_text(wanted: StringMatch) -> bool:
    return bool(wanted.exact or wanted.prefix or wanted.regex)


def _outcome(world: World, caller: Caller, namespace: str, rule: HTTPRoute) -> Envoy:
    if rule.redirect is not None:
        redirect = rule.redirect
        action = {
            "path_redirect": redirect.uri,
            "host_redirect": redirect.authority,
            "port_redirect": redirect.port,
            "scheme_redirect": redirect.scheme,
            "response_code": _REDIRECT_CODES[redirect.redirect_code],
        }
        return {"redirect": {name: value for name, value in action.items() if value}}
    if rule.direct_response is not None:
        body = {"body": {"inline_string": rule.direct_response.body.string}} if rule.direct_response.body else {}
        return {"direct_response": {"status": rule.direct_response.status, **body}}
    return {"route": _route_action(world, caller, namespace, rule)}


def _route_action(world: World, caller: Caller, namespace: str, rule: HTTPRoute) -> Envoy:
    action: dict[str, Any] = {
        **_clusters(world, caller, namespace, rule.route),
        "timeout": _seconds(rule.timeout) if rule.timeout else NO_TIMEOUT,
        **retry_policy(rule.retries),
    }
    authority = _authority(rule.headers.request if rule.headers else None)
    if rule.rewrite and rule.rewrite.uri:
        action["prefix_rewrite"] = rule.rewrite.uri
    if rule.rewrite and rule.rewrite.authority:
        authority = rule.rewrite.authority
    if authority:
        action["host_rewrite_literal"] = authority
    mirrors = [(mirror.destination, mirror.percentage) for mirror in rule.mirrors]
    if rule.mirror is not None:
        mirrors.append((rule.mirror, rule.mirror_percentage))
    if mirrors:
        action["request_mirror_policies"] = [
            {
                "cluster": destination_cluster(world, caller, namespace, destination),
                "runtime_fraction": {"default_value": _fraction(share or Percent(value=100))},
            }
            for destination, share in mirrors
        ]
    return {**action, **_hash_policies(world, caller, namespace, rule.route)}


def _clusters(world: World, caller: Caller, namespace: str, route: Sequence[HTTPRouteDestination]) -> Envoy:
    if len(route) == 1 and route[0].headers is None:
        return {"cluster": destination_cluster(world, caller, namespace, route[0].destination)}
    choices = []
    for choice in route:
        headers = choice.headers
        request = headers.request if headers else None
        operations = _header_operations(request, headers.response if headers else None)
        authority = _authority(request)
        choices.append(
            {
                "name": destination_cluster(world, caller, namespace, choice.destination),
                "weight": choice.weight if len(route) > 1 else 1,
                **operations,
                **({"host_rewrite_literal": authority} if authority else {}),
            }
        )
    return {"weighted_clusters": {"clusters": choices}}


def _header_operations(request: HeaderOperations | None, response: HeaderOperations | None) -> Envoy:
    built: dict[str, Any] = {}
    for side, operations in (("request", request), ("response", response)):
        if operations is None:
            continue
        added = [
            {"header": {"key": name, "value": value}, "append_action": action}
            for action, headers in (
                ("OVERWRITE_IF_EXISTS_OR_ADD", operations.set),
                ("APPEND_IF_EXISTS_OR_ADD", operations.add),
            )
            for name, value in headers.items()
            if name.lower() not in {":authority", "host"}
        ]
        if added:
            built[f"{side}_headers_to_add"] = added
        if operations.remove:
            built[f"{side}_headers_to_remove"] = list(operations.remove)
    return built


def _authority(operations: HeaderOperations | None) -> str:
    """Return what the request's authority is set to: Envoy does that as a rewrite, not as a header."""
    if operations is None:
        return ""
    written = {name.lower(): value for name, value in (operations.set | operations.add).items()}
    return written.get(":authority") or written.get("host") or ""


def _fault(fault: HTTPFaultInjection | None) -> Envoy:
    if fault is None:
        return {}
    built: dict[str, Any] = {}
    if fault.delay and fault.delay.percentage:
        built["delay"] = {
            "fixed_delay": _seconds(fault.delay.fixed_delay),
            "percentage": _fraction(fault.delay.percentage),
        }
    if fault.abort and fault.abort.percentage:
        status = (
            {"http_status": fault.abort.http_status}
            if fault.abort.http_status
            else {"grpc_status": get_args(GrpcStatus).index(fault.abort.grpc_status)}
        )
        built["abort"] = {**status, "percentage": _fraction(fault.abort.percentage)}
    if not built:
        return {}
    return {
        "typed_per_filter_config": {FAULT_FILTER: any_of("envoy.extensions.filters.http.fault.v3.HTTPFault", **built)}
    }


def _hash_policies(world: World, caller: Caller, namespace: str, route: Sequence[HTTPRouteDestination]) -> Envoy:
    """Join what is hashed for each destination: Envoy decides by it once, whichever is chosen."""
    hashed: list[Envoy] = []
    for destination in (choice.destination for choice in route):
        service = world.find_service(resolve_host(destination.host, namespace), caller.namespace)
        port = _destination_port(service, destination, caller.port) if service else None
        if service and port:
            found = _hash_policy(world, caller, service, port, destination.subset).get("hash_policy", [])
            hashed += [one for one in found if one not in hashed]
    return {"hash_policy": hashed} if hashed else {}


def _hash_policy(world: World, caller: Caller, service: MeshService, port: MeshPort, subset: str) -> Envoy:
    hashed = hash_policies(_rules(world, caller, service).policy(port.number, subset))
    return {"hash_policy": hashed} if hashed else {}


def _rules(world: World, caller: Caller, service: MeshService) -> Rules:
    return rules_for(world, caller.namespace, service, caller.labels)


def _fraction(share: Percent) -> Envoy:
    return {"numerator": share.millionths, "denominator": "MILLION"}


def _seconds(duration: Any) -> str:
    return f"{duration.ms / 1000:.3f}s"
