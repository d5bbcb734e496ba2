"""Access logs: lines in a proxy's output or a file, records by OTLP or by Fluentd's forward protocol.

Telemetry and the MeshConfig's default providers say who logs; where both are silent, ``accessLogFile`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mesh_runtime.api import cel
from mesh_runtime.api.extension_providers import ExtensionProvider
from mesh_runtime.api.log_format import TEXT_FORMAT, json_labels, uses
from mesh_runtime.api.mesh_config import MeshConfig
from mesh_runtime.api.providers import EnvoyFileAccessLog, EnvoyFluentd, EnvoyOtelAls
from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import RELAY, Envoy
from mesh_runtime.xds.translate.telemetry.providers import provider_cluster
from mesh_runtime.xds.translate.telemetry.rules import Side, access_log_rules
from mesh_runtime.xds.translate.world import World

_LOGGERS = "envoy.extensions.access_loggers."
_STREAMS: Final = {"": "Stdout", "/dev/stdout": "Stdout", "/dev/stderr": "Stderr"}
"""Written through the process's own file descriptors: opened anew, a file would be written over."""

JSON_FORMAT: Final[Mapping[str, str]] = {
    "authority": "%REQ(:AUTHORITY)%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "duration": "%DURATION%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "response_code": "%RESPONSE_CODE%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "response_flags": "%RESPONSE_FLAGS%",
    "route_name": "%ROUTE_NAME%",
    "start_time": "%START_TIME%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "user_agent": "%REQ(USER-AGENT)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
}
"""Istio's."""


def access_logs(world: World, instance: Instance, side: Side, only: Envoy) -> list[Envoy]:
    """Return the logs of one side of a proxy. *only* is a filter that all of them have: no entry is there twice."""
    rules = access_log_rules(world, instance, side)
    if rules is None:
        return [_log(logger, only, "") for logger in _from_mesh_config(world.mesh_config)]
    loggers = [(_logger(world, instance.namespace, provider), expression) for provider, expression in rules]
    return [_log(logger, only, expression) for logger, expression in loggers if logger is not None]


def relays(world: World, namespace: str) -> tuple[Envoy, ...]:
    """Return the internal listener through which records get to Fluentd, if there is one to take them."""
    return world.once(("relays", namespace), lambda: tuple(_relays(world, namespace)))


def _relays(world: World, namespace: str) -> Iterator[Envoy]:
    for provider in world.mesh_config.providers:
        cluster = provider_cluster(world, namespace, provider) if provider.envoy_fluentd else None
        if cluster is not None:
            config = any_of(
                "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", stat_prefix=RELAY, cluster=cluster
            )
            proxy = {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}
            yield {"name": RELAY, "internal_listener": {}, "filter_chains": [{"filters": [proxy]}]}


def _log(logger: Envoy, only: Envoy, expression: str) -> Envoy:
    if not expression:
        return {**logger, "filter": only}
    chosen = any_of(f"{_LOGGERS}filters.cel.v3.ExpressionFilter", expression=cel.translated(expression))
    by_cel = {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": chosen}}
    return {**logger, "filter": {"and_filter": {"filters": [only, by_cel]}}}


def _from_mesh_config(config: MeshConfig) -> Iterator[Envoy]:
    if config.access_log_file:
        yield _file(config.access_log_file, _mesh_format(config), omit_empty=False)


def _mesh_format(config: MeshConfig) -> str | Mapping[str, Any]:
    written = config.access_log_format
    if config.access_log_encoding == "TEXT":
        return written or TEXT_FORMAT
    return (json_labels(written) if written else None) or JSON_FORMAT


def _logger(world: World, namespace: str, provider: ExtensionProvider) -> Envoy | None:
    if provider.envoy_file_access_log is not None:
        config = world.mesh_config
        own = provider.envoy_file_access_log
        is_plain = provider.name == "envoy" and own.log_format is None and not own.omit_empty_values
        return _file(own.path, _mesh_format(config) if is_plain else _format(own), omit_empty=own.omit_empty_values)
    cluster = provider_cluster(world, namespace, provider)
    if cluster is None:
        return None
    if provider.envoy_otel_als is not None:
        return _otlp(provider.envoy_otel_als, cluster)
    assert provider.envoy_fluentd is not None
    return _fluentd(provider.envoy_fluentd)


def _format(log: EnvoyFileAccessLog) -> str | Mapping[str, Any]:
    if log.log_format is None or log.log_format.text == "":
        return TEXT_FORMAT
    if log.log_format.text is not None:
        return log.log_format.text
    return log.log_format.labels or JSON_FORMAT


def _file(path: str, written: str | Mapping[str, Any], *, omit_empty: bool) -> Envoy:
    if isinstance(written, str):
        line = written if written.endswith("\n") else f"{written}\n"
        form: dict[str, Any] = {"text_format_source": {"inline_string": line}}
    else:
        form = {"json_format": written}
    log_format = {"log_format": {**form, **_formatters(written), "omit_empty_values": omit_empty}}
    if stream := _STREAMS.get(path):
        config = any_of(f"{_LOGGERS}stream.v3.{stream}AccessLog", **log_format)
        return {"name": f"envoy.access_loggers.{stream.lower()}", "typed_config": config}
    config = any_of(f"{_LOGGERS}file.v3.FileAccessLog", path=path, **log_format)
    return {"name": "envoy.access_loggers.file", "typed_config": config}


def _otlp(log: EnvoyOtelAls, cluster: str) -> Envoy:
    body = (log.log_format.text if log.log_format else "") or TEXT_FORMAT
    labels = log.log_format.labels if log.log_format else {}
    values = [{"key": name, "value": {"string_value": str(labels[name])}} for name in sorted(labels)]
    config = any_of(
        f"{_LOGGERS}open_telemetry.v3.OpenTelemetryAccessLogConfig",
        common_config={
            "log_name": log.log_name or "otel_envoy_accesslog",
            "grpc_service": {"envoy_grpc": {"cluster_name": cluster, "authority": log.host}},
            "transport_api_version": "V3",
        },
        disable_builtin_labels=True,
        body={"string_value": body},
        **({"attributes": {"values": values}} if values else {}),
        **_formatters({"body": body, **labels}),
    )
    return {"name": "envoy.access_loggers.open_telemetry", "typed_config": config}


def _fluentd(log: EnvoyFluentd) -> Envoy:
    record = log.labels or JSON_FORMAT
    config = any_of(
        f"{_LOGGERS}fluentd.v3.FluentdAccessLogConfig",
        cluster=RELAY,
        tag=log.tag,
        stat_prefix="access",
        buffer_flush_interval=f"{log.flush_interval.seconds if log.flush_interval else 1:g}s",
        record=record,
        **_formatters(record),
    )
    return {"name": "envoy.access_loggers.fluentd", "typed_config": config}


def _formatters(written: str | Mapping[str, Any]) -> dict[str, Sequence[Envoy]]:
    if not uses(written, "REQ_WITHOUT_QUERY"):
        return {}
    config = any_of("envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery")
    return {"formatters": [{"name": "envoy.formatter.req_without_query", "typed_config": config}]}
