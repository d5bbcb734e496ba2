"""What a sidecar sends out: one listener for all HTTP, and one per raw-TCP service."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate import telemetry
from mesh_runtime.xds.translate.balancing import connection_options
from mesh_runtime.xds.translate.clusters import outbound_name
from mesh_runtime.xds.translate.connect import REFUSAL, tunnel_listener
from mesh_runtime.xds.translate.filters import listener, manager, rds, tcp_proxy
from mesh_runtime.xds.translate.l4_route import tcp_route
from mesh_runtime.xds.translate.ports import OUTBOUND_PORT, TcpBinding, tcp_bindings
from mesh_runtime.xds.translate.routes import OUTBOUND_ROUTES
from mesh_runtime.xds.translate.rules import rules_for
from mesh_runtime.xds.translate.world import World


def outbound_listeners(world: World, instance: Instance) -> Iterator[Envoy]:
    """Yield a sidecar's outbound listeners."""
    yield from _http(world, instance)
    for binding in tcp_bindings(world, instance):
        yield _tcp(world, instance, binding)


def _http(world: World, instance: Instance) -> Iterator[Envoy]:
    requests = manager(
        world,
        instance,
        "outbound",
        telemetry.source_logs(world, instance),
        rds=rds(OUTBOUND_ROUTES),
        # Python before 3.12 sends CONNECT in HTTP/1.0.
        http_protocol_options={"accept_http_10": True},
        server_header_transformation="PASS_THROUGH",
        local_reply_config=_NOWHERE_REPLY,
    )
    yield listener(instance.address, OUTBOUND_PORT, "OUTBOUND", [{"filters": [requests]}])
    yield tunnel_listener([requests])


def _tcp(world: World, instance: Instance, binding: TcpBinding) -> Envoy:
    cluster = outbound_name(binding.service, binding.port)
    routed = tcp_route(world, instance, binding)
    logs = telemetry.tcp_source_logs(world, instance)
    rules = rules_for(world, instance.namespace, binding.service, instance.labels)
    options = connection_options(rules.policy(binding.port.number))
    proxy = tcp_proxy(cluster, logs, **(routed or {"cluster": cluster}), **options)
    return listener(instance.address, binding.bound, "OUTBOUND", [{"filters": [proxy]}])


_NOWHERE_FORMAT: Envoy = {
    "body_format_override": {"text_format_source": {"inline_string": "%REQ(:authority)%: %LOCAL_REPLY_BODY%\n"}}
}
_NOWHERE_REPLY: Envoy = {
    "mappers": [
        {**REFUSAL, **_NOWHERE_FORMAT},
        {
            "filter": {"response_flag_filter": {"flags": ["NC"]}},
            "status_code": 502,
            "body": {"inline_string": "there is no such service in the mesh, or no such subset of it"},
            **_NOWHERE_FORMAT,
        },
    ]
}
