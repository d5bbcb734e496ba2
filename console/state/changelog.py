"""What wizards did, so that it can be taken back; the states themselves are in the config's history."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from console.state.database import StateDatabase
from wizards.ports import Applied
from wizards.wire import applied_json, applied_of

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS changes ("
    "number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, entry TEXT NOT NULL)"
)


class SqliteChangeLog:
    """Implements :class:`wizards.ports.ChangeLog` in ``state.db``."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    async def create(self) -> None:
        """Make the table where it is missing."""
        await self._database.run(lambda c: c.execute(SCHEMA))

    async def record(self, applied: Applied) -> None:
        """Keep an entry, durably."""
        entry = orjson.dumps(applied_json(applied)).decode()
        await self._database.run(
            lambda c: c.execute("INSERT OR REPLACE INTO changes (id, entry) VALUES (?, ?)", (applied.id, entry))
        )

    async def entry(self, applied_id: str) -> Applied | None:
        """Give one back; ``None`` where there is none."""
        row = await self._database.run(
            lambda c: c.execute("SELECT entry FROM changes WHERE id = ?", (applied_id,)).fetchone()
        )
        return applied_of(orjson.loads(row["entry"])) if row else None

    async def recent(self, limit: int = 50) -> Sequence[Applied]:
        """List entries, newest first."""

        def work(c: sqlite3.Connection) -> list[sqlite3.Row]:
            return c.execute("SELECT entry FROM changes ORDER BY number DESC LIMIT ?", (limit,)).fetchall()

        return [applied_of(orjson.loads(row["entry"])) for row in await self._database.run(work)]
