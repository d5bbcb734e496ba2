from dataclasses import replace
from textwrap import dedent

import pytest
import yaml
from collector_fakes import instance
from hypothesis import given
from hypothesis import strategies as st

from collectors.inventory import inventory_of, merged, workloads_of
from graph.health import ANNOTATION
from graph.model import Inventory, NodeKind, Service, ServiceRef, Workload, WorkloadRef
from mesh_runtime.registry import RegistryState, Role

CATALOG = ServiceRef("Kubernetes", "shop", "catalog")
V1 = WorkloadRef("Kubernetes", "shop", "catalog-v1", "catalog", "v1")
V2 = WorkloadRef("Kubernetes", "shop", "catalog-v2", "catalog", "v2")
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop, labels: {team: books}}
spec: {selector: {app: catalog}, ports: [{name: http, port: 80}, {name: h2c, port: 81, appProtocol: kubernetes.io/h2c}]}
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: shop}
"""


def workload(ref, **fields):
    labels = {"app": ref.app, "version": ref.version} | fields.pop("labels", {})
    return Workload(**{"ref": ref, "kind": NodeKind.WORKLOAD, "replicas": 1, "labels": labels} | fields)


RUNNING = (workload(V1), workload(V2))


def known(*documents, workloads=RUNNING):
    return inventory_of([one for text in documents for one in yaml.safe_load_all(dedent(text))], workloads)


def badges(inventory):
    return set(inventory.services[CATALOG].badges), *(set(inventory.workloads[ref].badges) for ref in (V1, V2))


def registered(*instances):
    return workloads_of(RegistryState(instances={one.id: one for one in instances}))


def test_replicas_of_a_version_are_one_workload_and_one_that_drains_is_no_replica():
    (found,) = registered(*(instance("catalog", version="v1", number=n, draining=n == 3) for n in (1, 2, 3)))
    assert (found.ref, found.replicas, found.kind, found.service_account) == (V1, 2, NodeKind.WORKLOAD, "catalog")


def test_a_registered_gateway_serves_the_hosts_of_the_gateways_that_select_it():
    gateway = """
    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata: {name: public, namespace: shop}
    spec:
      selector: {app: ingress}
      servers:
      - {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com, ./api.example.com]}
      - {port: {number: 81, name: http2, protocol: HTTP}, hosts: [shop.example.com]}
    """
    ingress = registered(instance("ingress", role=Role.GATEWAY, service=""))
    (found,) = known(gateway, workloads=ingress).workloads.values()
    assert (found.kind, found.hosts) == (NodeKind.GATEWAY, ("shop.example.com", "api.example.com"))
    (sidecar,) = known(gateway, workloads=registered(instance("ingress"))).workloads.values()
    assert (sidecar.kind, sidecar.hosts) == (NodeKind.WORKLOAD, ())


@pytest.mark.parametrize(
    ("labels", "hosts"),
    [
        ({"istio": "front"}, ("front.example.com",)),
        ({"istio": "ingressgateway"}, ()),
        ({"gateway.networking.k8s.io/gateway-name": "public"}, ("api.example.com", "*")),
    ],
)
def test_in_kubernetes_a_gateway_shows_by_its_labels(labels, hosts):
    gateways = """
    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata: {name: front, namespace: shop}
    spec: {selector: {istio: front}, servers: [{hosts: ["*/front.example.com"]}]}
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: public, namespace: shop}
    spec: {listeners: [{hostname: api.example.com}, {port: 80}]}
    """
    found = known(gateways, workloads=[workload(V1, labels=labels, badges=("no-sidecar",))]).workloads[V1]
    assert (found.kind, found.hosts, found.badges) == (NodeKind.GATEWAY, hosts, ())


def test_a_service_has_its_labels_ports_and_the_workloads_that_it_selects():
    found = known(SERVICE).services[CATALOG]
    assert found.workloads == (V1, V2)
    assert (dict(found.ports), found.labels) == ({80: "http", 81: "http2"}, {"team": "books"})


@pytest.mark.parametrize(
    ("rule", "badge"),
    [
        ("http: [{route: [{destination: {host: catalog}}]}]", "request-routing"),
        ("http: [{timeout: 2s, route: [{destination: {host: catalog}}]}]", "timeout"),
        ("http: [{fault: {abort: {httpStatus: 503}}, route: [{destination: {host: catalog}}]}]", "fault-injection"),
        ("http: [{mirror: {host: other}, route: [{destination: {host: catalog}}]}]", "mirroring"),
        ("http: [{mirrors: [{destination: {host: o}}], route: [{destination: {host: catalog}}]}]", "mirroring"),
        ("http: [{route: [{destination: {host: catalog}}, {destination: {host: other}}]}]", "traffic-shifting"),
        ("tcp: [{route: [{destination: {host: catalog}}, {destination: {host: other}}]}]", "tcp-traffic-shifting"),
    ],
)
def test_what_a_route_does_shows_at_the_service_and_at_its_workloads(rule, badge):
    for hosts in ("[catalog]", "[shop.example.com]"):
        of_service, *of_workloads = badges(known(SERVICE, f"{ROUTE}spec: {{hosts: {hosts}, {rule}}}"))
        assert {"virtual-service", badge} <= of_service
        assert of_workloads == [of_service, of_service]


def test_one_rules_fault_is_not_a_badge_of_where_another_rule_leads():
    rules = "[{fault: {abort: {}}, route: [{destination: {host: other}}]}, {route: [{destination: {host: catalog}}]}]"
    found = known(SERVICE, f"{ROUTE}spec: {{hosts: [shop.example.com], http: {rules}}}")
    assert badges(found)[0] == {"virtual-service", "request-routing"}
    assert found.services[CATALOG].routes == ("shop.example.com",)


def test_limits_of_a_subset_are_a_badge_of_its_workloads_only():
    rule = """
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {name: catalog, namespace: shop}
    spec:
      host: catalog
      subsets:
      - {name: v1, labels: {version: v1}}
      - {name: v2, labels: {version: v2}, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}}
    """
    assert badges(known(SERVICE, rule)) == ({"circuit-breaker"}, set(), {"circuit-breaker"})
    for_all = rule.replace("subsets:", "trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}\n      subsets:")
    assert badges(known(SERVICE, for_all)) == ({"circuit-breaker"},) * 3


def test_routes_of_the_gateway_api_are_badges_too():
    route = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: catalog, namespace: shop}
    spec:
      hostnames: [shop.example.com]
      rules:
      - timeouts: {request: 2s}
        filters: [{type: RequestMirror}]
        backendRefs: [{name: catalog, weight: 90}, {name: other, weight: 10}]
    """
    found = known(SERVICE, route)
    assert badges(found)[0] == {"gateway-api", "request-routing", "traffic-shifting", "timeout", "mirroring"}
    assert found.services[CATALOG].routes == ("shop.example.com",)


ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: payments, namespace: shop}
spec:
  hosts: [pay.example.com, "*.pay.example.com"]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
  endpoints: [{address: 203.0.113.7}]
