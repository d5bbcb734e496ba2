"""Which config objects of a Kubernetes cluster say how requests to a service travel; manifests are read as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from collectors.inventory.hosts import covers, full_host
from collectors.inventory.objects import GATEWAY_API, ISTIO, Objects, part, parts
from collectors.inventory.routing import API_ROUTES, CIRCUIT_BREAKER, Routing
from console.views.selecting import Selected
from mesh_runtime.api.objects import ConfigObject

ROUTES = {(ISTIO, "VirtualService"), *((GATEWAY_API, kind) for kind in API_ROUTES)}
KINDS_OF_ROUTES = frozenset({"virtual-service", "gateway-api"})
"""Badges that say no more than that there is a route."""


def naming(objects: Iterable[ConfigObject], host: str) -> Iterator[Selected]:
    """Find the routes that lead to a host, or that its callers take, and the policies for it."""
    for item in sorted(objects, key=lambda one: one.key):
        group_and_kind = item.key.group, item.key.kind
        if group_and_kind in ROUTES:
            yield from _route(item, host)
        elif group_and_kind == (ISTIO, "DestinationRule"):
            yield from _policy(item, host)


def _route(item: ConfigObject, host: str) -> Iterator[Selected]:
    effects = Routing(Objects([item.manifest])).of((host,))
    if effects.badges:
        told = (badge.replace("-", " ") for badge in effects.badges if badge not in KINDS_OF_ROUTES)
        yield Selected(item, "git-branch", ", ".join(told) or "routes")


def _policy(item: ConfigObject, host: str) -> Iterator[Selected]:
    spec = part(item.manifest, "spec")
    if covers(full_host(str(spec.get("host", "")), item.key.namespace), host):
        limits = CIRCUIT_BREAKER in Routing(Objects([item.manifest])).of((host,)).badges
        subsets = ", ".join(str(one.get("name", "?")) for one in parts(spec, "subsets"))
        told = ", ".join(filter(None, (f"subsets {subsets}" if subsets else "", "limits" if limits else "")))
        yield Selected(item, "zap" if limits else "layers", told or "policy")
