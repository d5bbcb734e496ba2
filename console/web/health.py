"""Liveness and readiness."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from console.signals import signals
from console.web.answers import signals as answers
from console.web.api.common import Here
from console.web.errors import Json

api = APIRouter(tags=["health"])


@api.get("/healthz", response_model=answers.Alive)
async def healthz() -> Response:
    """Answer while the loop turns."""
    return Json({"ok": True})


@api.get("/readyz", response_model=answers.Ready, responses={503: {"model": answers.Ready}})
async def readyz(here: Here) -> Response:
    """Answer 200 when every part works, else 503 naming those that do not."""
    failing = {s.name: s.text for s in await signals(here) if not s.ok}
    return Json({"ok": not failing, "failing": failing}, 503 if failing else 200)
