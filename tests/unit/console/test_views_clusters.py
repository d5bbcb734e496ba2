"""Config of Kubernetes clusters beside the bundled mesh's."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from collectors.kubernetes.objects import Declared
from console.clock import SystemClock
from console.pages.config import show
from console.views.config import MOST_ROWS, listing
from mesh_runtime.api import load
from mesh_runtime.api.objects import Config, ObjectKey

OWN = load("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")


def declared(kind: str, name: str, group: str = "networking.istio.io") -> Declared:
    """An object in a cluster."""
    manifest = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}}
    return Declared(group=group, kind=kind, namespace="shop", name=name, manifest=manifest, status={}, version="1")


def test_clusters_objects_stand_among_the_bundled_meshs_and_lead_to_pages_of_their_own() -> None:
    prod = [declared("VirtualService", "cart"), declared("Gateway", "web"), declared("Service", "cart", group="")]
    found = listing(Config(objects={one.key: one for one in OWN}), (), (), {}, clusters={"prod": prod})
    assert [(row.kind, row.name, row.cluster, row.href) for row in found.rows] == [
        ("Gateway", "web", "prod", "/config/Gateway/shop/web?cluster=prod&group=networking.istio.io"),
        ("Namespace", "shop", "", "/config/Namespace/_/shop"),
        ("VirtualService", "cart", "prod", "/config/VirtualService/shop/cart?cluster=prod&group=networking.istio.io"),
    ]
    assert found.kinds == (("Gateway", 1), ("Namespace", 1), ("VirtualService", 1))


def test_they_are_searched_by_cluster_and_only_so_many_are_drawn() -> None:
    many = [declared("VirtualService", f"cart-{number}") for number in range(MOST_ROWS + 7)]
    found = listing(Config(), (), (), {}, clusters={"prod": many, "test": many[:2]})
    assert (len(found.rows), found.more) == (MOST_ROWS, 9)
    assert len(listing(Config(), (), (), {}, clusters={"prod": many, "test": many[:2]}, text="test").rows) == 2


@pytest.mark.parametrize("group", ["networking.istio.io", "gateway.networking.k8s.io"])
async def test_of_two_kinds_of_one_name_the_page_shows_the_right_one(group: str) -> None:
    both = [declared("Gateway", "web"), declared("Gateway", "web", group="gateway.networking.k8s.io")]
    known = {ObjectKey(one.group, one.kind, one.namespace, one.name): one for one in both}
    clusters = SimpleNamespace(find={"prod": SimpleNamespace(declared=known)}.get)
    console = SimpleNamespace(clusters=clusters, clock=SystemClock())
    page = str(await show(console, ["Gateway", "shop", "web"], {"cluster": "prod", "group": group}))
    assert f"apiVersion: {group}/v1" in page
    assert "In cluster prod" in page
    gone = str(await show(console, ["Gateway", "shop", "web"], {"cluster": "test", "group": group}))
    assert "There is no Gateway web in cluster test now" in gone
