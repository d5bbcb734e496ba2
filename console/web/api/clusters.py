"""Kubernetes clusters: which there are, what they hold, and what their mesh is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from starlette.responses import Response

from console.clusters import Cluster, object_of
from console.context import Console
from console.web.answers import clusters as answers
from console.web.api.common import Here, also, rfc3339, router
from console.web.errors import Json, NotFound
from graph.model import Service, Workload
from mesh_runtime import api as config_api
from mesh_runtime.api.objects import ConfigObject

api = router("clusters")

Name = Annotated[str, Path(max_length=253)]
Wanted = Annotated[str, Query(max_length=253)]


@api.get("/clusters", response_model=answers.Clusters)
async def clusters(here: Here) -> Response:
    """List the clusters that are followed."""
    return Json({"items": [_cluster_json(one) for one in here.clusters.all]})


@api.get("/clusters/{cluster}/inventory", response_model=answers.Inventory)
async def inventory(here: Here, cluster: Name, namespace: Wanted = "") -> Response:
    """List what exists in a cluster, traffic or not: workloads, and services with the workloads behind them."""
    known = _find(here, cluster).inventory
    return Json(
        {
            "workloads": [_workload_json(w) for w in known.workloads.values() if namespace in {"", w.ref.namespace}],
            "services": [_service_json(s) for s in known.services.values() if namespace in {"", s.ref.namespace}],
        }
    )


@api.get("/clusters/{cluster}/config", response_model=answers.ClusterObjects, responses=also("application/yaml"))
async def config(
    here: Here,
    cluster: Name,
    *,
    kind: Wanted = "",
    namespace: Wanted = "",
    name: Wanted = "",
    format: Literal["json", "yaml"] = "json",  # noqa: A002
) -> Response:
    """List the objects of a cluster's mesh, its Services and Namespaces; ``kind`` in any case."""
    found = list(_matching(_find(here, cluster), kind.lower(), namespace, name))
    if format == "yaml":
        return Response(config_api.dump(found), media_type="application/yaml")
    return Json({"items": [one.manifest for one in found]})


def _find(here: Console, name: str) -> Cluster:
    cluster = here.clusters.find(name)
    if cluster is None:
        names = ", ".join(one.name for one in here.clusters.all)
        raise NotFound(f"there is no cluster {name!r}; there are {names}" if names else f"there is no cluster {name!r}")
    return cluster


def _matching(cluster: Cluster, kind: str, namespace: str, name: str) -> Iterator[ConfigObject]:
    for key in sorted(cluster.declared):
        if kind in {"", key.kind.lower()} and namespace in {"", key.namespace} and name in {"", key.name}:
            yield object_of(cluster.declared[key])


def _cluster_json(one: Cluster) -> dict[str, Any]:
    state = one.state
    return {
        "name": one.name,
        "context": one.config.context,
        "server": state.server,
        "error": state.error,
        "since": rfc3339(state.since_ms),
        "kinds": state.kinds,
        "absent": state.absent,
        "forbidden": [{"group": kind.group, "resource": kind.plural} for kind in state.forbidden],
        "workloads": len(one.inventory.workloads),
        "services": len(one.inventory.services),
        "objects": len(one.declared),
    }


def _workload_json(one: Workload) -> dict[str, Any]:
    return one.ref._asdict() | {
        "kind": one.kind,
        "replicas": one.replicas,
        "available": one.available,
        "desired": one.desired,
        "serviceAccount": one.service_account,
        "labels": one.labels,
        "annotations": one.annotations,
        "badges": one.badges,
        "hosts": one.hosts,
        "entries": one.entries,
    }


def _service_json(one: Service) -> dict[str, Any]:
    return one.ref._asdict() | {
        "kind": one.kind,
        "hosts": one.hosts,
        "workloads": [ref._asdict() for ref in one.workloads],
        "ports": {str(number): protocol for number, protocol in one.ports.items()},
        "labels": one.labels,
        "annotations": one.annotations,
        "badges": one.badges,
        "routes": one.routes,
        "addresses": one.addresses,
        "entry": one.entry,
        "location": one.location,
        "endpoints": one.endpoints,
        "ready": one.ready,
    }
