"""Echo applications on many ports: HTTP/1.1, HTTP/2, gRPC, TLS, raw TCP.

One Envoy is the front of all of them, so that each port takes HTTP/1.1 and HTTP/2 with and without TLS
as Istio's echo does; it only notes how a request arrived. The same Envoy lets the runner itself call by HTTP/2.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from aiohttp import web

from mesh_runtime.xds.protos import any_of
from tests.own_ca import OwnCA

NOTED = ("x-echo-app", "x-echo-port", "x-echo-protocol")
DIAL = "x-envoy-original-dst-host"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "envoy.extensions.transport_sockets.tls.v3"


@dataclass(frozen=True)
class Port:
    """One port of every application, as the environment describes it."""

    name: str
    service: int | None
    workload: int
    protocol: str
    tls: bool
    server_first: bool
    proxy_protocol: bool

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Port:
        service = described["ServicePort"]
        return cls(
            name=described["Name"],
            service=service if isinstance(service, int) else None,
            workload=described["WorkloadPort"],
            protocol=described["Protocol"],
            tls=bool(described.get("TLS") or described.get("MTLS")),
            server_first=bool(described.get("ServerFirst")),
            proxy_protocol=bool(described.get("ProxyProtocol")),
        )


class EchoApps:
    """Start it, then :meth:`add` each application before the front starts."""

    def __init__(self, ports: list[Port]) -> None:
        self.ports = ports
        self.numbers: dict[tuple[str, str], int] = {}
        """Where an application's port really is, by application and name."""
        self.client = {"http2": free_port(), "https2": free_port()}
        """Where the runner sends what is to go out as HTTP/2."""
        self._pair = OwnCA().issue("echo")
        self._servers: list[asyncio.Server] = []

    async def start(self, apps: list[str]) -> None:
        """Listen for what the front passes on, and for raw TCP."""
        self._runner = web.AppRunner(_http_app(), access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._grpc = grpc.aio.server()
        self._grpc.add_generic_rpc_handlers((_Echo(),))
        self._grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        await self._grpc.start()
        for app in apps:
            for port in self.ports:
                number = await self._tcp(port) if port.protocol == "TCP" else free_port()
                self.numbers[app, port.name] = number

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        await self._grpc.stop(0)
        await self._runner.cleanup()

    def front(self) -> dict[str, Any]:
        """The config of the Envoy before all applications."""
        known = {port.name: port for port in self.ports}
        listeners = [
            self._listener(app, known[name], number)
            for (app, name), number in self.numbers.items()
            if known[name].protocol != "TCP"
        ]
        listeners += [_client(name, number) for name, number in self.client.items()]
        http = self._runner.addresses[0][1]
        clusters = [
            _cluster("http", http, {"http_protocol_options": {}}),
            _cluster("grpc", self._grpc_port, {"http2_protocol_options": {}}),
            _dialled("http2"),
            {**_dialled("https2"), "transport_socket": _client_tls()},
        ]
        return {"static_resources": {"listeners": listeners, "clusters": clusters}}

    def _listener(self, app: str, port: Port, number: int) -> dict[str, Any]:
        noted = zip(NOTED, (app, port.name, "%PROTOCOL%"), strict=True)
        host = {
            "name": "echo",
            "domains": ["*"],
            "request_headers_to_add": [
                {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                for name, value in noted
            ],
            "routes": [
                {"match": {"prefix": "/", "grpc": {}}, "route": {"cluster": "grpc", "timeout": "0s"}},
                {"match": {"prefix": "/"}, "route": {"cluster": "http", "timeout": "0s"}},
            ],
        }
        chain: dict[str, Any] = {"filters": [_manager(f"{app}-{port.name}", host)]}
        if port.tls:
            chain["transport_socket"] = self._server_tls()
        filters = []
        if port.proxy_protocol:
            kind = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
            filters.append({"name": "proxy_protocol", "typed_config": any_of(kind)})
        return {
            "name": f"{app}-{port.name}",
            "address": _address("127.0.0.1", number),
            "listener_filters": filters,
            "filter_chains": [chain],
        }

    def _server_tls(self) -> dict[str, Any]:
        pair = {
            "certificate_chain": {"inline_string": self._pair.pem},
            "private_key": {"inline_string": self._pair.key_pem},
        }
        common = {"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]}
        context = any_of(f"{_TLS}.DownstreamTlsContext", common_tls_context=common)
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}

    async def _tcp(self, port: Port) -> int:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if port.server_first:
                writer.write(b"hello\n")
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _http_app() -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        headers = {name.lower(): ",".join(request.headers.getall(name)) for name in request.headers}
        app, port, protocol = (headers.pop(name, "") for name in NOTED)
        protocol = {"HTTP/2": "HTTP/2.0"}.get(protocol, protocol)
        seen = {"app": app, "port": port, "protocol": protocol, "method": request.method, "path": request.path_qs}
        return web.json_response(seen | {"host": headers.get("host", ""), "headers": headers})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


class _Echo(grpc.GenericRpcHandler):
    """Answers every unary call with what it saw of it."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            headers = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
            app, port, _ = (headers.pop(name, "") for name in NOTED)
            return json.dumps({"app": app, "port": port, "protocol": "HTTP/2.0", "headers": headers}).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _manager(name: str, host: dict[str, Any]) -> dict[str, Any]:
    router = any_of("envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
    config = any_of(
        _HCM,
        stat_prefix=name,
        codec_type="AUTO",
        route_config={"name": name, "virtual_hosts": [host]},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": router}],
        forward_client_cert_details="ALWAYS_FORWARD_ONLY",
        generate_request_id=False,
        skip_xff_append=True,
        server_header_transformation="PASS_THROUGH",
    )
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _client(name: str, number: int) -> dict[str, Any]:
    """The listener of the runner's own calls; its cluster dials where a header says."""
    host = {
        "name": name,
        "domains": ["*"],
        "request_headers_to_remove": ["x-forwarded-proto", "x-request-id"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}],
    }
    return {
        "name": name,
        "address": _address("127.0.0.1", number),
        "filter_chains": [{"filters": [_manager(name, host)]}],
    }


def _cluster(name: str, port: int, explicit: dict[str, Any]) -> dict[str, Any]:
    options = any_of(_HTTP_OPTIONS, explicit_http_config=explicit)
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: options},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address("127.0.0.1", port)}}]}],
        },
    }


def _dialled(name: str) -> dict[str, Any]:
    options = any_of(
        _HTTP_OPTIONS,
        explicit_http_config={"http2_protocol_options": {}},
        upstream_http_protocol_options={"auto_sni": True},
    )
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "original_dst_lb_config": {"use_http_header": True},
        "typed_extension_protocol_options": {_HTTP_OPTIONS: options},
    }


def _client_tls() -> dict[str, Any]:
    context = any_of(f"{_TLS}.UpstreamTlsContext", common_tls_context={"alpn_protocols": ["h2"]})
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
