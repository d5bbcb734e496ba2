"""What is present, missing or stale in every part of the product."""

from __future__ import annotations

from dataclasses import asdict

from starlette.responses import Response

from console.signals import signals as gather
from console.web.answers import signals as answers
from console.web.api.common import Here, router
from console.web.errors import Json

api = router("signals")


@api.get("/signals", response_model=answers.AllSignals)
async def signals(here: Here) -> Response:
    """List every source and sink with its state and counters."""
    return Json({"items": [asdict(signal) for signal in await gather(here)]})
