"""Spans that proxies make: for the runtime's own receiver, or for the provider that Telemetry names instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mesh_runtime.api.extension_providers import ExtensionProvider
from mesh_runtime.api.objects import CLUSTER, TRUST_DOMAIN
from mesh_runtime.api.providers import Header, OpenTelemetry, Zipkin
from mesh_runtime.api.telemetry import CustomTag
from mesh_runtime.registry import Instance, Role
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.calling.endpoints import ANY_SOURCE, canonical_name, canonical_revision
from mesh_runtime.xds.translate.telemetry.providers import provider_cluster
from mesh_runtime.xds.translate.telemetry.rules import Side, TracingRule, tracing_rule
from mesh_runtime.xds.translate.world import World

TRACING_CLUSTER: Final = "otel-collector"
DEFAULT_SAMPLING: Final = 1.0
"""Istio's."""
TIMEOUT: Final = "5s"


def tracing(world: World, instance: Instance, side: Side) -> Envoy:
    """Return what an HTTP connection manager is told of spans; nothing: it makes none, and headers pass as they are."""
    rule = tracing_rule(world, instance, side)
    settings = world.settings.tracing
    if rule.disabled:
        return {}
    if rule.provider is None:
        if settings is None:
            return {}
        return _manager_options(rule, {"provider": _own_provider(), "spawn_upstream_span": True}, settings.sampling)
    cluster = provider_cluster(world, instance.namespace, rule.provider)
    if cluster is None:
        return {}
    length = _tag_length(rule.provider) or world.mesh_config.default_config.tracing.max_path_tag_length
    options = {
        "provider": _provider(rule.provider, cluster, instance),
        **({"spawn_upstream_span": True} if instance.role is Role.GATEWAY else {}),
        **({"max_path_tag_length": length} if length else {}),
    }
    if rule.istio_tags:
        options["custom_tags"] = list(_istio_tags(instance))
    return _manager_options(rule, options, DEFAULT_SAMPLING)


def spans_named(route: Envoy, name: str, port: int) -> Envoy:
    """Return the part of a route that names its requests' spans, as Istio does: by host, port and path.

    Where a route does not lead to one cluster of a service's, *name* and *port* stand for it.
    """
    match, cluster = route["match"], route.get("route", {}).get("cluster", "")
    path = match.get("path") or match.get("safe_regex", {}).get("regex") or f"{match['prefix']}*"
    _, number, _, host = cluster.split("|") if cluster.count("|") == len("|||") else ("", port, "", name)
    return {"decorator": {"operation": f"{host}:{number}{path}"}}


def tracing_clusters(world: World) -> tuple[Envoy, ...]:
    """Return the cluster of the runtime's own receiver."""
    settings = world.settings.tracing
    if settings is None:
        return ()
    address = {"socket_address": {"address": settings.address, "port_value": settings.port}}
    return (
        {
            "name": TRACING_CLUSTER,
            "type": "STATIC",
            **ANY_SOURCE,
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any_of(
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    explicit_http_config={"http2_protocol_options": {}},
                )
            },
            "load_assignment": {
                "cluster_name": TRACING_CLUSTER,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        },
    )


def _manager_options(rule: TracingRule, options: Mapping[str, Any], sampling: float) -> Envoy:
    tags = [*options.get("custom_tags", ()), *_custom_tags(rule.tags)]
    built: dict[str, Any] = {
        "tracing": {
            **options,
            "random_sampling": {"value": sampling if rule.sampling is None else rule.sampling},
            **({"custom_tags": tags} if tags else {}),
            **({} if rule.propagates else {"no_context_propagation": True}),
        }
    }
    if not rule.request_id_samples:
        config = any_of(
            "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", use_request_id_for_trace_sampling=False
        )
        built["request_id_extension"] = {"typed_config": config}
    return built


def _own_provider() -> Envoy:
    config = any_of(
        "envoy.config.trace.v3.OpenTelemetryConfig",
        grpc_service={"envoy_grpc": {"cluster_name": TRACING_CLUSTER}, "timeout": "1s"},
        service_name="envoy",
    )
    return {"name": "envoy.tracers.opentelemetry", "typed_config": config}


