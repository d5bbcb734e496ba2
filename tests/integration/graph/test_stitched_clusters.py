"""Two clusters that each know half of a call, in one running server: what leaves the one enters the other.

The clusters' API servers are stand-ins; what runs there sends OpenTelemetry's spans, each cluster its own traces.
"""

import asyncio
import time

import pytest
from api_server import ApiServer, Kind
from cluster_objects import deployment, pod, service
from cluster_rig import write_kubeconfig
from otlp_fakes import request, resource, span
from up_process import until, up

HOST = "cart.example.com"
ENTRY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "ServiceEntry",
    "metadata": {"name": "cart", "namespace": "shop"},
    "spec": {"hosts": [HOST], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"},
}
GATEWAY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "public", "namespace": "shop"},
    "spec": {"selector": {"istio": "ingressgateway"}, "servers": [{"hosts": [HOST], "port": {"number": 80}}]},
}
ISTIO = [Kind("networking.istio.io", "v1", "serviceentries", "ServiceEntry")]
ISTIO += [Kind("networking.istio.io", "v1", "gateways", "Gateway")]
WEB, INGRESS, CART = "wl:east/shop/web-v1", "wl:west/shop/ingress-v1", "wl:west/shop/cart-v1"
BY_WEB, BY_OTHERS, IN_ONE_TRACE = 60, 40, 10
STITCHED = {(WEB, INGRESS): BY_WEB, ("outside:west", INGRESS): BY_OTHERS, (INGRESS, CART): BY_WEB + BY_OTHERS}


def runs(server, app, **labels):
    made = [deployment(app), pod(app)]
    made[0]["spec"]["template"]["metadata"]["labels"] |= labels
    made[1]["metadata"]["labels"] |= labels
    for one in (*made, service(app)):
        server.put(one)


@pytest.fixture
async def clusters():
    servers = {"east": ApiServer(), "west": ApiServer()}
    for server in servers.values():
        server.kinds += ISTIO
        await server.start()
    runs(servers["east"], "web")
    servers["east"].put(ENTRY)
    runs(servers["west"], "ingress", istio="ingressgateway")
    runs(servers["west"], "cart")
    servers["west"].put(GATEWAY)
    yield servers
    for server in servers.values():
        await server.stop()


def of(app, cluster):
    return resource(app, version="v1") | {
        "k8s.cluster.name": cluster,
        "k8s.namespace.name": "shop",
        "k8s.deployment.name": f"{app}-v1",
    }


def traffic():
    """Calls of the web to the host, each in a trace of its own cluster's; and what the other cluster's gateway got."""
    now_ns = time.time_ns()
    about = {"start_ns": now_ns, "name": "GET /", "http__response__status_code": 200}
    out = [span("client", 1, trace=now_ns + n, server__address=HOST, server__port=80, **about) for n in range(BY_WEB)]
    entered = [span("server", 1, trace=now_ns + 1000 + n, **about) for n in range(BY_WEB + BY_OTHERS)]
    within = {"server__address": "cart", "server__port": 80}
    passed = [span("client", 2, trace=now_ns + 1000 + n, parent=1, **within, **about) for n in range(len(entered))]
    served = [span("server", 3, trace=now_ns + 1000 + n, parent=2, **about) for n in range(len(entered))]
    return request((of("web", "east"), out), (of("ingress", "west"), [*entered, *passed]), (of("cart", "west"), served))


def traced_through():
    """Calls of the web that the cart itself answers, in one trace."""
    now_ns = time.time_ns() + 10_000
    about = {"start_ns": now_ns, "name": "GET /", "http__response__status_code": 200}
    out = [span("client", 1, trace=now_ns + n, server__address=HOST, **about) for n in range(IN_ONE_TRACE)]
    served = [span("server", 2, trace=now_ns + n, parent=1, **about) for n in range(IN_ONE_TRACE)]
    return request((of("web", "east"), out), (of("cart", "west"), served))


def watched(folder, clusters):
    kubeconfig = write_kubeconfig(folder / "kubeconfig", **{name: one.url for name, one in clusters.items()})
    tables = [f'[[clusters]]\ncontext = "{name}"\nkubeconfig = "{kubeconfig}"\n' for name in clusters]
    with up(folder, settings="".join(tables)) as server:
        until(lambda: {WEB, INGRESS, CART} <= server.nodes("workload").keys())
        until(lambda: f"ext:east/shop/{HOST}" in server.nodes("workload"))
        server.send(traffic())
        until(lambda: counted(server) == STITCHED, tell=lambda: counted(server))
        server.send(traced_through())
        whole = STITCHED | {(WEB, CART): IN_ONE_TRACE}
        until(lambda: counted(server) == whole, tell=lambda: counted(server))
        return server.edges(), server.edges("finest")


def counted(server):
    return {(edge["source"], edge["target"]): edge["requests"] for edge in server.edges().values()}


async def test_both_clusters_halves_are_one_path_and_each_request_is_counted_once(tmp_path, clusters):
    then, finest = await asyncio.to_thread(watched, tmp_path, clusters)
    assert then[f"{WEB}>{CART}>http"]["service"] == "shop/cart"
    assert not any(edge["target"].startswith("ext:") for edge in then.values())
    assert HOST in {edge["host"] for edge in finest.values() if edge["target"] == INGRESS}
