"""Whoever answers at an address of a cluster is named, whichever way Kubernetes leads there."""

from __future__ import annotations

from typing import Any

import pytest
from clocks import FakeClock

from collectors.addresses import Addresses, Party, Place
from collectors.als.ends import request_of
from collectors.kubernetes.addresses import LINGER_MS, Remembered, addresses_of
from collectors.kubernetes.objects import ClusterObjects, declared, endpoint_slice, pod
from collectors.kubernetes.workloads import inventory_in
from collectors.logs.access import Access
from collectors.peers import Peers
from graph.model import Inventory, NodeKind, Service, ServiceRef, WorkloadRef

Manifest = dict[str, Any]

FRONT = WorkloadRef("prod", "shop", "front", "front", "")
AGENT = WorkloadRef("prod", "shop", "agent", "agent", "")
SHOP, LEGACY, API, HEADLESS = (ServiceRef("prod", "shop", name) for name in ("front", "legacy", "kubernetes", "db"))


def a_pod(name: str, address: str, **changes: Any) -> Manifest:
    """A pod on the node 10.9.0.1."""
    container = {"name": "app", "ports": [{"containerPort": 9100}]}
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"containers": [container], "hostNetwork": changes.get("on_node", False)},
        "status": {
            "phase": changes.get("phase", "Running"),
            "podIP": address,
            "podIPs": [{"ip": address}, *({"ip": ip} for ip in changes.get("more", ()))],
            "hostIP": "10.9.0.1",
        },
    }


def a_service(name: str, address: str, *, node_port: int = 0, **spec: Any) -> Manifest:
    """A Service."""
    port = {"port": 80, **({"nodePort": node_port} if node_port else {})}
    return {
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "1"},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [port], **spec},
    }


def a_slice(service: str, port: int, *endpoints: Manifest) -> Manifest:
    """Some of its endpoints."""
    labels = {"kubernetes.io/service-name": service}
    return {
        "metadata": {"name": f"{service}-x", "namespace": "shop", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port}],
        "endpoints": list(endpoints),
    }


def an_endpoint(address: str, pod_name: str = "", **conditions: bool) -> Manifest:
    """An address, of a pod or of something that is none."""
    target = {"targetRef": {"kind": "Pod", "name": pod_name}} if pod_name else {}
    return {"addresses": [address], "conditions": conditions, **target}


def found(
    pods: tuple[Manifest, ...] = (), services: tuple[Manifest, ...] = (), slices: tuple[Manifest, ...] = ()
) -> ClusterObjects:
    """What is kept of them."""
    return ClusterObjects(
        pods=[pod("v1", "Pod", one) for one in pods],
        declared=[declared("v1", "Service", one) for one in services],
        slices=[endpoint_slice("discovery.k8s.io/v1", "EndpointSlice", one) for one in slices],
    )


SHOPS = found(
    pods=(
        a_pod("front", "10.0.0.7", more=["fd00::7"]),
        a_pod("agent", "10.9.0.1", on_node=True),
        a_pod("done", "10.0.0.8", phase="Succeeded"),
        a_pod("one", "10.0.0.9"),
        a_pod("two", "10.0.0.9"),
    ),
    services=(
        a_service("front", "10.96.0.1", node_port=30080, selector={"app": "front"}),
        a_service("legacy", "10.96.0.2"),
        a_service("db", "None"),
    ),
    slices=(
        a_slice("front", 8080, an_endpoint("10.0.0.7", "front")),
        a_slice("legacy", 5432, an_endpoint("203.0.113.9")),
        a_slice("kubernetes", 6443, an_endpoint("10.9.0.1")),
        a_slice("metrics", 9999, an_endpoint("10.9.0.1", "agent")),
    ),
)


@pytest.mark.parametrize(
    ("address", "port", "party"),
    [
        ("10.0.0.7", 8080, FRONT),
        ("10.0.0.7", 0, FRONT),
        ("fd00::7", 8080, FRONT),
        ("10.96.0.1", 80, SHOP),
        ("10.9.0.1", 30080, SHOP),
        ("10.9.0.1", 9100, AGENT),
        ("10.9.0.1", 9999, AGENT),
        ("10.9.0.1", 6443, API),
        ("10.9.0.1", 10250, None),
        ("203.0.113.9", 5432, LEGACY),
        ("203.0.113.9", 22, None),
        ("10.0.0.8", 80, None),
        ("10.0.0.9", 80, None),
        ("None", 80, None),
    ],
)
def test_an_address_stands_for_who_answers_there(address: str, port: int, party: Party | None) -> None:
    assert addresses_of(SHOPS, "prod").at(address, port) == party


def test_who_has_gone_is_named_for_a_while_unless_the_address_is_given_to_another() -> None:
    clock = FakeClock()
    book = Remembered(clock)
    both = addresses_of(found(pods=(a_pod("front", "10.0.0.7"), a_pod("back", "10.0.0.8"))), "prod")
    book.beside(both)
    clock.now += 1000
    newer = addresses_of(found(pods=(a_pod("other", "10.0.0.8"),)), "prod")
    seen = book.beside(newer)
    assert seen.at("10.0.0.7", 80) == FRONT
    assert seen.at("10.0.0.8", 80) == WorkloadRef("prod", "shop", "other", "other", "")
    clock.now += LINGER_MS
    assert book.beside(newer).at("10.0.0.7", 80) is None


