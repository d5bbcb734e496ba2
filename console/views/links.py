"""Addresses within the console; everything in them is quoted."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from mesh_runtime.api.objects import ObjectKey


def graph(selection: str, **parameters: str) -> str:
    """The graph with a node or an edge chosen."""
    return "/graph?" + urlencode({**parameters, "sel": selection})


def service(namespace: str, name: str) -> str:
    """A service's page."""
    return f"/services/{quote(namespace, safe='')}/{quote(name, safe='')}"


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
