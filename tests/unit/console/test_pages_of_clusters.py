"""The pages of services and workloads of a Kubernetes cluster."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import pytest

from collectors.kubernetes.objects import ClusterObjects, Container, Declared, Owner, Pod
from collectors.kubernetes.workloads import inventory_in
from console.clock import SystemClock
from console.pages import services, workloads
from graph.live import LiveGraph
from mesh_runtime.api.objects import Config, ObjectKey

LABELS = {"app": "cart"}


def pod(name: str, *, ready: bool = True, containers: tuple[str, ...] = ("cart", "istio-proxy")) -> Pod:
    return Pod(
        namespace="shop",
        name=name,
        owner=Owner("Deployment", "cart"),
        labels=LABELS,
        annotations={},
        service_account="cart",
        containers=tuple(Container(one, (), "") for one in containers),
        node="node-1",
        phase="Running",
        ready=ready,
    )


def declared(group: str, kind: str, name: str, spec: dict) -> Declared:
    metadata = {"name": name, "namespace": "shop"}
    version = f"{group}/v1" if group else "v1"
    manifest = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    return Declared(group=group, kind=kind, namespace="shop", name=name, manifest=manifest, status={}, version="1")


def policy(name: str, app: str) -> Declared:
    spec = {"mtls": {"mode": "STRICT"}, "selector": {"matchLabels": {"app": app}}}
    return declared("security.istio.io", "PeerAuthentication", name, spec)


CART = declared("", "Service", "cart", {"selector": LABELS, "ports": [{"name": "http", "port": 80}]})
SPLIT = [{"destination": {"host": "cart", "subset": version}} for version in ("v1", "v2")]
ROUTES = (
    declared("networking.istio.io", "VirtualService", "cart", {"hosts": ["cart"], "http": [{"route": SPLIT}]}),
    declared("networking.istio.io", "VirtualService", "others", {"hosts": ["web"], "http": [{"route": []}]}),
    declared(
        "networking.istio.io",
        "DestinationRule",
        "cart",
        {"host": "cart", "subsets": [{"name": "v1"}], "trafficPolicy": {"connectionPool": {"tcp": {}}}},
    ),
    declared("gateway.networking.k8s.io", "HTTPRoute", "entry", {"rules": [{"backendRefs": [{"name": "cart"}]}]}),
)


async def shown(*pods: Pod, config: tuple[Declared, ...] = (), page: ModuleType = workloads) -> str:
    objects = ClusterObjects(pods=pods, declared=config)
    known = {ObjectKey(one.group, one.kind, one.namespace, one.name): one for one in config}
    clock = SystemClock()
    live = LiveGraph(clock=clock)
    live.inventory(inventory_in(objects, "prod"))
    live.tick(clock.now_ms())

    async def search(_query: object) -> tuple[()]:
        return ()

    console = SimpleNamespace(
        live=live,
        clock=clock,
        clusters=SimpleNamespace(find={"prod": SimpleNamespace(objects=objects, declared=known)}.get),
        store=SimpleNamespace(current=Config()),
        traces=SimpleNamespace(search=search),
        histories=(),
    )
    return str(await page.show(console, ["shop", "cart"], {}))


async def test_its_pods_tell_whether_they_are_ready_and_which_proxy_they_have():
    page = await shown(pod("cart-1"), pod("cart-2", ready=False, containers=("cart",)))
    assert all(text in page for text in ("cart-1", "sidecar, on node-1", "cart-2", "Not ready", "no proxy, on node-1"))


async def test_only_that_clusters_config_that_selects_it_is_shown_and_leads_to_that_cluster():
    page = await shown(pod("cart-1"), config=(policy("mine", "cart"), policy("others", "web")))
    assert "/config/PeerAuthentication/shop/mine?cluster=prod&group=security.istio.io" in page
    assert "mTLS strict; by app=cart" in page
    assert "others" not in page


@pytest.mark.parametrize("page", [services, workloads])
async def test_routes_and_policies_of_its_service_are_shown_with_what_they_do(page):
    text = await shown(pod("cart-1"), config=(CART, *ROUTES), page=page)
    assert "/config/VirtualService/shop/cart?cluster=prod&group=networking.istio.io" in text
    assert "request routing, traffic shifting" in text
    assert "subsets v1" in text
    assert "/config/HTTPRoute/shop/entry?cluster=prod" in text
    assert "others" not in text


async def test_a_service_says_its_ports_and_whom_it_selects():
    text = await shown(pod("cart-1"), config=(CART,), page=services)
    assert all(fact in text for fact in ("80 http", "app=cart", "cart.shop.svc.cluster.local"))
