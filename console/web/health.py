"""Liveness, readiness, and the console's own metrics."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from console.signals import signals
from console.web.api import answers
from console.web.api.common import Here
from console.web.errors import Json

api = APIRouter(tags=["health"])

_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_]+")


@api.get("/healthz", response_model=answers.Alive)
async def healthz() -> Response:
    """Answer while the loop turns."""
    return Json({"ok": True})


@api.get("/readyz", response_model=answers.Ready, responses={503: {"model": answers.Ready}})
async def readyz(here: Here) -> Response:
    """Answer 200 when every part works, else 503 naming those that do not."""
    failing = {s.name: s.text for s in await signals(here) if not s.ok}
    return Json({"ok": not failing, "failing": failing}, 503 if failing else 200)


@api.get("/metrics", response_class=PlainTextResponse)
async def metrics(here: Here) -> Response:
    """Return the counters of every part in Prometheus' text format."""
    lines: list[str] = []
    for signal in await signals(here):
        part = _NOT_A_NAME.sub("_", signal.name)
        for name, value in signal.counters.items():
            metric = f"meshscope_{part}_{_NOT_A_NAME.sub('_', name)}"
            lines += (f"# TYPE {metric} untyped", f"{metric} {value:g}")
        lines += (f"# TYPE meshscope_{part}_up gauge", f"meshscope_{part}_up {int(signal.ok)}")
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
