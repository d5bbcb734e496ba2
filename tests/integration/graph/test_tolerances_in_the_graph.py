"""Tolerances out of the settings, in a running server's graphs and namespaces."""

from otlp_calls import calls
from up_process import until

CART = "svc:Kubernetes/judged/cart"
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: judged}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
"""


def test_services_are_judged_by_the_settings_and_a_namespace_by_its_worst(server):
    server.apply(SERVICE)
    server.send(calls(failed=1, namespace="judged"))
    until(lambda: server.nodes().get(CART, {}).get("health") == "failure")

    def judged():
        return next(one for one in server.get("v1/namespaces")["items"] if one["namespace"] == "judged")

    until(lambda: judged()["health"] == "failure", tell=judged)
    assert judged()["items"]["service"]["failure"] == 1
    assert judged()["items"]["workload"] == {"failure": 0, "degraded": 0, "not_ready": 0, "healthy": 2, "idle": 0}
    drawn = server.get("namespaces/graph", namespaces="judged", duration="60s", graphType="service")["elements"]
    (cart,) = (one["data"] for one in drawn["nodes"] if one["data"].get("service") == "cart")
    assert cart["healthData"]["status"]["status"] == "Failure"
