"""The traffic graph under Kiali's own addresses, with its parameters and in its shape: for whatever reads Kiali's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from fastapi import Request
from starlette.responses import Response

from console.context import Console
from console.moments import moment
from console.web.api.common import Here, described, parameter, router
from console.web.api.projection import LONGEST_S
from console.web.errors import Json, NotFound
from graph.kiali import Node, OptionError, Options, kiali_graph, parse
from graph.kiali.options import APPENDERS, CHOICES, GRAPH_TYPES
from graph.model import GraphType, Inventory, Snapshot
from graph.windows import SHORTEST_S

PREFIX = "/api/namespaces"

KINDS = {"applications": "app", "workloads": "workload", "services": "service"}

BOOLEAN = ("true", "false")
PARAMETERS = (
    parameter("duration", about="How long the window is: 10m if not given.", pattern=r"^(\d{1,6}[smhdw])?$"),
    parameter("queryTime", about="When it ends, in Unix seconds; now if not given.", pattern=r"^\d{0,10}$"),
    parameter("graphType", *GRAPH_TYPES),
    parameter("appenders", about=f"Separated by commas: {', '.join(sorted(APPENDERS))}; all if not given."),
    parameter("boxBy", about="Separated by commas: app, cluster, namespace."),
    parameter("includeIdleEdges", *BOOLEAN),
    parameter("injectServiceNodes", *BOOLEAN),
    parameter("waypoints", *BOOLEAN),
    *(parameter(name, *values) for name, values in CHOICES.items()),
    parameter("aggregate", about="The attribute that aggregate nodes stand for; request_operation if not given."),
    parameter("clusterName"),
    parameter("refreshInterval", about="In milliseconds; the graph is new in any case.", pattern=r"^-?\d{0,6}$"),
    parameter("configVendor", "common"),
    parameter("telemetryVendor", "istio"),
)
NAMESPACES = parameter("namespaces", about="Separated by commas.", required=True)
OF_NAMESPACES = described(NAMESPACES, *PARAMETERS)
OF_NODE = described(*PARAMETERS)

api = router("kiali")


@api.get("/graph", openapi_extra=OF_NAMESPACES)
async def namespaces_graph(here: Here, request: Request) -> Response:
    """Return the graph of ``namespaces``, as Kiali's address of the same name does."""
    return await _answer(here, request.query_params)


@api.get("/{namespace}/{kind}/{name}/graph", openapi_extra=OF_NODE)
async def node_graph(here: Here, request: Request, namespace: str, kind: str, name: str) -> Response:
    """Return what one application, workload or service calls and is called by."""
    return await _answer(here, request.query_params, namespace, _node(kind, name))


@api.get("/{namespace}/applications/{name}/versions/{version}/graph", openapi_extra=OF_NODE)
async def version_graph(here: Here, request: Request, namespace: str, name: str, version: str) -> Response:
    """Return what one version of an application calls and is called by."""
    return await _answer(here, request.query_params, namespace, Node(app=name, version=version))


@api.get("/{namespace}/aggregates/{aggregate}/{value}/graph", openapi_extra=OF_NODE)
async def aggregate_graph(here: Here, request: Request, namespace: str, aggregate: str, value: str) -> Response:
    """Return who asks for one operation, and of whom."""
    node = Node(aggregate=aggregate, aggregate_value=value)
    return await _answer(here, request.query_params, namespace, node)


@api.get("/{namespace}/aggregates/{aggregate}/{value}/{service}/graph", openapi_extra=OF_NODE)
async def aggregate_of_service_graph(
    here: Here, request: Request, *, namespace: str, aggregate: str, value: str, service: str
) -> Response:
    """Return who asks one service for one operation."""
    node = Node(aggregate=aggregate, aggregate_value=value, service=service)
    return await _answer(here, request.query_params, namespace, node)


def _node(kind: str, name: str) -> Node:
    if kind not in KINDS:
        raise NotFound(f"there are no graphs of {kind[:40]}; there are of {', '.join(KINDS)} and aggregates")
    return Node(**{KINDS[kind]: name})


async def _answer(here: Console, params: Mapping[str, str], namespace: str = "", node: Node | None = None) -> Response:
    try:
        options = parse(params, now_s=here.clock.now_ms() // 1000, namespace=namespace, node=node)
    except OptionError as wrong:
        return _refused(400, str(wrong))
    if not SHORTEST_S <= options.duration_s <= LONGEST_S:
        return _refused(400, f"Invalid duration [{options.duration_s}s], must be between {SHORTEST_S}s and 30d")
    finest = await _moment(here, options, GraphType.FINEST)
    inventory = here.live.inventoried
    if hidden := _unknown(options, finest, inventory):
        return _refused(403, f"Requested namespace [{hidden[:80]}] is not accessible.")
    operations = await _moment(here, options, GraphType.OPERATION) if "aggregateNode" in options.appenders else None
    drawn = partial(kiali_graph, finest, operations, inventory, options, tolerances=here.live.tolerances)
    return Json(await asyncio.to_thread(drawn))


async def _moment(here: Console, options: Options, kind: GraphType) -> Snapshot:
    at_ms = 1000 * options.query_time if options.at_an_instant else None
    return await moment(here, kind, options.duration_s, at_ms)


def _unknown(options: Options, finest: Snapshot, inventory: Inventory) -> str:
    """Find a namespace that is asked for and that neither inventory nor traffic know."""
    known = {ref.namespace for ref in inventory.workloads} | {ref.namespace for ref in inventory.services}
    known |= {node.namespace for node in finest.nodes.values()}
    return next((name for name in options.namespaces if name not in known), "")


def _refused(status: int, message: str) -> Response:
    """Refuse in Kiali's shape."""
    return Json({"error": message}, status)
