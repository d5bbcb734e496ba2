"""Manifests to begin from, and what is said about them."""

from __future__ import annotations

from typing import Any

from mesh_runtime.api import Config, ConfigError, ConfigObject, parse


def manifest(kind: str, name: str, spec: dict[str, Any] | None = None, namespace: str = "shop") -> dict[str, Any]:
    security = ("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication")
    group = "security.istio.io/v1" if kind in security else "networking.istio.io/v1"
    core = kind in ("Service", "Namespace", "ServiceAccount")
    metadata = {"name": name} if kind == "Namespace" else {"name": name, "namespace": namespace}
    out: dict[str, Any] = {"apiVersion": "v1" if core else group, "kind": kind, "metadata": metadata}
    return out if spec is None else out | {"spec": spec}


def to(host: str, subset: str = "", weight: int | None = None) -> dict[str, Any]:
    destination = {"host": host} | ({"subset": subset} if subset else {})
    return {"destination": destination} | ({} if weight is None else {"weight": weight})


def route(*destinations: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"route": list(destinations)} | fields


def virtual_service(*http: dict[str, Any], name: str = "catalog", **fields: Any) -> dict[str, Any]:
    return manifest("VirtualService", name, {"hosts": ["catalog"], "http": list(http)} | fields)


def rule(*subsets: str, name: str = "catalog", **fields: Any) -> dict[str, Any]:
    listed = [{"name": subset, "labels": {"version": subset}} for subset in subsets]
    return manifest("DestinationRule", name, {"host": "catalog", "subsets": listed} | fields)


def http(**fields: Any) -> dict[str, Any]:
    """A virtual service with one route that has these fields, too."""
    return virtual_service(route(to("catalog"), **fields))


def policy(**fields: Any) -> dict[str, Any]:
    """A destination rule with this traffic policy."""
    return rule(trafficPolicy=fields)


def service(name: str = "catalog", port: int = 80, **fields: Any) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": 8080}]}
    return manifest("Service", name, spec | fields)


def namespace(name: str = "shop", **labels: str) -> ConfigObject:
    out = manifest("Namespace", name)
    out["metadata"]["labels"] = labels
    return parse(out)


def core(kind: str, name: str, namespace: str = "shop", **fields: Any) -> dict[str, Any]:
    """A kind of Kubernetes' own whose fields stand beside its metadata."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, **fields}


def config(*manifests: dict[str, Any]) -> Config:
    objects = [parse(item) for item in manifests]
    return Config(revision=1, objects={item.key: item for item in objects})


def said(value: Any) -> dict[str, str]:
    """What is wrong with a manifest, by path; empty: nothing."""
    try:
        parse(value)
    except ConfigError as error:
        return {problem.path: f"{problem.message}; {problem.fix}" for problem in error.problems}
    return {}
