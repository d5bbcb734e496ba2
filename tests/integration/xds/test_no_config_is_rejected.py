"""Whatever ``apply`` accepts, Envoy accepts: searched for with generated configs.

``SOAK=1`` searches for longer.
"""

import os
import random
from contextlib import suppress

import pytest
from any_config import Maker
from own_ca import OwnCA, files, tls_secret
from xds_mesh import Mesh

from mesh_runtime.api import ConfigError, dump, load
from mesh_runtime.store.port import Change

EXAMPLES = 2000 if os.environ.get("SOAK") else 50
PATIENCE_S = 60
LEFT_OUT = " is left out: "
TYPE = "type.googleapis.com/envoy"
RAW = {"name": "raw", "typed_config": {"@type": f"{TYPE}.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}
LUA = {"@type": f"{TYPE}.extensions.filters.http.lua.v3.Lua", "inlineCode": "function envoy_on_request(h) end"}
MANAGER = f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
PROXY = {
    "@type": f"{TYPE}.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "stat_prefix": "own",
    "cluster": "outbound|80||catalog.shop.svc.cluster.local",
}
CHAIN = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": PROXY}]}
PATCHES = (
    {"connect_timeout": "2s", "lb_policy": "MAGLEV"},
    {"circuit_breakers": {"thresholds": [{"max_connections": 1}]}},
    {"name": "own", "connect_timeout": "1s", "type": "STRICT_DNS", "load_assignment": {"cluster_name": "own"}},
    {"name": "own", "type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}}},
    {"http2_protocol_options": {}, "common_http_protocol_options": {"idle_timeout": "5s"}},
    {"transport_socket": RAW},
    {
        "name": "own",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 23456}},
        "filter_chains": [CHAIN],
    },
    {
        "name": "own",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15001}},
        "filter_chains": [CHAIN],
    },
    {"per_connection_buffer_limit_bytes": 1000, "listener_filters_timeout": "1s"},
    {"filter_chain_match": {"transport_protocol": "tls"}, **CHAIN},
    {
        "filter_chain_match": {"server_names": ["pay.example.com"], "destination_port": 80},
        **CHAIN,
        "transport_socket": RAW,
    },
    {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {"@type": MANAGER, "xff_num_trusted_hops": 2, "use_remote_address": True},
    },
    {"name": "envoy.filters.http.lua", "typed_config": LUA},
    {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"},
    },
    {"name": "envoy.filters.network.tcp_proxy", "typed_config": PROXY},
    {
        "name": "own",
        "domains": ["own.example.com"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "own"}}],
    },
    {"request_headers_to_add": [{"header": {"key": "x-a", "value": "%REQ(x)%"}}]},
    {"route": {"timeout": "1s", "cluster": "own"}},
    {"name": "own", "match": {"path": "/own"}, "direct_response": {"status": 200}},
    {"virtual_hosts": [{"name": "all", "domains": ["*"]}]},
    {"validate_clusters": True},
)
TOKENS = '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
NAMES = {
    "host": (
        "catalog",
        "db",
        "peers",
        "catalog.shop.svc.cluster.local",
        "pay.example.com",
        "orders.shop.svc.cluster.local",
    ),
    "hosts": (
        "catalog",
        "db",
        "peers.shop.svc.cluster.local",
        "pay.example.com",
        "*.example.com",
        "*-b.example.com",
        "shop/*",
        "./*",
        "*/catalog.shop.svc.cluster.local",
        "*",
        "10.1.2.3",
    ),
    "sni_hosts": ("pay.example.com", "*.example.com"),
    "subset": ("v1", "v2"),
    "gateways": ("mesh", "one", "shop/one", "shop/two"),
    "service": ("catalog.shop.svc.cluster.local", "db.shop.svc.cluster.local", "shop/pay.example.com"),
    "credential_name": ("web-cert", "missing"),
    "credential_names": ("web-cert", "missing"),
    **dict.fromkeys(
        ("selector", "match_labels", "labels", "source_labels"),
        ("app", "catalog", "ingress", "db", *({"app": app} for app in ("catalog", "db", "ingress")), {}),
    ),
    "number": tuple(map(str, (80, 81, 443, 6379, 8080))),
    "addresses": ("10.1.2.3", "10.1.0.0/16", "2001:db8::1", "2001:db8::/37", "127.0.0.1"),
    "address": ("10.1.2.3", "127.0.0.1", "pay.example.com", "2001:db8::1", "unix:///tmp/own.sock"),
    "jwks": (TOKENS,),
    "jwks_uri": ("https://issuer.example.com/keys", "http://catalog.shop.svc.cluster.local/keys"),
    "expression": (
        "response.code >= 400",
        "request.method == 'GET'",
        "has(request.headers['x-user'])",
        "source.port > 1",
    ),
    "default_endpoint": ("127.0.0.1:8080", "0.0.0.0:8080", "[::1]:80", "unix:///tmp/own.sock"),
    "value": ("%REQ(x)%", "jason", *PATCHES),
}
WORLD = """
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: http}, {name: grpc, port: 81, targetPort: http}, {name: main, port: 82, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: tcp, port: 6379, targetPort: tcp}, {name: tls, port: 443, targetPort: tcp}]}
---
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: shop}
spec: {clusterIP: None, selector: {app: catalog}, ports: [{name: http, port: 80, targetPort: http}]}
"""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(120 + EXAMPLES * 2)]


