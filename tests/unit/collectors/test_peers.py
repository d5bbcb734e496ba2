import pytest
from collector_fakes import instance, inventory

from collectors.peers import Peers
from graph.model import Inventory, NodeKind, Service, ServiceRef, WorkloadRef
from mesh_runtime.registry import RegistryState

WEB = WorkloadRef("Kubernetes", "shop", "web", "web", "")
CATALOG = ServiceRef("Kubernetes", "shop", "catalog")
BILLING = ServiceRef("Kubernetes", "office", "billing")
DB = ServiceRef("Kubernetes", "shop", "db")
PAY = ServiceRef("Kubernetes", "shop", "payments.example.com")
ANY = ServiceRef("Kubernetes", "shop", "partners")


@pytest.fixture
def peers():
    instances = [
        instance("web", number=1, address="127.64.0.5"),
        instance("catalog", version="v1", number=2, address="127.64.0.6"),
    ]
    state = RegistryState(revision=1, instances={one.id: one for one in instances})
    services = [
        Service(
            ref=CATALOG,
            kind=NodeKind.SERVICE,
            hosts=("catalog.shop.svc.cluster.local",),
            workloads=(),
            ports={80: "http"},
        ),
        Service(ref=BILLING, kind=NodeKind.SERVICE, hosts=(), workloads=(), ports={80: "http"}),
        Service(ref=DB, kind=NodeKind.SERVICE, hosts=(), workloads=(), ports={6379: "tcp"}),
        Service(ref=PAY, kind=NodeKind.EXTERNAL, hosts=("payments.example.com",), workloads=()),
        Service(ref=ANY, kind=NodeKind.EXTERNAL, hosts=("*.partners.example",), workloads=()),
    ]
    return Peers(inventory(state, services), state)


@pytest.mark.parametrize(
    ("host", "port", "whom"),
    [
        ("catalog", 80, CATALOG),
        ("Catalog.shop", 80, CATALOG),
        ("catalog.shop.svc.cluster.local.", 80, CATALOG),
        ("billing", 80, None),
        ("billing.office.svc", 80, BILLING),
        ("payments.example.com", 443, PAY),
        ("deep.eu.partners.example", 443, ANY),
        ("catalog.example.com", 80, None),
        ("127.64.0.5", 6379, DB),
        ("127.64.0.5", 6380, None),
        ("127.64.0.6", 15006, WorkloadRef("Kubernetes", "shop", "catalog-v1", "catalog", "v1")),
        ("10.1.2.3", 80, None),
        ("", 0, None),
    ],
)
def test_an_address_means_whom_the_caller_means_by_it(peers, host, port, whom):
    assert peers.resolve(host, port, WEB) == whom


def test_of_several_clusters_the_callers_own_is_meant():
    def front(cluster: str) -> Service:
        ref = ServiceRef(cluster, "shop", "front")
        return Service(ref=ref, kind=NodeKind.SERVICE, hosts=("front.shop.svc.cluster.local",), workloads=())

    clusters = Peers(Inventory(services={one.ref: one for one in map(front, ("east", "west"))}))
    for host in ("front", "front.shop", "front.shop.svc.cluster.local"):
        assert clusters.resolve(host, 80, WEB._replace(cluster="east")) == ServiceRef("east", "shop", "front")
        assert clusters.resolve(host, 80, WEB._replace(cluster="west")) == ServiceRef("west", "shop", "front")
        assert clusters.resolve(host, 80, WEB._replace(cluster="north")) is not None


def test_a_workload_is_reached_by_the_service_named_like_it(peers):
    assert peers.service_of(WorkloadRef("Kubernetes", "shop", "catalog-v1", "catalog", "v1")) == CATALOG
    assert peers.service_of(WorkloadRef("Kubernetes", "elsewhere", "x", "x", "")) is None


def test_only_what_has_a_proxy_is_meshed(peers):
    assert peers.meshed(WEB)
    assert not peers.meshed(WEB._replace(workload="other"))
