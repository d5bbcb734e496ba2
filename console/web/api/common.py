"""What the API's modules share: the console at hand, strict JSON in, instants and durations in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection
from starlette.responses import Response

from console import clock
from console.context import Console
from console.web.errors import Invalid
from mesh_runtime.api.objects import ObjectKey
from mesh_runtime.control import Settled
from mesh_runtime.store.port import Revision

MANY = 2**53
"""Larger integers have no exact JSON number."""

_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,3})?(?:ms|[smhdwy]))+|\d{1,9}(?:\.\d{1,3})?")
_PART = re.compile(r"([\d.]+)(ms|[smhdwy])?")
_UNITS = {"ms": 0.001, "s": 1, None: 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}

_UNIX_SECONDS = 10**11
"""Smaller instants are seconds: in milliseconds they would lie before March 1973."""


def console_of(connection: HTTPConnection) -> Console:
    """Find the console that this application serves."""
    console: Console = connection.app.state.console
    return console


Here = Annotated[Console, Depends(console_of)]


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Decode strictly: valid UTF-8, no lone surrogates, no NaN, bounded depth."""
        return orjson.loads(await self.body())


class _StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Hand a strict request to the handler."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


def router(tag: str, responses: dict[int | str, dict[str, Any]] | None = None) -> APIRouter:
    """Make an empty group of routes."""
    return APIRouter(tags=[tag], route_class=_StrictRoute, responses=responses)


def also(*media: str) -> dict[int | str, dict[str, Any]]:
    """Describe further forms that a route's answer can have, for ``responses``."""
    return {200: {"content": {one: {"schema": {"type": "string"}} for one in media}}}


def described(*parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Describe query parameters that a handler reads by itself, for ``openapi_extra``."""
    return {"parameters": [{"in": "query", **parameter} for parameter in parameters]}


def parameter(name: str, *values: str, about: str = "", required: bool = False, **schema: Any) -> dict[str, Any]:
    """Describe one of them: text, or one of some values, or what its JSON schema says."""
    return {
        "name": name,
        "description": about,
        "required": required,
        "schema": {"type": "string", **({"enum": list(values)} if values else {}), **schema},
    }


class Body(BaseModel):
    """A request's body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", str_max_length=1024 * 1024)


def seconds(text: str) -> float:
    """Read ``60``, ``90s``, ``5m``, ``1h30m`` or ``30d``, as Prometheus does."""
    if _DURATION.fullmatch(text) is None:
        raise Invalid(f"{text[:40]!r} is not a duration; write it as 60s, 5m, 1h30m or 30d")
    return sum(float(number) * _UNITS[unit or None] for number, unit in _PART.findall(text))


def instant(text: str, now_ms: int) -> int:
    """Read an RFC 3339 instant, Unix seconds or milliseconds, ``now``, or how long ago, as in ``-10m``."""
    ago = text.removeprefix("now")
    if text and not ago:
        return now_ms
    if ago.startswith("-"):
        return now_ms - int(seconds(ago[1:]) * 1000)
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
        unix = float(text)
        return int(unix * 1000 if unix < _UNIX_SECONDS else unix)
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError) as trouble:
        raise Invalid(
            f"{text[:40]!r} is no instant; write it as 2026-11-20T20:00:00Z, Unix seconds or milliseconds, or -10m"
        ) from trouble


def rfc3339(at_ms: int) -> str:
    """Write an instant with milliseconds; empty for 0."""
    return clock.rfc3339(at_ms) if at_ms else ""


def key_json(key: ObjectKey) -> dict[str, str]:
    """Name an object."""
    return {"group": key.group, "kind": key.kind, "namespace": key.namespace, "name": key.name}


def revision_json(revision: Revision) -> dict[str, Any]:
    """One line of the history."""
    return {
        "revision": revision.number,
        "at": rfc3339(revision.at_ms),
        "author": revision.author,
        "reason": revision.reason,
        "changed": [key_json(key) for key in revision.changed],
    }


def settled_json(settled: Settled) -> dict[str, Any]:
    """Who took a revision, who is still to, who refused it."""
    return asdict(settled)
