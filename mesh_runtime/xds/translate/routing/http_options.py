"""What a VirtualService's HTTP rule does to requests on their way: headers, faults, CORS, retries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

from mesh_runtime.api.networking import CorsPolicy, Headers, HTTPFaultInjection, HTTPRetry, HTTPRoute
from mesh_runtime.api.networking.http_action import GrpcStatus
from mesh_runtime.api.values import Duration, Percent
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.routing.http_match import string_match

FAULT_FILTER: Final = "envoy.filters.http.fault"
CORS_FILTER: Final = "envoy.filters.http.cors"
RETRY_ON: Final = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
"""Istio's default."""
SELECTIONS: Final = 20
"""How often a retry looks for a host that has not been tried; Istio's is 5.

One of two replicas that is dead has the fewest requests, which the balancer likes: with 5, a real Envoy answered 58 of
2,000 concurrent requests with 503 after the two default retries; with 20, none.
"""
DEFAULT_ATTEMPTS: Final = 2
NO_TIMEOUT: Final = "0s"
PER_ROUTE_FILTERS: Final[Envoy] = {
    FAULT_FILTER: any_of("envoy.extensions.filters.http.fault.v3.HTTPFault"),
    CORS_FILTER: any_of("envoy.extensions.filters.http.cors.v3.Cors"),
}
"""Filters that do nothing but on routes that configure them, in their order, with what stands in the listener."""

_PREVIOUS_HOSTS: Final[Envoy] = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": any_of("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
}
_PREVIOUS_PRIORITIES: Final[Envoy] = {
    "name": "envoy.retry_priorities.previous_priorities",
    "typed_config": any_of(
        "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=2
    ),
}


def seconds(duration: Duration) -> str:
    """Write a duration as Envoy reads it."""
    return f"{duration.ms / 1000:.3f}s"


def fraction(share: Percent) -> Envoy:
    """Write a share as Envoy reads it."""
    return {"numerator": share.millionths, "denominator": "MILLION"}


def timeouts(rule: HTTPRoute | None) -> Envoy:
    """Return how long a request may take; where nothing is written, as long as a gRPC client says."""
    written = seconds(rule.timeout) if rule and rule.timeout else NO_TIMEOUT
    return {"timeout": written, "max_grpc_timeout": written}


def retry_policy(retries: HTTPRetry | None, *, hashed: bool = False) -> Envoy:
    """Return the retry policy of a route; Istio's default where none is written, nothing where it is 0 attempts.

    *hashed* says that requests are bound to a host, which is then tried again, too.

    It stands in every route, though that is a sixth of what a change of the table costs an Envoy. A cluster could have
    the default, once; but its policy replaces those of all routes, also of no attempts, and mirrored requests are
    tried again by it, too (Envoy 1.40).
    """
    attempts = DEFAULT_ATTEMPTS if retries is None else retries.attempts
    if attempts == 0:
        return {}
    policy: dict[str, Any] = {
        **_reasons((retries and retries.retry_on) or RETRY_ON),
        "num_retries": attempts,
        "host_selection_retry_max_attempts": SELECTIONS,
    }
    ignored = retries.retry_ignore_previous_hosts if retries else None
    if not hashed if ignored is None else ignored:
        policy["retry_host_predicate"] = [_PREVIOUS_HOSTS]
    if retries and retries.retry_remote_localities:
        policy["retry_priority"] = _PREVIOUS_PRIORITIES
    if retries and retries.per_try_timeout:
        policy["per_try_timeout"] = seconds(retries.per_try_timeout)
    if retries and retries.backoff:
        policy["retry_back_off"] = {"base_interval": seconds(retries.backoff)}
    return {"retry_policy": policy}


def _reasons(retry_on: str) -> Envoy:
    written = [name.strip() for name in retry_on.split(",")]
    codes = [int(name) for name in written if name.isdecimal()]
    policies = [name for name in written if not name.isdecimal()]
    if codes and "retriable-status-codes" not in policies:
        policies.append("retriable-status-codes")
    return {"retry_on": ",".join(policies), **({"retriable_status_codes": codes} if codes else {})}


def authority(headers: Headers | None) -> str:
    """Return what the request's host is set to: Envoy does that as a rewrite, not as a header."""
    found = headers.request.authorities if headers and headers.request else ()
    return found[0] if found else ""


def header_operations(*parts: Headers | None) -> Envoy:
    """Return what happens to headers, in the parts' order."""
    built: dict[str, list[Any]] = {}
    for part in parts:
        for side in ("request", "response"):
            operations = getattr(part, side, None)
            if operations is None:
                continue
            written = (("OVERWRITE_IF_EXISTS_OR_ADD", operations.set), ("APPEND_IF_EXISTS_OR_ADD", operations.add))
            for action, headers in written:
                built.setdefault(f"{side}_headers_to_add", []).extend(
                    {"header": {"key": name, "value": value}, "append_action": action}
                    for name, value in headers.items()
                    if name.lower() not in {":authority", "host"}
                )
            built.setdefault(f"{side}_headers_to_remove", []).extend(operations.remove)
    return {name: found for name, found in built.items() if found}


def filter_configs(rule: HTTPRoute) -> Envoy:
    """Return what a rule wants of filters: a route's ``typed_per_filter_config``, where there is something."""
    found: dict[str, Any] = {}
    fault = _fault(rule.fault) if rule.fault else {}
    if fault:
        found[FAULT_FILTER] = any_of("envoy.extensions.filters.http.fault.v3.HTTPFault", **fault)
    if rule.cors_policy:
        found[CORS_FILTER] = any_of("envoy.extensions.filters.http.cors.v3.CorsPolicy", **_cors(rule.cors_policy))
    return {"typed_per_filter_config": found} if found else {}


def _fault(fault: HTTPFaultInjection) -> dict[str, Any]:
    built: dict[str, Any] = {}
    delay, abort = fault.delay, fault.abort
    if delay and delay.fixed_delay and delay.share.value:
        built["delay"] = {"fixed_delay": seconds(delay.fixed_delay), "percentage": fraction(delay.share)}
    if abort and abort.percentage:
        status = (
            {"http_status": abort.http_status}
            if abort.http_status
            else {"grpc_status": get_args(GrpcStatus).index(abort.grpc_status)}
        )
        built["abort"] = {**status, "percentage": fraction(abort.percentage)}
    return built


def _cors(policy: CorsPolicy) -> dict[str, Any]:
    joined = {
        "allow_methods": _listed(policy.allow_methods),
        "allow_headers": _listed(policy.allow_headers),
        "expose_headers": _listed(policy.expose_headers),
        "max_age": str(policy.max_age.ms // 1000) if policy.max_age else "",
    }
    return {
        "allow_origin_string_match": [string_match(origin) for origin in policy.origins],
        **{name: value for name, value in joined.items() if value},
        **({} if policy.allow_credentials is None else {"allow_credentials": policy.allow_credentials}),
        "filter_enabled": {"default_value": {"numerator": 100}},
        "forward_not_matching_preflights": policy.unmatched_preflights != "IGNORE",
    }


def _listed(values: Sequence[str]) -> str:
    return ",".join(values)
