"""What is applied to a running server shows in its graph: badges, hosts, tolerances."""

import pytest
from otlp_calls import calls
from up_process import until

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop, labels: {app: cart, team: sales}}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: shop}
spec: {selector: {app: stock}, ports: [{name: tcp, port: 90}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: cart-vm, namespace: shop}
spec: {address: 127.64.9.9, labels: {app: cart}}
"""
ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
  - fault: {delay: {percentage: {value: 1}, fixedDelay: 1s}}
    timeout: 2s
    mirror: {host: stock}
    route:
    - {destination: {host: cart}, weight: 90}
    - {destination: {host: stock}, weight: 10}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock, namespace: shop}
spec:
  hosts: [stock]
  tcp: [{route: [{destination: {host: stock}, weight: 1}, {destination: {host: cart}, weight: 1}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec: {host: cart, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: payments, namespace: shop}
spec:
  hosts: [pay.example.com, api.pay.example.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
"""
CART = "svc:Kubernetes/shop/cart"
DOES = {"virtual-service", "request-routing", "fault-injection", "timeout", "mirroring", "traffic-shifting"}


@pytest.fixture(scope="module", autouse=True)
def _services(server):
    server.apply(SERVICES)


def kiali(server):
    found = server.get(
        "namespaces/graph", namespaces="shop", duration="60s", graphType="workload", injectServiceNodes="true"
    )
    nodes = [node["data"] for node in found["elements"]["nodes"]]
    return {f"{node['nodeType']} {node.get('service') or node.get('workload')}": node for node in nodes}


def test_routes_limits_and_entries_are_badges_in_both_graphs(server):
    server.apply(ROUTES)
    does = DOES | {"circuit-breaker"}
    until(lambda: does <= set(server.nodes()[CART]["badges"]), tell=lambda: server.nodes()[CART])
    assert "tcp-traffic-shifting" in server.nodes()["svc:Kubernetes/shop/stock"]["badges"]
    assert server.nodes()["ext:Kubernetes/shop/pay.example.com"]["badges"] == ["service-entry"]
    (entry,) = (one for one in server.nodes("workload").values() if one["workload"] == "cart-vm")
    assert {"workload-entry", "no-sidecar"} <= set(entry["badges"])
    server.send(calls(failed=0))
    told = until(lambda: "traffic" in (found := kiali(server))["service cart"] and found)
    cart = told["service cart"]
    flags = (
        "hasRequestRouting",
        "hasFaultInjection",
        "hasRequestTimeout",
        "hasMirroring",
        "hasTrafficShifting",
        "hasCB",
    )
    assert all(cart[flag] for flag in flags)
    assert cart["hasVS"] == {"hostnames": ["cart", "stock"]}
    assert cart["labels"] == {"team": "sales"}
    assert told["service stock"]["hasTCPTrafficShifting"]
    assert told["workload cart-vm"]["isOutOfMesh"]
    assert told["workload cart"]["hasWorkloadEntry"] == [{"name": "cart-vm"}]


@pytest.mark.parametrize("of", ["Service", "Namespace"])
def test_an_annotation_says_by_which_tolerances_a_service_is_judged(server, of):
    annotation = "annotations: {health.kiali.io/rate: '404,1,2,http,inbound'}"
    plain = SERVICES.partition("---")[0]
    annotated = {
        "Service": plain.replace("labels:", f"{annotation}, labels:"),
        "Namespace": f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, {annotation}}}\n",
    }[of]
    server.send(calls(failed=2))
    until(lambda: server.nodes()[CART]["in"])
    server.apply(annotated)
    node = until(lambda: (found := server.nodes()[CART])["health"] == "failure" and found)
    assert node["tolerances"] == "404,1,2,http,inbound"
    assert until(lambda: kiali(server)["service cart"]["healthData"])["status"]["status"] == "Failure"
    server.apply(annotated.replace("404,1,2", "404,99,100") if of == "Namespace" else plain)
    until(lambda: server.nodes()[CART]["health"] == "healthy")
