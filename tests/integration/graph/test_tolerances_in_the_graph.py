"""Tolerances out of the settings, in a running server's graphs and namespaces."""

from otlp_calls import calls
from up_process import until, up

CART = "svc:Kubernetes/shop/cart"
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
"""
SETTINGS = """
[[health.rate]]
namespace = "shop"
kind = "service"
[[health.rate.tolerance]]
code = "404"
protocol = "http"
degraded = 1
failure = 2
"""


def test_services_are_judged_by_the_settings_and_a_namespace_by_its_worst(tmp_path):
    with up(tmp_path, settings=SETTINGS) as server:
        server.apply(SERVICE)
        server.send(calls(failed=1))
        until(lambda: server.nodes()[CART]["health"] == "failure")
        (shop,) = until(lambda: [one for one in server.get("v1/namespaces")["items"] if one["namespace"] == "shop"])
        assert shop["health"] == "failure"
        assert shop["items"]["service"]["failure"] == 1
        assert shop["items"]["workload"] == {"failure": 0, "degraded": 0, "not_ready": 0, "healthy": 2, "idle": 0}
        nodes = server.get("namespaces/graph", namespaces="shop", duration="60s", graphType="service")["elements"][
            "nodes"
        ]
        (cart,) = (one["data"] for one in nodes if one["data"].get("service") == "cart")
        assert cart["healthData"]["status"]["status"] == "Failure"
