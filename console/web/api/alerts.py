"""Alerts, their rules, and the log of their deliveries."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from console.state.deliveries import Delivery, State
from console.web.answers import alerts as answers
from console.web.api.common import MANY, Here, rfc3339, router
from console.web.errors import Json, NotFound
from graph.alerts import Alert

api = router("alerts")

Limit = Annotated[int, Query(ge=1, le=1000)]


@api.get("/alerts", response_model=answers.Alerts)
async def alerts(here: Here, limit: Limit = 100) -> Response:
    """List what fires, what is about to, and what began and ended before."""
    events = [
        {"id": e.id, "at": rfc3339(e.at_ms), "status": e.status, "alert": alert_json(e.alert)}
        for e in await here.alerts.events(limit=limit)
    ]
    firing = [alert_json(alert) for alert in here.alerts.firing]
    return Json({"firing": firing, "pending": [alert_json(a) for a in here.alerts.pending], "events": events})


@api.get("/alert-rules", response_model=answers.Rules)
async def rules(here: Here) -> Response:
    """List the rules."""
    return Json({"items": [asdict(rule) for rule in here.alerts.rules]})


@api.get("/deliveries", response_model=answers.Deliveries)
async def deliveries(here: Here, limit: Limit = 100, state: State | None = None) -> Response:
    """List deliveries, newest first, and the endpoints that are delivered to no more."""
    log = here.deliveries
    items = [delivery_json(delivery) for delivery in await log.recent(limit=limit, state=state)]
    return Json({"items": items, "disabled": dict(await log.disabled()), "counts": dict(await log.counts())})


@api.get("/deliveries/{number}", response_model=answers.DeliveryWhole)
async def delivery(here: Here, number: Annotated[int, Path(ge=1, le=MANY)]) -> Response:
    """Return one delivery: what was sent, and every attempt."""
    found = await here.deliveries.one(number)
    if found is None:
        raise NotFound(f"there is no delivery {number}")
    attempts = [
        {"at": rfc3339(a.at_ms), "tookMs": a.took_ms, "status": a.status, "problem": a.problem}
        for a in await here.deliveries.attempts(number)
    ]
    return Json(delivery_json(found) | {"body": found.message.body.decode(), "attemptLog": attempts})


@api.post("/deliveries/{number}/replay", response_model=answers.Replayed)
async def replay(here: Here, number: Annotated[int, Path(ge=1, le=MANY)]) -> Response:
    """Deliver again, under the same id; enables the endpoint where it was disabled."""
    if not await here.deliveries.replay(number, here.clock.now_ms()):
        raise NotFound(f"there is no delivery {number}")
    here.wake_webhooks()
    return Json({"number": number, "state": "pending"})


def alert_json(alert: Alert) -> dict[str, Any]:
    """Show an alert."""
    fields = asdict(alert)
    return {
        **{name: fields[name] for name in fields if not name.endswith("_ms")},
        "since": rfc3339(alert.since_ms),
        "fired": rfc3339(alert.fired_ms),
        "resolved": rfc3339(alert.resolved_ms),
    }


def delivery_json(one: Delivery) -> dict[str, Any]:
    """Show a line of the log."""
    return {
        "number": one.number,
        "id": one.message.id,
        "endpoint": one.message.endpoint,
        "type": one.message.type,
        "state": one.state,
        "attempts": one.attempts,
        "created": rfc3339(one.created_ms),
        "next": rfc3339(one.next_ms) if one.state is State.PENDING else "",
        "finished": rfc3339(one.finished_ms),
        "last": one.last,
    }
