from graph_words import T0, answered, edge, inventory, seen, workload

from graph.health_of_namespaces import TYPES, namespace_healths, namespace_json
from graph.model import GraphType, Health
from graph.moment import snapshot_of


def test_a_namespace_is_as_well_as_the_worst_in_it_and_counts_the_others():
    told = [
        seen(edge("web", "cart"), answered(80, failed=20), at=10),
        seen(edge("web", "stock@v1@depot"), answered(100), at=10),
    ]
    known = inventory(workload("web"), workload("cart"), workload("idle"), external=["pay.example.com"])
    snapshots = [snapshot_of(told, known, kind, T0, T0 + 60_000) for kind in TYPES]
    shop, depot = namespace_healths(snapshots)
    assert (shop.cluster, shop.namespace, shop.health) == ("Kubernetes", "shop", Health.FAILURE)
    assert shop.items[GraphType.APP] == {Health.FAILURE: 2, Health.IDLE: 1}
    assert (depot.namespace, depot.health) == ("depot", Health.HEALTHY)
    told = namespace_json(depot)["items"]["workload"]
    assert told == {"failure": 0, "degraded": 0, "not_ready": 0, "healthy": 1, "idle": 0}
