"""Kiali's own golden graphs: a real Prometheus with its tests' series, read by our source, drawn in Kiali's shape."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from collectors.prometheus.config import PrometheusConfig
from collectors.prometheus.history import PrometheusHistory
from collectors.prometheus.source import PrometheusSource
from console.clock import SystemClock
from graph.kiali import DIFFERENCES, Node, kiali_graph, parse
from graph.model import GraphType, Inventory, NodeKind, Snapshot, Workload, WorkloadRef
from tests.conformance.backfilled import STEP_S, Counter, page, prometheus
from tests.conformance.outcomes import Outcome, Verdict, chosen

NODE_GRAPH = re.compile(
    r"/api/namespaces/(?P<namespace>[^/]+)/(?P<kind>applications|workloads|services)/(?P<name>[^/]+)"
    r"(?:/versions/(?P<version>[^/]+))?/graph"
)
KINDS = {"applications": "app", "workloads": "workload", "services": "service"}
WAYPOINT = re.compile(r"(\S+) \(labels gateway\.istio\.io/managed")
HISTORICAL = ("fromEdge",)
"""Parts of an edge that are told differently on purpose: :data:`graph.kiali.DIFFERENCES`."""

Data = dict[str, Any]


def run(folder: Path, only: Sequence[str]) -> Iterator[Outcome]:
    """Draw each case's graph and compare it with Kiali's, field by field."""
    cases = [case for case in json.loads((folder / "cases.json").read_text())["cases"] if chosen(case["case"], only)]
    print("deliberate differences:", *(f"- {what}: {reason}" for what, reason in DIFFERENCES), sep="\n  ")
    print()
    if cases:
        with tempfile.TemporaryDirectory() as place, prometheus(Path(place), _page(cases)) as url:
            for case in cases:
                yield _judged(folder, case, url)


def _page(cases: Sequence[Data]) -> str:
    counters = [
        one._replace(labels={**one.labels, "case": case["case"], "instance": _instance(one.labels)})
        for case in cases
        for one in _series(case)
    ]
    until = {_until(case) for case in cases}
    assert len(until) == 1, "the cases are of one instant"
    return page(counters, max(_window(case) for case in cases), until.pop())


def _series(case: Data) -> Iterator[Counter]:
    """The case's series; where Kiali's mock answers with some that its own query excludes, what it answers."""
    if not case.get("raw_series_unselectable"):
        yield from (Counter(one["metric"], one["labels"], one["rate_per_s"]) for one in case["raw_series"])
        return
    answered: dict[tuple[str, frozenset[tuple[str, str]]], Counter] = {}
    for query in case["prometheus"]:
        parsed = query["parsed"]
        # "waypoint|source": a proxy that is no waypoint
        reporters = [one["value"].rpartition("|")[2] for one in parsed["matchers"] if one["label"] == "reporter"]
        for one in query["result"]:
            labels = {**one["metric"], "reporter": reporters[0]}
            counter = Counter(parsed["metric"], labels, float(one["value"]))
            answered.setdefault((counter.metric, frozenset(labels.items())), counter)
    yield from answered.values()


def _instance(labels: Mapping[str, str]) -> str:
    return f"{labels.get('reporter', '')}.{labels.get('app', 'proxy')}"


def _until(case: Data) -> int:
    return int(case["params"]["queryTime"])


def _window(case: Data) -> int:
    return max(query["parsed"]["window_s"] for query in case["prometheus"])


def _judged(folder: Path, case: Data, url: str) -> Outcome:
    finest = asyncio.run(_snapshot(case, url))
    drawn = _draw(case, finest)
    wanted = json.loads((folder / case["expected_file"]).read_text())
    differences = compare(drawn, wanted)
    verdict = Verdict.FAILED if differences else Verdict.PASSED
    counts = f"{len(drawn['elements']['nodes'])} nodes, {len(drawn['elements']['edges'])} edges"
    reason = f"{counts}; {len(differences)} differ: {differences[0]}" if differences else counts
    return Outcome(case["case"], case["graphType"], verdict, reason)


async def _snapshot(case: Data, url: str) -> Snapshot:
    config = PrometheusConfig(
        url=url,
        selector=f'case="{case["case"]}"',
        dialects=("istio",),
        cluster="unknown",
        cluster_label="",
        scrape_interval_s=STEP_S,
    )
    clock = SystemClock()
    source = PrometheusSource(config, clock)
    try:
        history = PrometheusHistory(source, clock, lambda: _inventory(case))
        found = await history.snapshot(GraphType.FINEST, _window(case), 1000 * _until(case))
    finally:
        await source.close()
    assert found is not None, "Prometheus holds the series"
    return found


def _inventory(case: Data) -> Inventory:
    """What the tests' Kubernetes holds that matters to a graph: waypoints."""
    names = [found[1] for pod in case["environment"].get("pods", ()) if (found := WAYPOINT.match(pod))]
    refs = [
        WorkloadRef(cluster, namespace, name, name, "")
        for cluster, namespaces in case["environment"]["namespaces"].items()
        for namespace in namespaces
        for name in names
    ]
    return Inventory(
        workloads={ref: Workload(ref=ref, kind=NodeKind.WORKLOAD, replicas=1, badges=("waypoint",)) for ref in refs}
    )


