"""The demo's faults. Exists only where the demo runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from starlette.responses import Response

from console.web.api.common import Body, Here, router
from console.web.errors import Json, NotFound

api = router("demo")


class Fault(Body):
    """Which fault to have."""

    mode: Literal["slow", "failing", "off"]


@api.get("/demo/fault")
async def fault(here: Here) -> Response:
    """Tell which fault is on."""
    if here.demo is None:
        raise NotFound("the demo does not run here")
    return Json({"mode": here.demo.mode})


@api.post("/demo/fault")
async def set_fault(here: Here, wish: Fault) -> Response:
    """Switch a fault of the catalog's v2 on, or all off."""
    if here.demo is None:
        raise NotFound("the demo does not run here")
    return Json(asdict(await here.demo.fault(wish.mode)))
