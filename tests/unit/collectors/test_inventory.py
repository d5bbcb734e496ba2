from collector_fakes import instance

from collectors.inventory import inventory
from graph.model import NodeKind, Service, ServiceRef, WorkloadRef
from mesh_runtime.registry import RegistryState, Role


def state(*instances):
    return RegistryState(revision=1, instances={one.id: one for one in instances})


CATALOG = ServiceRef("Kubernetes", "shop", "catalog")
V1 = WorkloadRef("Kubernetes", "shop", "catalog-v1", "catalog", "v1")
V2 = WorkloadRef("Kubernetes", "shop", "catalog-v2", "catalog", "v2")


def service(**fields):
    return Service(**{"ref": CATALOG, "kind": NodeKind.SERVICE, "hosts": (), "workloads": ()} | fields)


def test_replicas_of_a_version_are_one_workload_and_one_that_drains_is_no_replica():
    instances = [instance("catalog", version="v1", number=number, draining=number == 3) for number in (1, 2, 3)]
    workload = inventory(state(*instances), []).workloads[V1]
    assert (workload.replicas, workload.kind, workload.service_account) == (2, NodeKind.WORKLOAD, "catalog")


def test_a_service_has_the_workloads_started_for_it_beside_those_it_came_with():
    instances = [instance("catalog", version="v1", number=1), instance("catalog", version="v2", number=2)]
    assert inventory(state(*instances), [service(workloads=(V2,))]).services[CATALOG].workloads == (V2, V1)


def test_a_gateway_is_a_gateway():
    known = inventory(state(instance("ingress", role=Role.GATEWAY, service="")), [])
    assert [one.kind for one in known.workloads.values()] == [NodeKind.GATEWAY]


def test_badges_reach_what_they_are_for():
    known = inventory(
        state(instance("catalog", version="v1")),
        [service(badges=("timeout",))],
        {CATALOG: ("traffic-shifting", "timeout"), V1: ("no-sidecar",)},
    )
    assert known.services[CATALOG].badges == ("timeout", "traffic-shifting")
    assert known.workloads[V1].badges == ("no-sidecar",)