"""


def test_each_host_of_a_service_entry_is_a_service_that_names_it():
    route = f"{ROUTE}spec: {{hosts: ['*.example.com'], http: [{{timeout: 1s}}]}}".replace("1s}", "1s, route: [{}]}")
    first, second = known(ENTRY, route).services.values()
    assert (first.kind, first.entry, first.location, first.hosts) == (
        NodeKind.EXTERNAL,
        "payments",
        "MESH_EXTERNAL",
        ("pay.example.com",),
    )
    assert first.addresses == ("203.0.113.7",)
    assert second.ref.name == "*.pay.example.com"
    assert {"service-entry", "timeout"} <= set(first.badges)


def test_workload_entries_are_workloads_without_sidecar_unless_they_registered_themselves():
    entries = """
    apiVersion: networking.istio.io/v1
    kind: WorkloadEntry
    metadata: {name: vm-1, namespace: shop}
    spec: {address: 10.0.0.1, labels: {app: ledger, version: v1}, serviceAccount: ledger}
    ---
    apiVersion: networking.istio.io/v1
    kind: WorkloadGroup
    metadata: {name: fleet, namespace: shop}
    spec: {metadata: {annotations: {health.kiali.io/rate: "404,1,2,http,inbound"}}}
    ---
    apiVersion: networking.istio.io/v1
    kind: WorkloadEntry
    metadata: {name: fleet-1, namespace: shop, annotations: {istio.io/autoRegistrationGroup: fleet}}
    spec: {address: 10.0.0.2, labels: {app: fleet}}
    ---
    apiVersion: networking.istio.io/v1
    kind: WorkloadEntry
    metadata: {name: fleet-2, namespace: shop, annotations: {istio.io/autoRegistrationGroup: fleet}}
    spec: {address: 10.0.0.3, labels: {app: fleet}}
    ---
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {name: ledger, namespace: shop}
    spec: {hosts: [ledger.internal], location: MESH_INTERNAL, workloadSelector: {labels: {app: ledger}}}
    """
    found = known(entries, workloads=())
    ledger = found.workloads[WorkloadRef("Kubernetes", "shop", "vm-1", "ledger", "v1")]
    fleet = found.workloads[WorkloadRef("Kubernetes", "shop", "fleet", "fleet", "")]
    assert (ledger.entries, ledger.badges, ledger.service_account) == (
        ("vm-1",),
        ("workload-entry", "no-sidecar"),
        "ledger",
    )
    assert (fleet.entries, fleet.badges, fleet.replicas) == (("fleet-1", "fleet-2"), ("workload-entry",), 2)
    assert fleet.annotations[ANNOTATION] == "404,1,2,http,inbound"
    (internal,) = found.services.values()
    assert (internal.kind, internal.workloads) == (NodeKind.SERVICE, (ledger.ref,))


def test_ambient_mode_and_waypoints_need_no_sidecar():
    namespace = """
    apiVersion: v1
    kind: Namespace
    metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
    """
    bare = [
        workload(V1, badges=("no-sidecar",)),
        workload(V2, badges=("no-sidecar",), labels={"gateway.istio.io/managed": "istio.io-mesh-controller"}),
    ]
    out = WorkloadRef("Kubernetes", "shop", "out", "out", "")
    bare.append(workload(out, badges=("no-sidecar",), labels={"istio.io/dataplane-mode": "none"}))
    found = known(namespace, workloads=bare).workloads
    assert [found[ref].badges for ref in (V1, V2, out)] == [("ambient",), ("waypoint",), ("no-sidecar",)]


def test_a_namespaces_tolerances_are_those_of_everything_in_it_that_names_none():
    namespace = """
    apiVersion: v1
    kind: Namespace
    metadata: {name: shop, annotations: {health.kiali.io/rate: "4XX,1,2,http,inbound", other: "no"}}
    """
    own = workload(V2, annotations={ANNOTATION: "5XX,1,2,http,inbound"})
    found = known(namespace, SERVICE, workloads=[workload(V1), own])
    assert found.workloads[V1].annotations == {ANNOTATION: "4XX,1,2,http,inbound"}
    assert found.workloads[V2].annotations == own.annotations
    assert found.services[CATALOG].annotations == {ANNOTATION: "4XX,1,2,http,inbound"}


def test_what_is_behind_a_databases_service_is_a_database():
    found = known(SERVICE.replace("name: http,", "name: redis,"))
    assert {one.kind for one in (*found.services.values(), *found.workloads.values())} == {NodeKind.DATABASE}


def test_manifests_of_other_kinds_and_shapes_tell_nothing():
    odd = [{}, {"kind": "Service"}, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": []}]
    odd += [{**one, "apiVersion": "serving.knative.dev/v1"} for one in yaml.safe_load_all(SERVICE)]
    found = inventory_of(odd, ())
    assert [one.ref for one in found.services.values()] == [ServiceRef("Kubernetes", "", "x")]


def variants(inventory):
    (service,) = inventory.services.values()
    return st.builds(
        lambda badges, replicas, kind, labels: Inventory(
            workloads={V1: workload(V1, badges=badges, replicas=replicas, kind=kind, labels=labels)},
            services={CATALOG: replace(service, badges=badges)},
        ),
        st.sets(st.sampled_from(["timeout", "ambient"])).map(tuple),
        st.integers(0, 3),
        st.sampled_from([NodeKind.WORKLOAD, NodeKind.GATEWAY, NodeKind.DATABASE]),
        st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
    )


@given(st.lists(variants(known(SERVICE)), min_size=1, max_size=4), st.randoms())
def test_inventories_are_merged_in_any_order_and_any_number_of_times(inventories, random):
    shuffled = [*inventories, inventories[0]]
    random.shuffle(shuffled)

    def content(inventory):
        return [
            {name: set(value) if isinstance(value, tuple) else value for name, value in fields_of(one)}
            for one in (*inventory.workloads.values(), *inventory.services.values())
        ]

    assert content(merged(inventories)) == content(merged(shuffled))


def fields_of(one):
    return [(name, getattr(one, name)) for name in one.__slots__ if name != "ref"]


def test_clusters_stand_side_by_side_when_merged():
    east = inventory_of(yaml.safe_load_all(SERVICE), (), cluster="east")
    west = inventory_of(yaml.safe_load_all(SERVICE), (), cluster="west")
    assert {ref.cluster for ref in merged([east, west]).services} == {"east", "west"}
    assert isinstance(next(iter(merged([east]).services.values())), Service)
