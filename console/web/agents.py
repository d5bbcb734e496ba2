"""The agents' API. Served on the Unix socket only: whoever can open it is this user."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.web.api.common import Here
from mesh_runtime.agent import wire
from mesh_runtime.registration import Registration

api = APIRouter()


@api.post(wire.REGISTER)
async def register(here: Here, request: Request) -> Response:
    """Register an instance, or the same one again."""
    return _answer(await here.control.register(wire.decode(Registration, await request.body())))


@api.post(wire.HEARTBEAT)
async def heartbeat(here: Here, request: Request) -> Response:
    """Prolong leases."""
    unknown = await here.control.heartbeat(wire.decode(wire.Heartbeat, await request.body()).ids)
    return _answer(wire.Unknown(unknown=tuple(unknown)))


@api.post(wire.DRAIN)
async def drain(here: Here, request: Request) -> Response:
    """Send no more to an instance."""
    await here.control.drain(wire.decode(wire.Named, await request.body()).id)
    return Response(status_code=204)


@api.post(wire.REMOVE)
async def remove(here: Here, request: Request) -> Response:
    """Forget an instance."""
    await here.control.deregister(wire.decode(wire.Named, await request.body()).id)
    return Response(status_code=204)


def _answer(message: object) -> Response:
    return Response(wire.encode(message), media_type="application/json")
