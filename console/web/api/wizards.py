"""The wizards over HTTP. Nothing is kept between requests: what a plan looked at comes back with the apply."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from console.web.answers import wizards as answers
from console.web.api.common import Body, Here, rfc3339, router
from console.web.errors import Json
from wizards.intents import MESH
from wizards.ports import Applied
from wizards.wire import applied_json, intent_of, plan_json, planned_on_of, situation_json

api = router("wizards")

Name = Annotated[str, Query(max_length=253)]


class Shift(Body):
    """How requests for a service are to be shared, in percent by subset."""

    namespace: str = Field(max_length=63)
    service: str = Field(max_length=63)
    gateway: str = Field(default=MESH, max_length=130)
    weights: dict[str, int] = Field(max_length=100)
    versions: dict[str, str] = Field(default={}, max_length=100)


class ApplyShift(Shift):
    """The same, to be done."""

    planned_on: list[Any] | None = Field(default=None, alias="plannedOn", max_length=1000)
    """What the plan said: objects changed since are a conflict. Absent: planned now."""
    author: str = Field(default="", max_length=200)
    reason: str = Field(default="", max_length=2000)


class Undo(Body):
    """Which change to take back."""

    id: str = Field(max_length=100)
    author: str = Field(default="", max_length=200)
    reason: str = Field(default="", max_length=2000)


@api.get("/wizards/traffic-shifting", response_model=answers.Situation)
async def situation(here: Here, namespace: Name, service: Name, gateway: Name = MESH) -> Response:
    """Tell how a service's requests are shared now, and among what they could be."""
    return Json(situation_json(here.wizards.situation(namespace, service, gateway)))


@api.post("/wizards/traffic-shifting/plan", response_model=answers.Plan)
async def plan(here: Here, shift: Shift) -> Response:
    """Think a change through: its diff, what the checks found, whether it can be applied."""
    return Json(plan_json(await here.wizards.plan(intent_of(shift.model_dump()))))


@api.post("/wizards/traffic-shifting/apply", response_model=answers.Applied)
async def apply(here: Here, shift: ApplyShift) -> Response:
    """Make the change, wait for the proxies, read it back."""
    intent = intent_of(shift.model_dump(exclude={"planned_on", "author", "reason"}))
    made = await here.wizards.plan(intent)
    if shift.planned_on is not None:
        made = replace(made, planned_on=planned_on_of(shift.planned_on))
    return Json(_shown(await here.wizards.apply(made, author=shift.author, reason=shift.reason)))


@api.post("/wizards/traffic-shifting/undo", response_model=answers.Applied)
async def undo(here: Here, wish: Undo) -> Response:
    """Put everything that a change touched back to exactly what it was."""
    return Json(_shown(await here.wizards.undo(wish.id, author=wish.author, reason=wish.reason)))


@api.get("/wizards/changes", response_model=answers.AppliedChanges)
async def changes(here: Here, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Response:
    """List what wizards did, newest first."""
    return Json({"items": [_shown(applied) for applied in await here.wizards.recent(limit)]})


def _shown(applied: Applied) -> dict[str, Any]:
    fields = applied_json(applied)
    return {"at": rfc3339(fields.pop("at_ms")), **fields}
