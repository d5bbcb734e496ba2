"""The page of a workload that runs in a Kubernetes cluster."""

from __future__ import annotations

from types import SimpleNamespace

from collectors.kubernetes.objects import ClusterObjects, Container, Declared, Owner, Pod
from collectors.kubernetes.workloads import inventory_in
from console.clock import SystemClock
from console.pages.workloads import show
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


def policy(name: str, app: str) -> Declared:
    spec = {"mtls": {"mode": "STRICT"}, "selector": {"matchLabels": {"app": app}}}
    group, kind = "security.istio.io", "PeerAuthentication"
    metadata = {"name": name, "namespace": "shop"}
    manifest = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "spec": spec}
    return Declared(group=group, kind=kind, namespace="shop", name=name, manifest=manifest, status={}, version="1")


async def shown(*pods: Pod, declared: tuple[Declared, ...] = ()) -> str:
    objects = ClusterObjects(pods=pods, declared=declared)
    known = {ObjectKey(one.group, one.kind, one.namespace, one.name): one for one in declared}
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
    )
    return str(await show(console, ["shop", "cart"], {}))


async def test_its_pods_tell_whether_they_are_ready_and_which_proxy_they_have():
    page = await shown(pod("cart-1"), pod("cart-2", ready=False, containers=("cart",)))
    assert all(text in page for text in ("cart-1", "sidecar, on node-1", "cart-2", "Not ready", "no proxy, on node-1"))


async def test_only_that_clusters_config_that_selects_it_is_shown_and_leads_to_that_cluster():
    page = await shown(pod("cart-1"), declared=(policy("mine", "cart"), policy("others", "web")))
    assert "/config/PeerAuthentication/shop/mine?cluster=prod&group=security.istio.io" in page
    assert "mTLS strict; by app=cart" in page
    assert "others" not in page
