"""Namespaces: how well they are."""

from __future__ import annotations

from starlette.responses import Response

from console.moments import moment
from console.web.answers.shape import Answer
from console.web.api.common import Here, router
from console.web.api.projection import At, Window, past, window_of
from console.web.errors import Json
from graph.health_of_namespaces import TYPES, namespace_healths, namespace_json
from graph.model import GraphType, Health

api = router("graph")


class Namespace(Answer):
    """One namespace: the worst health of all in it, and per type of graph how many nodes are how well."""

    cluster: str
    namespace: str
    health: Health
    items: dict[GraphType, dict[Health, int]]


class Namespaces(Answer):
    """All namespaces, those in the greatest trouble first."""

    items: list[Namespace]


@api.get("/namespaces", response_model=Namespaces)
async def namespaces(here: Here, *, window: Window = "60", at: At = "") -> Response:
    """List the namespaces by health: the worst of their apps, services and workloads, and how many are how well."""
    at_ms = past(here, at) if at else None
    snapshots = [await moment(here, kind, window_of(window), at_ms) for kind in TYPES]
    return Json({"items": [namespace_json(one) for one in namespace_healths(snapshots)]})
