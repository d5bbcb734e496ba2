"""Addresses within the console; everything in them is quoted."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from mesh_runtime.api.objects import ObjectKey


def graph(selection: str, **parameters: str) -> str:
    """The graph with a node or an edge chosen."""
    return "/graph?" + urlencode({**parameters, "sel": selection})


def on_graph(trace: str, at_ms: int) -> str:
    """The graph with a trace's critical path lit, at a moment; 0: now."""
    return "/graph?" + urlencode({"trace": trace, **({"at": at_ms} if at_ms else {})})


def service(namespace: str, name: str, cluster: str = "", **parameters: str) -> str:
    """A service's page; *cluster* where namespace and name alone do not say which one."""
    return _named("services", namespace, name, {"cluster": cluster, **parameters})


def workload(namespace: str, name: str, cluster: str = "", **parameters: str) -> str:
    """A workload's page; *cluster* where namespace and name alone do not say which one."""
    return _named("workloads", namespace, name, {"cluster": cluster, **parameters})


def _named(page: str, namespace: str, name: str, parameters: Mapping[str, str]) -> str:
    query = urlencode({key: value for key, value in parameters.items() if value})
    return f"/{page}/{quote(namespace, safe='')}/{quote(name, safe='')}" + (f"?{query}" if query else "")


def traces(**filters: str) -> str:
    """The list of traces, filtered; empty filters are left out."""
    return "/traces?" + urlencode({name: value for name, value in filters.items() if value})


def logs(**filters: str) -> str:
    """Log lines, filtered; empty filters are left out."""
    return "/logs?" + urlencode({name: value for name, value in filters.items() if value})


def tap(**filters: str) -> str:
    """Live requests, filtered; ends as ``name.namespace``; empty filters are left out."""
    return "/tap?" + urlencode({name: value for name, value in filters.items() if value})


def declare(namespace: str) -> str:
    """Where a host outside the mesh is declared."""
    return "/config/new/ServiceEntry?" + urlencode({"namespace": namespace} if namespace else {})


def proxy(instance: str) -> str:
    """A proxy's page, by its instance id."""
    return f"/proxies/{quote(instance)}"


def given(instance: str, what: str) -> str:
    """Where it is shown what a proxy was given, by kind: ``clusters``, ``routes``."""
    return f"{proxy(instance)}/{what}"


def certificate(instance: str) -> str:
    """The page of a proxy's certificate, by its instance id."""
    return f"/certificates/{quote(instance)}"


def revision(number: int) -> str:
    """A revision's page."""
    return f"/config/history/{number}"


def config(key: ObjectKey, cluster: str = "") -> str:
    """An object's page: of the bundled mesh, or of a Kubernetes cluster, where kinds of two APIs may share a name."""
    place = "?" + urlencode({"cluster": cluster, "group": key.group}) if cluster else ""
    return f"/config/{key.kind}/{key.namespace or '_'}/{key.name}{place}"
