"""The HTTP boundary: what went wrong inside becomes a status and one shape of JSON."""

from __future__ import annotations

import json
import logging
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from mesh_runtime.addresses import NoAddressError
from mesh_runtime.agent.wire import WireError
from mesh_runtime.api.objects import ConfigError
from mesh_runtime.registration import InvalidRegistrationError
from mesh_runtime.store.port import Conflict, StoreError
from wizards.apply import ChangedSinceError, RefusedError, UnknownChangeError
from wizards.intents import WizardError
from wizards.wire import finding_json

log = logging.getLogger(__name__)


class Json(JSONResponse):
    """JSON by orjson; text that is not valid Unicode is escaped instead of refused."""

    def render(self, content: Any) -> bytes:
        """Encode."""
        try:
            return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
        except TypeError:
            return json.dumps(content).encode()


class NotFound(Exception):  # noqa: N818  (what the caller reads: not found)
    """There is no such thing; the message names it."""


class Invalid(Exception):  # noqa: N818
    """The request cannot be meant; the message says what is wrong with it, details where."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details


def refusal(status: int, message: str, **details: object) -> Json:
    """Answer with an error: a sentence under ``error``, its details beside it."""
    return Json({"error": message, **details}, status)


def install(app: FastAPI) -> None:
    """Translate every exception that can leave a handler."""
    handlers: dict[type[Exception], Any] = {
        ConfigError: _config_refused,
        Conflict: _conflict,
        StoreError: _not_found,
        NotFound: _not_found,
        Invalid: _not_meant,
        WireError: _invalid,
        InvalidRegistrationError: _invalid,
        NoAddressError: _unavailable,
        WizardError: _invalid,
        RefusedError: _wizard_refused,
        UnknownChangeError: _not_found,
        ChangedSinceError: _conflict,
        RequestValidationError: _malformed,
        HTTPException: _http,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _config_refused(_: Request, trouble: ConfigError) -> Response:
    problems = [problem._asdict() for problem in trouble.problems]
    return refusal(422, str(trouble), problems=problems)


async def _conflict(_: Request, trouble: Conflict | ChangedSinceError) -> Response:
    revision = trouble.revision
    return refusal(409, str(trouble), object=str(trouble.key), revision=revision.number, author=revision.author)


async def _not_found(_: Request, trouble: Exception) -> Response:
    return refusal(404, str(trouble))


async def _invalid(_: Request, trouble: Exception) -> Response:
    return refusal(422, str(trouble))


async def _not_meant(_: Request, trouble: Invalid) -> Response:
    return refusal(422, str(trouble), **trouble.details)


async def _unavailable(_: Request, trouble: Exception) -> Response:
    return refusal(503, str(trouble))


async def _wizard_refused(_: Request, trouble: RefusedError) -> Response:
    return refusal(422, str(trouble), findings=[finding_json(finding) for finding in trouble.findings])


async def _malformed(_: Request, trouble: RequestValidationError) -> Response:
    problems = [
        {"object": "request", "path": ".".join(str(part) for part in error["loc"]), "message": error["msg"], "fix": ""}
        for error in trouble.errors()
    ]
    return refusal(422, "; ".join(f"{p['path']}: {p['message']}" for p in problems), problems=problems)


async def _http(_: Request, trouble: HTTPException) -> Response:
    return refusal(trouble.status_code, str(trouble.detail))


async def _unexpected(request: Request, trouble: Exception) -> Response:
    log.error("request failed", exc_info=trouble, extra={"path": request.url.path})
    return refusal(500, "this is a fault of the server; its log has the details")
