"""The queue and the log of webhook deliveries, durable: what is in it survives the process."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from console.state.database import StateDatabase

PENDING_LIMIT = 10_000
"""Per endpoint; what comes on top is kept as failed, so that it can still be seen and replayed."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    subject TEXT NOT NULL,
    type TEXT NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    finished_ms INTEGER NOT NULL DEFAULT 0,
    last TEXT NOT NULL DEFAULT '',
    UNIQUE (id, endpoint)
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (endpoint, state, next_ms);
CREATE TABLE IF NOT EXISTS attempts (
    delivery INTEGER NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    at_ms INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    status INTEGER NOT NULL,
    problem TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (delivery);
CREATE TABLE IF NOT EXISTS disabled_endpoints (
    endpoint TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL
);
"""
NEXT_OF_EACH_SUBJECT = """FROM deliveries AS d WHERE endpoint = ? AND state = 'pending' AND NOT EXISTS (
    SELECT 1 FROM deliveries AS e
    WHERE e.endpoint = d.endpoint AND e.subject = d.subject AND e.state = 'pending' AND e.number < d.number
)"""


class State(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up: no attempt is left, the endpoint is disabled, or the queue was full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to deliver. The body is sent as these very bytes, however often."""

    id: str
    """Tells the receiver that two deliveries are the same."""
    endpoint: str
    subject: str
    """What it is about: messages on one subject reach an endpoint in order."""
    type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try. ``status`` 0: no HTTP answer."""

    at_ms: int
    took_ms: int
    status: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message on its way to one endpoint."""

    number: int
    message: Message
    state: State
    created_ms: int
    next_ms: int
    attempts: int
    finished_ms: int
    last: str
    """How the last attempt ended, in words."""


def enqueue(connection: sqlite3.Connection, messages: Sequence[Message], now_ms: int) -> None:
    """Add to the queue, within the transaction that made the messages: neither exists without the other."""
    for message in messages:
        (pending,) = connection.execute(
            "SELECT count(*) FROM deliveries WHERE endpoint = ? AND state = 'pending'", (message.endpoint,)
        ).fetchone()
        disabled = connection.execute(
            "SELECT reason FROM disabled_endpoints WHERE endpoint = ?", (message.endpoint,)
        ).fetchone()
        refused = disabled["reason"] if disabled else "the queue was full" if pending >= PENDING_LIMIT else ""
        connection.execute(
            "INSERT OR IGNORE INTO deliveries (id, endpoint, subject, type, body, state, created_ms, next_ms, last)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                message.id,
                message.endpoint,
                message.subject,
                message.type,
                message.body,
                State.FAILED if refused else State.PENDING,
                now_ms,
                now_ms,
                refused,
            ),
        )


