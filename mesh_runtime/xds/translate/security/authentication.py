"""RequestAuthentications as Envoy's JWT filter, and the clusters from which it fetches keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from mesh_runtime.api.security import JWTRule, RequestAuthentication
from mesh_runtime.api.security.request import KeysAddress, keys_address
from mesh_runtime.api.values import address as not_an_address
from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy, Group
from mesh_runtime.xds.translate.calling.clusters import CONNECT_TIMEOUT, limits, outbound_name
from mesh_runtime.xds.translate.calling.endpoints import ANY_SOURCE, address
from mesh_runtime.xds.translate.security.matchers import JWT_FILTER, JWT_PAYLOAD
from mesh_runtime.xds.translate.security.selection import Workload, applying, workload_of
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.tls import SYSTEM_ROOTS
from mesh_runtime.xds.translate.world import World

_FETCH_TIMEOUT: Final = "5s"
_KEYS_LIVE: Final = "300s"
_SPACE_DELIMITED: Final = frozenset({"permission", "scope"})
NOBODY_S_KEYS: Final = (
    '{"keys": [{"kty": "EC", "crv": "P-256", '
    '"x": "XJugtwRVylWK5zxsEv3C1RK5B3sK8zVmbVt9lN8bllQ", "y": "j2PrnlVgGXIse5MRq0wTfBIpXfqPmbGMU5U2rOsWJnA"}]}'
)
"""With which no token is good: its x is the SHA-256 of ``no keys yet``, so that nobody has the private part."""


def jwt_filter(world: World, workload: Workload) -> tuple[Envoy, ...]:
    """Return the filter that refuses requests with a bad token; none where no tokens are expected."""
    rules = _rules(world, workload)
    if not rules:
        return ()
    providers = {f"origins-{index}": rule for index, rule in enumerate(rules)}
    config = any_of(
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={name: _provider(world, workload, rule) for name, rule in providers.items()},
        rules=[{"match": {"prefix": "/"}, "requires": _requirement(list(providers))}],
        bypass_cors_preflight=True,
    )
    return ({"name": JWT_FILTER, "typed_config": config},)


def keys_clusters(world: World, instance: Instance) -> Group:
    """Return the clusters of keys' servers that are no services of the mesh."""
    workload = workload_of(instance)
    rules = _rules(world, workload)
    found = {keys_address(world.keys_uri(rule)) for rule in rules}
    servers = sorted(server for server in found if server and not _service_cluster(world, workload.namespace, server))
    return world.once(("keys clusters", tuple(servers)), lambda: tuple(_cluster(server) for server in servers))


def missing_keys(world: World, instance: Instance) -> tuple[str, ...]:
    """Say of which issuers a workload takes no token, because nobody knows their keys, and why."""
    workload = workload_of(instance)
    return world.once(("missing keys", workload), lambda: tuple(_missing_keys(world, workload)))


def _missing_keys(world: World, workload: Workload) -> Iterator[str]:
    for item in applying(world, "RequestAuthentication", workload):
        for rule in spec_of(item, RequestAuthentication).jwt_rules:
            issuer = world.issuer(rule.issuer)
            if rule.is_discovered and issuer.trouble:
                yield f"{item.key} takes no token of {rule.issuer}: {issuer.trouble}; write jwksUri or jwks instead"


def _rules(world: World, workload: Workload) -> Sequence[JWTRule]:
    """Return a workload's rules in Istio's order: by issuer."""
    return world.once(("jwt rules", workload), lambda: _sorted_rules(world, workload))


def _sorted_rules(world: World, workload: Workload) -> Sequence[JWTRule]:
    found = applying(world, "RequestAuthentication", workload)
    rules = [rule for item in found for rule in spec_of(item, RequestAuthentication).jwt_rules]
    return sorted(rules, key=lambda rule: rule.issuer)


def _requirement(names: Sequence[str]) -> Envoy:
    """Return what tokens must be: each valid where it is there; or one valid, where several share their place."""
    each = [{"requires_any": {"requirements": [{"provider_name": name}, {"allow_missing": {}}]}} for name in names]
    if len(each) == 1:
        return each[0]
    alone = [{"provider_name": name} for name in names]
    return {"requires_any": {"requirements": [*alone, {"requires_all": {"requirements": each}}]}}


def _provider(world: World, workload: Workload, rule: JWTRule) -> dict[str, Any]:
    provider: dict[str, Any] = {
        "issuer": rule.issuer,
        "audiences": list(rule.audiences),
        "forward": rule.forward_original_token,
        "from_headers": [{"name": one.name, "value_prefix": one.prefix} for one in rule.from_headers],
        "from_params": list(rule.from_params),
        "from_cookies": list(rule.from_cookies),
        "forward_payload_header": rule.output_payload_to_header or "",
        "claim_to_headers": [
            {"header_name": one.header, "claim_name": one.claim} for one in rule.output_claim_to_headers
        ],
        "payload_in_metadata": JWT_PAYLOAD,
        "normalize_payload_in_metadata": {
            "space_delimited_claims": sorted(_SPACE_DELIMITED.union(rule.space_delimited_claims))
        },
        # A gateway's routes may depend on claims.
        "clear_route_cache": workload.gateway,
    }
    return provider | _keys(world, workload, rule)


def _keys(world: World, workload: Workload, rule: JWTRule) -> dict[str, Any]:
    uri = world.keys_uri(rule)
    server = keys_address(uri)
    if server is None:
        return {"local_jwks": {"inline_string": rule.jwks or NOBODY_S_KEYS}}
    http_uri = {
        "uri": uri,
        "cluster": _service_cluster(world, workload.namespace, server) or _cluster_name(server),
        "timeout": f"{rule.timeout.seconds:g}s" if rule.timeout else _FETCH_TIMEOUT,
    }
    # Fetched at once and again before they end; a request that comes earlier fetches them itself.
    return {"remote_jwks": {"http_uri": http_uri, "cache_duration": _KEYS_LIVE, "async_fetch": {"fast_listener": True}}}


def _service_cluster(world: World, namespace: str, server: KeysAddress) -> str:
    """Return the cluster of a service that a proxy knows; ``""``: it knows none by this name and port.

    TLS to the outside is begun here: a ServiceEntry alone leaves it to the application.
    """
    service = world.services_for(namespace).get(server.host)
    port = service.port(server.port) if service else None
    if service is None or port is None or (service.external and server.tls):
        return ""
    return outbound_name(service, port)


def _cluster_name(server: KeysAddress) -> str:
    return f"jwks|{server.port}||{server.host}"


def _cluster(server: KeysAddress) -> Envoy:
    name = _cluster_name(server)
    endpoint = {"endpoint": {"address": address(server.host, server.port)}}
    return {
        "name": name,
        "type": "STRICT_DNS",
        **ANY_SOURCE,
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": limits(None),
        **({"transport_socket": _tls(server.host)} if server.tls else {}),
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _tls(host: str) -> Envoy:
    names = [{"san_type": san_type, "matcher": {"exact": host}} for san_type in ("DNS", "IP_ADDRESS")]
    context = any_of(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        **({"sni": host} if not_an_address(host) else {}),
        common_tls_context={
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
            "validation_context": {
                "trusted_ca": {"filename": SYSTEM_ROOTS},
                "match_typed_subject_alt_names": names,
            },
        },
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