class TestPeers:
    """What spans and access logs make of it."""

    def test_clusters_with_the_same_addresses_are_told_apart_by_the_caller(self) -> None:
        east, west = (FRONT._replace(cluster=name) for name in ("east", "west"))
        clusters = {
            one.cluster: Addresses({Place("10.0.0.7"): one, Place(f"10.1.{number}.1"): one})
            for number, one in enumerate((east, west))
        }
        peers = Peers(Inventory(), addresses=clusters)
        assert peers.resolve("10.0.0.7", 80, east._replace(workload="web")) == east
        assert peers.resolve("10.0.0.7", 80, west._replace(workload="web")) == west
        nobody_knows = FRONT._replace(cluster="north")
        assert peers.resolve("10.0.0.7", 80, nobody_knows) is None
        assert peers.resolve("::ffff:10.1.0.1", 80, nobody_knows) == east

    def test_what_a_service_has_outside_its_cluster_leads_to_it_unless_it_shares_that(self) -> None:
        def reached(name: str, *addresses: str) -> Service:
            ref = ServiceRef("prod", "shop", name)
            return Service(ref=ref, kind=NodeKind.EXTERNAL, hosts=(), workloads=(), addresses=addresses)

        services = [reached("pay", "203.0.113.1", "203.0.113.2"), reached("mail", "203.0.113.2")]
        peers = Peers(Inventory(services={one.ref: one for one in services}))
        assert peers.resolve("203.0.113.1", 443, FRONT) == ServiceRef("prod", "shop", "pay")
        assert peers.resolve("203.0.113.2", 443, FRONT) is None

    def test_both_ends_of_a_logged_request_are_named_by_their_addresses(self) -> None:
        peers = Peers(Inventory(), addresses={"prod": addresses_of(SHOPS, "prod")})
        logged = Access(1, upstream_cluster="inbound|9100||", downstream_remote="10.0.0.7:40000")
        seen = request_of(logged, peers, reporter=AGENT, now_ns=1)
        assert (seen.source, seen.target) == (FRONT, AGENT)
        sent = Access(1, upstream_cluster="PassthroughCluster", authority="x", upstream_host="10.9.0.1:9100")
        assert request_of(sent, peers, reporter=FRONT, now_ns=1).target == AGENT

    def test_a_sidecar_that_does_not_say_whose_it_is_is_that_of_whoever_calls(self) -> None:
        peers = Peers(Inventory(), addresses={"prod": addresses_of(SHOPS, "prod")})
        out = Access(
            1,
            upstream_cluster="outbound|80||legacy.shop.svc.cluster.local",
            downstream_local="10.96.0.2:80",
            downstream_remote="10.0.0.7:40000",
        )
        seen = request_of(out, peers, reporter=None, now_ns=1)
        assert (seen.source, seen.service) == (FRONT, LEGACY)


class TestReadiness:
    """Who is ready to answer for a Service."""

    def known(self, *endpoints: Manifest, **spec: Any) -> Service:
        """The Service of these endpoints."""
        objects = found(
            pods=(a_pod("front", "10.0.0.7"), a_pod("back", "10.0.0.8")),
            services=(a_service("front", "10.96.0.1", **spec),),
            slices=(a_slice("front", 80, *endpoints),),
        )
        return inventory_in(objects, "prod").services[SHOP]

    def test_endpoints_are_counted_by_readiness_without_those_that_end(self) -> None:
        seen = self.known(
            an_endpoint("10.0.0.7", "front"),
            an_endpoint("10.0.0.8", "back", ready=False),
            an_endpoint("10.0.0.9", "gone", ready=False, terminating=True),
        )
        assert (seen.ready, seen.endpoints, seen.badges) == (1, 2, ())

    def test_a_service_for_which_nobody_is_ready_says_so(self) -> None:
        assert self.known(an_endpoint("10.0.0.7", "front", ready=False)).badges == ("no-endpoints",)
        assert self.known(selector={"app": "nobody"}).badges == ("no-endpoints",)

    def test_a_service_without_a_selector_leads_where_its_endpoints_are(self) -> None:
        behind = an_endpoint("10.0.0.7"), an_endpoint("10.0.0.8", "back")
        assert [ref.workload for ref in self.known(*behind).workloads] == ["back", "front"]
        somewhere = self.known(*behind, an_endpoint("203.0.113.9"))
        assert (somewhere.workloads, somewhere.ready, somewhere.endpoints) == ((), 3, 3)

    def test_where_endpoints_may_not_be_read_nothing_is_said_of_them(self) -> None:
        [seen] = inventory_in(found(services=(a_service("front", "10.96.0.1"),)), "prod").services.values()
        assert (seen.ready, seen.endpoints, seen.badges) == (None, None, ())
