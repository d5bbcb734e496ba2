"""Questions about the graph's shape and flow: what breaks with a node, what is slow, what stands alone.

Each is asked of a projection as ``/graph`` shows it, by the same parameters ``type``, ``window``, ``namespaces``, ``at``.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from console.moments import moment
from console.web.answers import analysis as answers
from console.web.api.common import Here, router
from console.web.api.projection import Projected, Viewed, named, names_in
from console.web.errors import Json
from graph.analysis.words import Quantile
from graph.latency import latencies
from graph.model import GraphType, Snapshot
from graph.signals import QUANTILES

# The questions are imported where they are asked: networkx costs the server's start half a second.

api = router("analysis")

Names = Annotated[
    list[Annotated[str, Query(max_length=300)]],
    Query(max_length=50, description="id or name of what fails (cart, shop/cart, cart v2); several fail together"),
]


@api.get("/analysis/blast-radius", response_model=answers.BlastRadius)
async def blast_radius(snapshot: Projected, node: Names) -> Response:
    """Say what happens if a node fails: who calls it, and how much of the traffic that enters the mesh needs it.

    ``share`` (0-1) is given as ``likely`` between ``least`` and ``most``, for all traffic, for each of the ``entries``
    at which it begins, and for each of the ``callers``, of the requests that these get. ``starved``: whom no traffic
    reaches any more.
    """
    from graph.analysis import blast, wire  # noqa: PLC0415

    failed = frozenset().union(*(named(snapshot, name) for name in node))
    found = await asyncio.to_thread(blast.blast_radius, snapshot, failed)
    return _answer(snapshot, wire.blast_json(found, snapshot))


@api.get("/analysis/single-points", response_model=answers.SinglePoints)
async def single_points(snapshot: Projected) -> Response:
    """List the single points of failure, the one that most of the entering traffic needs first.

    ``weaknesses``: ``one_replica``, ``only_way`` (it dominates the nodes in ``cutOff``), ``bridge`` (an articulation
    point), ``no_stand_in`` (its replicas are not known, and nobody else answers for its service).
    """
    from graph.analysis import single_points, wire  # noqa: PLC0415

    found = await asyncio.to_thread(single_points.single_points, snapshot)
    return _answer(snapshot, {"items": [wire.single_point_json(one, snapshot) for one in found]})


@api.get("/analysis/cycles", response_model=answers.Cycles)
async def cycles(snapshot: Projected) -> Response:
    """List the cycles of calls (strongly connected components), the busiest first.

    ``way`` is a shortest way around, from a node back to itself.
    """
    from graph.analysis import cycles, wire  # noqa: PLC0415

    found = await asyncio.to_thread(cycles.cycles, snapshot)
    return _answer(snapshot, {"items": [wire.cycle_json(one, snapshot) for one in found]})


@api.get("/analysis/critical-paths", response_model=answers.Chains)
async def critical_paths(
    snapshot: Projected, quantile: Quantile = Quantile.P95, limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> Response:
    """List the slowest chains of calls from where traffic enters, the slowest first.

    A chain follows at each node the call that most time per request goes to, and is as slow as its first step: ``ms``
    of a step holds what comes after it; ``addedMs`` is what the step itself adds to a request of the chain. ``share``
    (0-1) is the part of the chain's requests that comes so far. The path of one trace: ``/traces/{id}/critical-path``.
    """
    from graph.analysis import chains, wire  # noqa: PLC0415

    found = await asyncio.to_thread(chains.slowest_chains, snapshot, quantile, limit)
    return _answer(snapshot, {"quantile": quantile, "items": [wire.chain_json(one, snapshot) for one in found]})


@api.get("/analysis/latency", response_model=answers.Latencies)
async def latency(
    here: Here,
    snapshot: Viewed,
    shut: Annotated[str, Query(max_length=8000, description="ids of groups, as /graph gives them, by commas")],
) -> Response:
    """Say how long the requests took that groups exchange with others: the quantiles of all, not of each edge's.

    Each item sums up the ``edges`` between two ends, of which at least one is a group in ``shut``. What ``hide`` hides
    is left out.
    """
    shown = snapshot.snapshot
    finest = await moment(
        here, GraphType.FINEST, shown.window_s, shown.at_ms if shown.at_ms < here.live.at_ms else None
    )
    found = await asyncio.to_thread(latencies, shown, finest, names_in(shut), QUANTILES)
    items = [
        {
            "source": one.source,
            "target": one.target,
            "protocol": one.protocol,
            "edges": [edge.id for edge in one.edges],
            **dict(zip(("p50", "p95", "p99"), (round(value, 3) for value in took), strict=True)),
        }
        for one, took in found
        if took
    ]
    return _answer(shown, {"items": items})


def _answer(snapshot: Snapshot, found: dict[str, Any]) -> Response:
    return Json({"graph": snapshot.type, "window": snapshot.window_s, "at": snapshot.at_ms, **found})