def _provider(provider: ExtensionProvider, cluster: str, instance: Instance) -> Envoy:
    if provider.zipkin is not None:
        return {"name": "envoy.tracers.zipkin", "typed_config": _zipkin(provider.zipkin, cluster)}
    assert provider.opentelemetry is not None
    config = _opentelemetry(provider.opentelemetry, cluster, instance)
    return {"name": "envoy.tracers.opentelemetry", "typed_config": config}


def _zipkin(zipkin: Zipkin, cluster: str) -> Envoy:
    return any_of(
        "envoy.config.trace.v3.ZipkinConfig",
        collector_endpoint_version="HTTP_JSON",
        trace_id_128bit=not zipkin.enable64bit_trace_id,
        shared_span_context=False,
        trace_context_option=zipkin.trace_context_option,
        collector_service=_http_service(
            f"http://{zipkin.host}{zipkin.path or '/api/v2/spans'}", cluster, zipkin.timeout, zipkin.headers
        ),
    )


def _opentelemetry(otel: OpenTelemetry, cluster: str, instance: Instance) -> Envoy:
    if otel.http is not None:
        uri = f"http://{otel.host}{otel.http.path}"
        target: dict[str, Any] = {"http_service": _http_service(uri, cluster, otel.http.timeout, otel.http.headers)}
    else:
        grpc = otel.grpc
        metadata = [{"key": one.name, "value": one.value} for one in (grpc.initial_metadata if grpc else ())]
        service = {"envoy_grpc": {"cluster_name": cluster, "authority": otel.host}, "initial_metadata": metadata}
        timeout = {"timeout": _seconds(grpc.timeout)} if grpc and grpc.timeout else {}
        target = {"grpc_service": {**service, **timeout}}
    semantic = otel.service_attribute_enrichment == "OTEL_SEMANTIC_CONVENTIONS"
    if semantic or (otel.resource_detectors and otel.resource_detectors.environment):
        detector = any_of(f"{_DETECTORS}EnvironmentResourceDetectorConfig")
        name = "envoy.tracers.opentelemetry.resource_detectors.environment"
        target["resource_detectors"] = [{"name": name, "typed_config": detector}]
    name = _semantic_name(instance) if semantic else f"{instance.service or instance.workload}.{instance.namespace}"
    return any_of("envoy.config.trace.v3.OpenTelemetryConfig", service_name=name, **target)


_DETECTORS: Final = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3."


def _http_service(uri: str, cluster: str, timeout: Any, headers: tuple[Header, ...]) -> Envoy:
    added = [
        {"header": {"key": one.name, "value": one.value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for one in headers
    ]
    target = {"uri": uri, "cluster": cluster, "timeout": _seconds(timeout) if timeout else TIMEOUT}
    return {"http_uri": target, "request_headers_to_add": added}


def _semantic_name(instance: Instance) -> str:
    labels = instance.labels
    return labels.get("app.kubernetes.io/instance") or labels.get("app.kubernetes.io/name") or instance.workload


def _tag_length(provider: ExtensionProvider) -> int:
    found = provider.opentelemetry or provider.zipkin
    return found.max_tag_length if found else 0


def _istio_tags(instance: Instance) -> Iterator[Envoy]:
    described = {
        "istio.canonical_revision": canonical_revision(instance.labels),
        "istio.canonical_service": canonical_name(instance.labels, instance.workload),
        "istio.cluster_id": CLUSTER,
        "istio.mesh_id": TRUST_DOMAIN,
        "istio.namespace": instance.namespace,
    }
    return ({"tag": name, "literal": {"value": value}} for name, value in described.items())


def _custom_tags(tags: Mapping[str, CustomTag]) -> Iterator[Envoy]:
    for name, tag in sorted(tags.items()):
        if tag.literal is not None:
            yield {"tag": name, "literal": {"value": tag.literal.value}}
        elif tag.header is not None:
            yield {"tag": name, "request_header": _defaulted(tag.header.name, tag.header.default_value)}
        elif tag.environment is not None:
            yield {"tag": name, "environment": _defaulted(tag.environment.name, tag.environment.default_value)}
        elif tag.formatter is not None:
            yield {"tag": name, "value": tag.formatter.value}


def _defaulted(name: str, default: str) -> Envoy:
    return {"name": name, "default_value": default} if default else {"name": name}


def _seconds(duration: Any) -> str:
    return f"{duration.ms / 1000:g}s"
