"""Callers that send no spans, in a running server's graph: named by how they introduce themselves."""

import time

from otlp_fakes import request, resource, span
from up_process import until

AGENTS = {
    "kube-probe/1.31": ("probe:Kubernetes/kube-probe", "probe"),
    "Prometheus/3.5.0": ("scraper:Kubernetes/Prometheus", "scraper"),
    "python-requests/2.32": ("unknown:Kubernetes", "unknown"),
}


def test_probes_and_scrapers_are_nodes_of_their_own_beside_unlabelled_callers(server):
    now_ns = time.time_ns()
    roots = [
        span("server", 1, trace=now_ns + 10 * number + copy, start_ns=now_ns, name="GET /x", user_agent__original=agent)
        for number, agent in enumerate(AGENTS)
        for copy in range(number + 1)
    ]
    server.send(request((resource("desk", namespace="lobby"), roots)))

    def counted():
        return {edge["source"]: edge["requests"] for edge in server.edges(namespaces="lobby").values()}

    sent = {id_: number + 1 for number, (id_, _) in enumerate(AGENTS.values())}
    until(lambda: counted() == sent, tell=counted)
    nodes = server.nodes("workload")
    assert {id_: nodes[id_]["kind"] for id_ in sent} == dict(AGENTS.values())
    assert "introduces itself as kube-probe" in nodes["probe:Kubernetes/kube-probe"]["reason"]
    drawn = server.get("namespaces/graph", namespaces="lobby", duration="60s", graphType="workload", appenders="")[
        "elements"
    ]
    assert [one["data"]["nodeType"] for one in drawn["nodes"]].count("unknown") == 1
    (edge,) = (one["data"] for one in drawn["edges"])
    assert float(edge["traffic"]["rates"]["http"]) > 0
