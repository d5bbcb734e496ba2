"""The book of alerts: judges the rules at each tick, remembers what fired, queues who is to be told."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from console.settings import Endpoint, SettingsError
from console.state.database import StateDatabase
from console.state.deliveries import Message, enqueue
from console.webhooks.payload import event_id, messages
from graph.alerts import DEFAULT_RULES, Alert, Event, Facts, Rule, State, evaluate, state_json, state_of

KEEP_EVENTS = 10_000
SAVE_EVERY_MS = 30_000
"""How much of the pauses (``for``, traffic last seen) a killed process may forget."""

SCHEMA = (
    (
        "CREATE TABLE IF NOT EXISTS alert_events ("
        " number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at_ms INTEGER NOT NULL,"
        " status TEXT NOT NULL, alert TEXT NOT NULL)"
    ),
    "CREATE TABLE IF NOT EXISTS alert_state (one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """An event as the book keeps it."""

    id: str
    """Also the id under which it was delivered."""
    at_ms: int
    status: str
    alert: Alert


class AlertBook:
    """Folds facts into alerts. State, events and deliveries are written in one transaction."""

    def __init__(
        self, database: StateDatabase, *, rules: Sequence[Rule], endpoints: Sequence[Endpoint], page: str
    ) -> None:
        self.rules = tuple(rules)
        self._database = database
        self._endpoints = tuple(endpoints)
        self._page = page
        self._state = State()
        self._saved_ms = 0

    @property
    def firing(self) -> tuple[Alert, ...]:
        """What fires now, newest first."""
        firing = (alert for alert in self._state.alerts.values() if alert.firing)
        return tuple(sorted(firing, key=lambda alert: (-alert.fired_ms, alert.fingerprint)))

    @property
    def pending(self) -> tuple[Alert, ...]:
        """What would fire if it held for longer."""
        return tuple(alert for alert in self._state.alerts.values() if not alert.fired_ms)

    async def open(self) -> None:
        """Take up where the last process stopped."""

        def work(c: sqlite3.Connection) -> str | None:
            for statement in SCHEMA:
                c.execute(statement)
            row = c.execute("SELECT state FROM alert_state").fetchone()
            return row["state"] if row else None

        saved = await self._database.run(work)
        if saved is not None:
            self._state = state_of(orjson.loads(saved))

    async def judge(self, facts: Facts, now_ms: int) -> tuple[Event, ...]:
        """Evaluate the rules; what is returned is on disk, and so are its deliveries."""
        state, events = evaluate(self.rules, facts, self._state, now_ms)
        if events or not 0 <= now_ms - self._saved_ms < SAVE_EVERY_MS:
            post = [message for event in events for message in messages(event, self._endpoints, self._page)]
            await self._database.run(lambda c: _save(c, state, events, post, now_ms))
            self._saved_ms = now_ms
        self._state = state
        return events

    async def events(self, *, limit: int = 100) -> Sequence[Noted]:
        """List what began and ended, newest first."""

        def work(c: sqlite3.Connection) -> list[sqlite3.Row]:
            return c.execute("SELECT * FROM alert_events ORDER BY number DESC LIMIT ?", (limit,)).fetchall()

        rows = await self._database.run(work)
        return [
            Noted(id=row["id"], at_ms=row["at_ms"], status=row["status"], alert=_ALERT.validate_json(row["alert"]))
            for row in rows
        ]


def rules_of(tables: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Read ``[[alerts.rules]]``; without any, the built-in ones."""
    try:
        rules = tuple(_RULE.validate_python(table) for table in tables)
    except ValidationError as trouble:
        problems = (f"alerts.rules {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in trouble.errors())
        raise SettingsError("\n".join(problems)) from trouble
    return rules or DEFAULT_RULES


def _save(c: sqlite3.Connection, state: State, events: Sequence[Event], post: Sequence[Message], now_ms: int) -> None:
    for event in events:
        c.execute(
            "INSERT OR IGNORE INTO alert_events (id, at_ms, status, alert) VALUES (?, ?, ?, ?)",
            (event_id(event), now_ms, event.status, orjson.dumps(asdict(event.alert)).decode()),
        )
    c.execute("DELETE FROM alert_events WHERE number <= (SELECT max(number) FROM alert_events) - ?", (KEEP_EVENTS,))
    c.execute("INSERT OR REPLACE INTO alert_state VALUES (1, ?)", (orjson.dumps(state_json(state)).decode(),))
    enqueue(c, post, now_ms)


_ALERT = TypeAdapter(Alert)
_RULE = TypeAdapter(Rule, config=None)
