"""CUSTOM AuthorizationPolicies: servers of the mesh that are asked about requests and connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from mesh_runtime.api.extension_providers import EnvoyExtAuthzGrpc, EnvoyExtAuthzHttp, ExtensionProvider
from mesh_runtime.api.objects import ConfigObject
from mesh_runtime.api.security import AuthorizationPolicy
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.calling.clusters import outbound_name
from mesh_runtime.xds.translate.security.attributes import Scope
from mesh_runtime.xds.translate.security.authorization import engine, http_filter, is_dry_run, shadow, tcp_filter
from mesh_runtime.xds.translate.security.matchers import string
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.world import World

_DEFAULT_TIMEOUT: Final = "600s"
_MATCHED: Final = "istio_ext_authz_shadow_effective_policy_id"
_NO_SERVER: Final = "-deny-due-to-bad-CUSTOM-action"

Clusters = Mapping[str, str]
"""Of each provider that can be asked, the cluster of its server."""


def servers(world: World, namespace: str) -> Clusters:
    """Return the clusters of the authorizers that proxies of a namespace can reach, by provider."""
    found = {}
    for provider in world.mesh_config.extension_providers:
        server = provider.envoy_ext_authz_http or provider.envoy_ext_authz_grpc
        service = world.services_for(namespace).get(server.host) if server else None
        port = service.port(server.port) if service and server else None
        if service and port:
            found[provider.name] = outbound_name(service, port)
    return found


def http_asked(
    policies: Sequence[ConfigObject], providers: Sequence[ExtensionProvider], clusters: Clusters, scope: Scope
) -> tuple[Envoy, ...]:
    """Return the HTTP filters that ask the providers of CUSTOM policies, or deny where one cannot be asked."""

    def ask(provider: ExtensionProvider) -> Envoy:
        return {"name": "envoy.filters.http.ext_authz", "typed_config": _http(provider, clusters[provider.name])}

    return tuple(_asked(policies, [one for one in providers if one.name in clusters], scope, http_filter, ask))


def tcp_asked(
    policies: Sequence[ConfigObject], providers: Sequence[ExtensionProvider], clusters: Clusters, scope: Scope
) -> tuple[Envoy, ...]:
    """Return the network filters that ask; providers that speak HTTP are not asked about connections."""
    askable = [one for one in providers if one.name in clusters]
    speechless = {one.name for one in askable if one.envoy_ext_authz_grpc is None}
    heard = [item for item in policies if _provider(item) not in speechless]

    def ask(provider: ExtensionProvider) -> Envoy:
        config = _tcp(provider, clusters[provider.name])
        return {"name": "envoy.filters.network.ext_authz", "typed_config": config}

    return tuple(_asked(heard, askable, scope, tcp_filter, ask))


def _asked(
    policies: Sequence[ConfigObject],
    providers: Sequence[ExtensionProvider],
    scope: Scope,
    rbac: Callable[[Mapping[str, Any]], Envoy],
    ask: Callable[[ExtensionProvider], Envoy],
) -> Iterator[Envoy]:
    custom = [item for item in policies if spec_of(item, AuthorizationPolicy).action == "CUSTOM"]
    tried = [item for item in custom if is_dry_run(item)]
    known = {provider.name: provider for provider in providers}
    tcp = rbac is tcp_filter
    if tried:
        yield rbac(shadow(engine(tried, "DENY", scope, tcp=tcp), "dry_run_custom"))
    for name in sorted({_provider(item) for item in custom if not is_dry_run(item)}):
        found = [item for item in custom if not is_dry_run(item) and _provider(item) == name]
        rules = engine(found, "DENY", scope, tcp=tcp, prefix=_prefix(name))
        if name in known:
            # The rules only mark what they match; the server decides about what is marked.
            yield rbac(shadow(rules, "ext_authz"))
            yield ask(known[name])
        else:
            renamed = {f"{key}{_NO_SERVER}": rule for key, rule in rules["policies"].items()}
            yield rbac({"rules": {**rules, "policies": renamed}})


def _provider(item: ConfigObject) -> str:
    provider = spec_of(item, AuthorizationPolicy).provider
    return provider.name if provider else ""


def _prefix(provider: str) -> str:
    return f"istio-ext-authz-{provider}-"


def _marked(provider: str, rbac: str) -> Envoy:
    value = {"string_match": {"prefix": f"{_prefix(provider)}ns["}}
    return {"filter_enabled_metadata": {"filter": rbac, "path": [{"key": _MATCHED}], "value": value}}


def _http(provider: ExtensionProvider, cluster: str) -> Envoy:
    server = provider.envoy_ext_authz_http or provider.envoy_ext_authz_grpc
    assert server is not None
    body = server.include_request_body_in_check
    return any_of(
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        **_called(server, cluster),
        **_marked(provider.name, "envoy.filters.http.rbac"),
        failure_mode_allow=server.fail_open,
        clear_route_cache=server.clear_route_cache,
        transport_api_version="V3",
        **({"status_on_error": {"code": int(server.status_on_error)}} if server.status_on_error else {}),
        **(
            {
                "with_request_body": {
                    "max_request_bytes": body.max_request_bytes,
                    "allow_partial_message": body.allow_partial_message,
                    "pack_as_bytes": body.pack_as_bytes,
                }
            }
            if body
            else {}
        ),
    )


def _tcp(provider: ExtensionProvider, cluster: str) -> Envoy:
    server = provider.envoy_ext_authz_grpc
    assert server is not None
    return any_of(
        "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz",
        stat_prefix="tcp.",
        failure_mode_allow=server.fail_open,
        transport_api_version="V3",
        **_called(server, cluster),
        **_marked(provider.name, "envoy.filters.network.rbac"),
    )


def _called(server: EnvoyExtAuthzHttp | EnvoyExtAuthzGrpc, cluster: str) -> dict[str, Any]:
    timeout = f"{server.timeout.seconds:g}s" if server.timeout else _DEFAULT_TIMEOUT
    if isinstance(server, EnvoyExtAuthzGrpc):
        return {"grpc_service": {"envoy_grpc": {"cluster_name": cluster, "authority": server.host}, "timeout": timeout}}
    shown = server.include_request_headers_in_check or server.include_headers_in_check
    added = [{"key": key, "value": value} for key, value in sorted(server.include_additional_headers_in_check.items())]
    answer = {
        "allowed_upstream_headers": _headers(server.headers_to_upstream_on_allow),
        "allowed_client_headers": _headers(server.headers_to_downstream_on_deny),
        "allowed_client_headers_on_success": _headers(server.headers_to_downstream_on_allow),
    }
    service = {
        "server_uri": {"uri": f"http://{server.host}", "cluster": cluster, "timeout": timeout},
        "path_prefix": server.path_prefix or "",
        "authorization_request": {"headers_to_add": added},
        "authorization_response": {name: headers for name, headers in answer.items() if headers},
    }
    return {"http_service": service, **({"allowed_headers": _headers(shown)} if shown else {})}


def _headers(names: Sequence[str]) -> Envoy | None:
    return {"patterns": [string(name, ignore_case=True) for name in names]} if names else None
