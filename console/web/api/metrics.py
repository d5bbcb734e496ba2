"""What Prometheus servers collect from us: the graph in Istio's standard metrics, and how meshscope is doing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from console.federation import OWN
from console.federation.text import OPENMETRICS, PLAIN
from console.signals import signals
from console.web.api.common import Here, also

api = APIRouter(tags=["federation"])


@api.get("/metrics", responses=also("text/plain", "application/openmetrics-text"))
async def metrics(here: Here, request: Request) -> Response:
    """Return the whole graph as Istio's standard metrics, with meshscope's own, for Prometheus to scrape.

    Counters begin with the server and never fall. Each series carries `collected_by="meshscope"`: a Prometheus that
    meshscope reads may scrape this page, and nothing is counted twice. Where visitors need the token, set it in the
    scrape job as `authorization: {type: Bearer, credentials_file: DATA/token}`; the job's target must be a name that
    `web.allowed_hosts` lists.
    """
    openmetrics = "application/openmetrics-text" in request.headers.get("accept", "")
    page = await here.federation.page(
        await signals(here), [poll.state for poll in here.sources], openmetrics=openmetrics
    )
    return PlainTextResponse(page, headers={"Content-Type": OPENMETRICS if openmetrics else PLAIN, **OWN})