def _draw(case: Data, finest: Snapshot) -> Data:
    params = dict(case["params"])
    if case["ambient_rates"] == "none":
        params["ambientTraffic"] = "none"
    found = NODE_GRAPH.fullmatch(case["endpoint"])
    node = Node(**{KINDS[found["kind"]]: found["name"]}, version=found["version"] or "") if found else None
    options = parse(params, now_s=_until(case), namespace=found["namespace"] if found else "", node=node)
    places = {
        (cluster, namespace)
        for cluster, namespaces in case["environment"]["namespaces"].items()
        for namespace in namespaces
    }
    return kiali_graph(finest, None, _inventory(case), options, places=places)


def compare(drawn: Data, wanted: Data) -> list[str]:
    """Name what differs: missing and further nodes and edges, and every field of those that both have."""
    found: list[str] = []
    ours, theirs = _by_name(drawn), _by_name(wanted)
    found += [f"missing: {name}" for name in theirs if name not in ours]
    found += [f"unexpected: {name}" for name in ours if name not in theirs]
    for name in theirs.keys() & ours.keys():
        found += [f"{name}: {difference}" for difference in _different(ours[name], theirs[name])]
    found += [
        f"{field}: {drawn[field]} instead of {wanted[field]}"
        for field in ("timestamp", "duration", "graphType")
        if drawn[field] != wanted[field]
    ]
    return found


def _by_name(graph: Data) -> dict[str, Data]:
    nodes = {node["data"]["id"]: node["data"] for node in graph["elements"]["nodes"]}
    names = {id_: _name(node) for id_, node in nodes.items()}
    edges = [edge["data"] for edge in graph["elements"]["edges"]]
    return {names[id_]: node for id_, node in nodes.items()} | {
        f"{names[edge['source']]} > {names[edge['target']]} {edge['traffic'].get('protocol', '')}": edge
        for edge in edges
    }


def _name(node: Data) -> str:
    fields = ("cluster", "namespace", "workload", "app", "version", "service", "isBox")
    return f"{node['nodeType']}({', '.join(node[field] for field in fields if node.get(field))})"


def _different(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in sorted((ours.keys() | theirs.keys()) - set(HISTORICAL)):
            yield from _different(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _different(one, other, f"{path}[{number}]")
    elif ours != theirs and not _close(ours, theirs):
        yield f"{path} is {ours!r} instead of {theirs!r}"


def _close(ours: Any, theirs: Any) -> bool:
    """Whether two numbers written with as many digits differ by at most one in the last."""
    if not (isinstance(ours, str) and isinstance(theirs, str)) or "." not in theirs:
        return False
    digits = len(theirs.partition(".")[2])
    if len(ours.partition(".")[2]) != digits:
        return False
    try:
        return abs(float(ours) - float(theirs)) < 1.5 * 10**-digits
    except ValueError:
        return False
