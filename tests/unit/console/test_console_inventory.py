from catalog import CATALOG

from console.inventory import known
from graph.model import ServiceRef, WorkloadRef
from mesh_runtime.api import load
from mesh_runtime.api.objects import Config
from mesh_runtime.registry import Instance, RegistryState, Role

WITH_A_TIMEOUT = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: shop}
spec:
  hosts: [catalog]
  http:
  - timeout: 2s
    route: [{destination: {host: catalog}}]
"""


def test_what_the_bundled_mesh_knows_is_what_its_config_and_its_registry_hold():
    instance = Instance(
        id="shop/catalog-v2~1",
        role=Role.SIDECAR,
        node_id="sidecar~127.64.0.1~catalog-v2~1.shop",
        namespace="shop",
        workload="catalog-v2",
        service="catalog",
        version="v2",
        service_account="catalog",
        labels={"app": "catalog", "version": "v2"},
        address="127.64.0.5",
    )
    found = known(
        Config(revision=1, objects={one.key: one for one in load(CATALOG + WITH_A_TIMEOUT)}),
        RegistryState(instances={instance.id: instance}),
    )
    v2 = WorkloadRef("Kubernetes", "shop", "catalog-v2", "catalog", "v2")
    catalog = found.services[ServiceRef("Kubernetes", "shop", "catalog")]
    assert catalog.workloads == (v2,)
    assert set(catalog.badges) == set(found.workloads[v2].badges) == {"virtual-service", "request-routing", "timeout"}
