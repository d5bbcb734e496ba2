"""Objects as a small shop's manifests have them."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]
SIDECAR = {"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "sidecar"]}


def deployment(name: str, *, namespace: str = "shop", version: str = "v1", replicas: int = 1) -> Manifest:
    """A Deployment, as somebody writes it."""
    labels = {"app": name, "version": version}
    containers = [{"name": "app", "image": "registry.k8s.io/pause:3.10", "ports": [{"containerPort": 8080}]}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{name}-{version}", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def pod(name: str, *, namespace: str = "shop", version: str = "v1", sidecar: bool = True, number: int = 0) -> Manifest:
    """A pod, as a Deployment's ReplicaSet makes it."""
    maker = f"{name}-{version}-5d8f9c"
    containers: list[Manifest] = [{"name": "app", "image": "shop"}, *([SIDECAR] if sidecar else [])]
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": maker, "controller": True, "uid": maker}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{maker}-{number}",
            "generateName": f"{maker}-",
            "namespace": namespace,
            "labels": {"app": name, "version": version, "pod-template-hash": "5d8f9c"},
            "ownerReferences": [owner],
        },
        "spec": {"serviceAccountName": name, "nodeName": "node-1", "containers": containers},
        "status": {
            "phase": "Running",
            "podIP": f"10.0.0.{10 + number}",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def service(name: str, *, namespace: str = "shop") -> Manifest:
    """A Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }


def endpoint_slice(service: str, *endpoints: tuple[str, bool], namespace: str = "shop") -> Manifest:
    """An EndpointSlice as somebody writes it: addresses, and whether they are ready."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-abc",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address, ready in endpoints],
    }


def virtual_service(name: str, *, namespace: str = "shop", weight: int = 50) -> Manifest:
    """A VirtualService that shifts traffic."""
    shares = ((f"{name}", weight), (f"{name}-canary", 100 - weight))
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "hosts": [name],
            "http": [{"route": [{"destination": {"host": host}, "weight": share} for host, share in shares]}],
        },
    }


def namespace(name: str = "shop", **labels: str) -> Manifest:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
