from console.inventory import known
from graph.model import NodeKind, ServiceRef, WorkloadRef
from mesh_runtime.api import load
from mesh_runtime.api.objects import Config
from mesh_runtime.registry import Instance, RegistryState, Role

YAML = """
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec: {selector: {app: catalog}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: payments, namespace: shop}
spec:
  hosts: [payments.example.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog, namespace: shop}
spec:
  host: catalog
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: shop}
spec:
  hosts: [catalog]
  http:
  - timeout: 2s
    route:
    - {destination: {host: catalog, subset: v1}, weight: 90}
    - {destination: {host: catalog, subset: v2}, weight: 10}
"""


def instance(version, number=0):
    return Instance(
        id=f"shop/catalog-{version}~{number}",
        role=Role.SIDECAR,
        node_id=f"sidecar~127.64.0.{number}~catalog-{version}~{number}.shop",
        namespace="shop",
        workload=f"catalog-{version}",
        service="catalog",
        version=version,
        service_account="catalog",
        labels={"app": "catalog", "version": version},
        address="127.64.0.5",
    )


def test_services_know_their_workloads_and_what_the_config_does_to_them():
    objects = {one.key: one for one in load(YAML)}
    state = RegistryState(instances={one.id: one for one in (instance("v1"), instance("v2"), instance("v2", 1))})
    found = known(Config(revision=1, objects=objects), state)
    catalog = found.services[ServiceRef("Kubernetes", "shop", "catalog")]
    v2 = WorkloadRef("Kubernetes", "shop", "catalog-v2", "catalog", "v2")
    assert v2 in catalog.workloads
    assert found.workloads[v2].replicas == 2
    assert set(catalog.badges) == {"virtual-service", "traffic-shifting", "timeout", "circuit-breaker"}
    assert set(found.workloads[v2].badges) == set(catalog.badges)


def test_hosts_outside_the_mesh_are_external():
    objects = {one.key: one for one in load(YAML)}
    found = known(Config(revision=1, objects=objects), RegistryState())
    assert found.services[ServiceRef("Kubernetes", "shop", "payments.example.com")].kind is NodeKind.EXTERNAL


def test_a_port_that_speaks_a_databases_protocol_makes_a_database():
    (service,) = load("""
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec: {selector: {app: catalog}, ports: [{name: tcp, appProtocol: redis, port: 6379}]}
""")
    state = RegistryState(instances={one.id: one for one in (instance("v1"),)})
    found = known(Config(revision=1, objects={service.key: service}), state)
    assert [one.kind for one in (*found.services.values(), *found.workloads.values())] == [NodeKind.DATABASE] * 2