AUTHORITY = OwnCA()
CERTIFICATE = "---\n" + tls_secret("web-cert", AUTHORITY.issue("pay.example.com"), authority=AUTHORITY)


@pytest.fixture
async def mesh():
    async with Mesh(WORLD + CERTIFICATE) as running:
        await running.workload("catalog", "v1")
        await running.workload("db", protocol="tcp")
        await running.gateway("ingress", istio="ingressgateway", app="ingress")
        yield running


async def replaced(mesh, base, objects):
    """Make *objects* all the config there is beside *base*; returns what proxies say against it.

    A patch that is left out, and said to be, is as it should be.
    """
    keep = {item.key for item in (*base, *objects)}
    gone = tuple(key for key in mesh.store.current.objects if key not in keep)
    revision = await mesh.store.commit(Change(put=tuple(objects), delete=gone))
    settled = await mesh.control.settled(revision.number, PATIENCE_S)
    refused = {
        name: "; ".join(dict.fromkeys(stream.rejections.values()))
        for name, stream in mesh.control.server.streams.items()
    }
    problems = {one.instance_id: one.problem for one in mesh.control.status() if LEFT_OUT not in one.problem}
    complaints = {name: why for name, why in {**refused, **problems}.items() if why}
    return complaints or dict.fromkeys(settled.waiting, "does not answer")


async def smallest(mesh, base, objects):
    """Leave out whatever is not needed for the proxies to complain."""
    for item in objects:
        fewer = tuple(one for one in objects if one is not item)
        with suppress(ConfigError):  # the others need it
            if await replaced(mesh, base, fewer):
                return await smallest(mesh, base, fewer)
    return objects


async def test_whatever_is_admitted_every_proxy_accepts(mesh):
    base = tuple(mesh.store.current.objects.values())
    existing = files(mesh.dir, AUTHORITY)
    for seed in range(EXAMPLES):
        objects = Maker(random.Random(seed), NAMES, existing).config(base)
        complaints = await replaced(mesh, base, objects)
        if complaints:
            guilty = await smallest(mesh, base, objects)
            reasons = "\n".join(f"{name}: {why[-500:]}" for name, why in complaints.items())
            pytest.fail(f"seed {seed}: {reasons}\n{dump(guilty)}")


def test_the_generator_reaches_every_kind_and_most_fields():
    base = load(WORLD)
    made = [item for seed in range(60) for item in Maker(random.Random(seed), NAMES).config(base)]
    kinds = {item.key.kind for item in made}
    assert {"VirtualService", "DestinationRule", "ServiceEntry", "Gateway", "PeerAuthentication"} <= kinds
    assert len(made) > 120
