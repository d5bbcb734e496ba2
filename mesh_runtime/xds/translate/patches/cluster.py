"""What an EnvoyFilter does to a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mesh_runtime.api.networking.envoy_filter import ClusterMatch, ConfigPatch
from mesh_runtime.xds import protos
from mesh_runtime.xds.translate.calling.clusters import HTTP_OPTIONS
from mesh_runtime.xds.translate.patches.lists import MERGES, merge, merge_held

_ANYTHING: Final = ClusterMatch()


def patch_cluster(cluster: Any, services: frozenset[str], patches: Sequence[ConfigPatch]) -> bool:
    """Change a cluster in place; false: it is removed. *services* are those of the workload, for inbound ones."""
    for patch in patches:
        if patch.apply_to == "CLUSTER" and _is_cluster(cluster.name, services, patch.match.cluster or _ANYTHING):
            if patch.patch.operation == "REMOVE":
                return False
            if patch.patch.operation in MERGES:
                _merge(cluster, patch)
    fold_http_options(cluster)
    return True


def leave_source_open(cluster: Any) -> None:
    """Have the machine choose whence a cluster calls that says nothing of it: nobody knows where it leads."""
    if not cluster.HasField("upstream_bind_config"):
        cluster.upstream_bind_config.SetInParent()


def fold_http_options(cluster: Any) -> None:
    """Move HTTP options from the cluster's deprecated fields to where Envoy looks first: both together do not work."""
    old = [name for name in _OLD_OPTIONS if cluster.HasField(name)]
    if not old:
        return
    held = cluster.typed_extension_protocol_options[HTTP_OPTIONS]
    options = protos.content(held) or protos.message(HTTP_OPTIONS, {})
    for name in old:
        target: Any = options
        if name in _OF_ONE_PROTOCOL and options.HasField("use_downstream_protocol_config"):
            target = options.use_downstream_protocol_config
        elif name in _OF_ONE_PROTOCOL and options.HasField("auto_config"):
            target = options.auto_config
        elif name in _OF_ONE_PROTOCOL:
            target = options.explicit_http_config
        getattr(target, name).SetInParent()
        protos.merge(getattr(target, name), getattr(cluster, name))
        cluster.ClearField(name)
    if options.WhichOneof("upstream_protocol_options") is None:
        options.explicit_http_config.http_protocol_options.SetInParent()
    held.Pack(options, deterministic=True)
    explicit = options.explicit_http_config.WhichOneof("protocol_config")
    if explicit in _ALPN:
        _offer(cluster, _ALPN[explicit])


def _offer(cluster: Any, protocol: str) -> None:
    """Have TLS agree on the protocol that a cluster speaks; Istio's proxies see to that by themselves."""
    sockets = [one.transport_socket for one in cluster.transport_socket_matches]
    if cluster.HasField("transport_socket"):
        sockets.append(cluster.transport_socket)
    for socket in sockets:
        tls = protos.content(socket.typed_config)
        if tls is not None and tls.DESCRIPTOR.full_name == _UPSTREAM_TLS:
            offered = tls.common_tls_context.alpn_protocols
            offered[:] = [protocol if name in _ALPN.values() else name for name in offered]
            socket.typed_config.Pack(tls, deterministic=True)


_ALPN: Final = {"http_protocol_options": "http/1.1", "http2_protocol_options": "h2"}
_UPSTREAM_TLS: Final = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_OF_ONE_PROTOCOL: Final = ("http_protocol_options", "http2_protocol_options")
_OLD_OPTIONS: Final = ("common_http_protocol_options", "upstream_http_protocol_options", *_OF_ONE_PROTOCOL)


def _is_cluster(name: str, services: frozenset[str], wanted: ClusterMatch) -> bool:
    if wanted.name:
        return wanted.name == name
    direction, port, subset, host = [*name.split("|"), "", "", "", ""][:4]
    hosts = services if direction == "inbound" else {host}
    return (
        wanted.subset in ("", subset)
        and (not wanted.service or wanted.service in hosts)
        and wanted.port_number in (0, int(port) if port.isdecimal() else -1)
    )


def _merge(cluster: Any, patch: ConfigPatch) -> None:
    """Merge into a cluster; where the patch has a transport socket, that alone counts, as in Istio."""
    if not patch.value.HasField("transport_socket"):
        merge(cluster, patch)
        return
    socket = patch.value.transport_socket
    matched = [one.transport_socket for one in cluster.transport_socket_matches]
    own = matched or ([cluster.transport_socket] if cluster.HasField("transport_socket") else [])
    same = next((one for one in own if one.name == socket.name), None)
    if same is not None:
        merge_held(same.typed_config, socket.typed_config)
    elif not matched:
        cluster.transport_socket.CopyFrom(socket)