class DeliveryLog:
    """Reads and moves deliveries."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    async def create(self) -> None:
        """Make the tables where they are missing."""
        await self._database.run(lambda c: [c.execute(part) for part in SCHEMA.split(";")])

    async def add(self, messages: Sequence[Message], now_ms: int) -> None:
        """Add to the queue."""
        await self._database.run(lambda c: enqueue(c, messages, now_ms))

    async def due(self, endpoint: str, now_ms: int) -> Delivery | None:
        """Find the oldest delivery whose time has come. A subject's next waits until its previous is finished."""

        def work(c: sqlite3.Connection) -> Delivery | None:
            row = c.execute(
                f"SELECT * {NEXT_OF_EACH_SUBJECT} AND next_ms <= ? ORDER BY next_ms, number LIMIT 1",
                (endpoint, now_ms),
            ).fetchone()
            return _delivery(row) if row else None

        return await self._database.run(work)

    async def next_due_ms(self, endpoint: str) -> int | None:
        """Tell when to look again; ``None``: nothing is pending."""

        def work(c: sqlite3.Connection) -> int | None:
            at: int | None
            (at,) = c.execute(f"SELECT min(next_ms) {NEXT_OF_EACH_SUBJECT}", (endpoint,)).fetchone()
            return at

        return await self._database.run(work)

    async def record(self, number: int, attempt: Attempt, state: State, next_ms: int = 0) -> None:
        """Note an attempt and what follows from it."""
        ended = attempt.problem or f"{attempt.status}"
        finished = attempt.at_ms if state is not State.PENDING else 0

        def work(c: sqlite3.Connection) -> None:
            c.execute(
                "INSERT INTO attempts VALUES (?, ?, ?, ?, ?)",
                (number, attempt.at_ms, attempt.took_ms, attempt.status, attempt.problem),
            )
            c.execute(
                "UPDATE deliveries SET state = ?, next_ms = ?, attempts = attempts + 1, finished_ms = ?, last = ?"
                " WHERE number = ?",
                (state, next_ms, finished, ended, number),
            )

        await self._database.run(work)

    async def disable(self, endpoint: str, reason: str, now_ms: int) -> None:
        """Deliver to an endpoint no more; what was pending has failed."""

        def work(c: sqlite3.Connection) -> None:
            c.execute("INSERT OR REPLACE INTO disabled_endpoints VALUES (?, ?, ?)", (endpoint, now_ms, reason))
            c.execute(
                "UPDATE deliveries SET state = 'failed', finished_ms = ?, last = ? WHERE endpoint = ? AND state = 'pending'",
                (now_ms, reason, endpoint),
            )

        await self._database.run(work)

    async def disabled(self) -> Mapping[str, str]:
        """Endpoints that are delivered to no more, with the reason."""
        rows = await self._database.run(lambda c: c.execute("SELECT * FROM disabled_endpoints").fetchall())
        return {row["endpoint"]: row["reason"] for row in rows}

    async def replay(self, number: int, now_ms: int) -> bool:
        """Queue a finished delivery again, with its id, and enable its endpoint. False: there is none."""

        def work(c: sqlite3.Connection) -> bool:
            row = c.execute("SELECT endpoint FROM deliveries WHERE number = ?", (number,)).fetchone()
            if row is None:
                return False
            c.execute("DELETE FROM disabled_endpoints WHERE endpoint = ?", (row["endpoint"],))
            c.execute(
                "UPDATE deliveries SET state = 'pending', next_ms = ?, attempts = 0, finished_ms = 0 WHERE number = ?",
                (now_ms, number),
            )
            return True

        return await self._database.run(work)

    async def recent(self, *, limit: int = 100, state: State | None = None) -> Sequence[Delivery]:
        """List deliveries, newest first."""

        def work(c: sqlite3.Connection) -> list[sqlite3.Row]:
            return c.execute(
                "SELECT * FROM deliveries WHERE ? IN ('', state) ORDER BY number DESC LIMIT ?", (state or "", limit)
            ).fetchall()

        return [_delivery(row) for row in await self._database.run(work)]

    async def one(self, number: int) -> Delivery | None:
        """Find a delivery."""
        row = await self._database.run(
            lambda c: c.execute("SELECT * FROM deliveries WHERE number = ?", (number,)).fetchone()
        )
        return _delivery(row) if row else None

    async def attempts(self, number: int) -> Sequence[Attempt]:
        """List the attempts of one delivery, oldest first."""

        def work(c: sqlite3.Connection) -> list[sqlite3.Row]:
            return c.execute("SELECT * FROM attempts WHERE delivery = ? ORDER BY at_ms", (number,)).fetchall()

        return [
            Attempt(at_ms=row["at_ms"], took_ms=row["took_ms"], status=row["status"], problem=row["problem"])
            for row in await self._database.run(work)
        ]

    async def counts(self) -> Mapping[str, int]:
        """Deliveries by state."""
        rows = await self._database.run(
            lambda c: c.execute("SELECT state, count(*) AS n FROM deliveries GROUP BY state").fetchall()
        )
        return {row["state"]: row["n"] for row in rows}

    async def forget(self, before_ms: int) -> None:
        """Let go of deliveries that were finished before."""
        await self._database.run(
            lambda c: c.execute("DELETE FROM deliveries WHERE state <> 'pending' AND created_ms < ?", (before_ms,))
        )


def _delivery(row: sqlite3.Row) -> Delivery:
    message = Message(
        id=row["id"], endpoint=row["endpoint"], subject=row["subject"], type=row["type"], body=row["body"]
    )
    return Delivery(
        number=row["number"],
        message=message,
        state=State(row["state"]),
        created_ms=row["created_ms"],
        next_ms=row["next_ms"],
        attempts=row["attempts"],
        finished_ms=row["finished_ms"],
        last=row["last"],
    )
