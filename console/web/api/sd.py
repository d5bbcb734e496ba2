"""Service discovery for Prometheus servers: the mesh's proxies, and their pages."""

from __future__ import annotations

from typing import Annotated

import aiohttp
from fastapi import Path, Query, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from collectors.dialects import COLLECTED_BY
from collectors.errors import CollectorError
from collectors.inventory import workload_ref
from collectors.scrape import admin_page
from console.federation import OWN
from console.federation.text import PLAIN
from console.web.api.common import Here, also, router
from console.web.errors import Json, NotFound, refusal
from mesh_runtime.registry import Instance

api = router("federation")

TIMEOUT_S = 5.0
PAGES = "/api/v1/stats"


class TargetGroup(BaseModel):
    """Targets with their labels, as Prometheus' HTTP service discovery wants them."""

    targets: list[str]
    labels: dict[str, str]


@api.get("/sd", response_model=list[TargetGroup])
async def targets(here: Here, request: Request) -> Response:
    """List every proxy of the mesh, for `http_sd_configs` of a Prometheus.

    Proxies' admin ports are not on the network: their pages are read through this server, at the address under which
    it was asked. Where visitors need the token, set `authorization: {type: Bearer, credentials_file: DATA/token}` in
    `http_sd_configs` and in the scrape job.
    """
    scheme, address = request.url.scheme, request.url.netloc
    instances = here.registry.current.instances.values()
    return Json([_group(one, scheme, address) for one in instances if one.admin])


@api.get("/stats/{instance:path}", responses=also("text/plain"))
async def stats(
    here: Here,
    instance: Annotated[str, Path(max_length=500)],
    only: Annotated[str, Query(alias="filter", max_length=500)] = "",
) -> Response:
    """Return a proxy's own statistics in Prometheus' text format; `filter` is Envoy's, a regular expression of names."""
    found = here.registry.current.instances.get(instance)
    if found is None or not found.admin:
        raise NotFound(f"there is no proxy {instance!r}; GET /api/v1/sd lists them")
    try:
        page = await admin_page(found.admin, TIMEOUT_S, {"filter": only} if only else {})
    except (CollectorError, aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as trouble:
        return refusal(503, f"{instance} does not answer: {trouble or type(trouble).__name__}")
    return PlainTextResponse(page, headers={"Content-Type": PLAIN, **OWN})


def _group(instance: Instance, scheme: str, address: str) -> dict[str, object]:
    who = workload_ref(instance)
    told = {
        "__scheme__": scheme,
        "__metrics_path__": f"{PAGES}/{instance.id}",
        "cluster": who.cluster,
        "namespace": who.namespace,
        "workload": who.workload,
        "app": who.app,
        "version": who.version,
        "instance": instance.id,
    }
    return {"targets": [address], "labels": {**told, **COLLECTED_BY}}
