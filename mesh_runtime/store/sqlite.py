"""Config in SQLite: every version of every object, and the revisions that made them."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

from mesh_runtime.api.admission import admit as admit_references
from mesh_runtime.api.manifest import parse
from mesh_runtime.api.objects import Config, ConfigError, ConfigObject, ObjectKey
from mesh_runtime.api.redaction import use_key
from mesh_runtime.api.spec import repeated
from mesh_runtime.store.port import Admit, Before, Change, Conflict, Revision, StoreError
from mesh_runtime.store.secrets import kept_key, restored

T = TypeVar("T")

MEMORY = ":memory:"
_SCHEMA = 1
_TABLES = """
CREATE TABLE revisions (
    number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE objects (
    grp TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    since INTEGER NOT NULL REFERENCES revisions (number), until INTEGER REFERENCES revisions (number),
    manifest TEXT NOT NULL,
    PRIMARY KEY (grp, kind, namespace, name, since)
) STRICT;
CREATE INDEX objects_since ON objects (since);
CREATE INDEX objects_until ON objects (until);
"""
_REVISIONS = "SELECT number, at_ms, author, reason FROM revisions ORDER BY number DESC LIMIT ?1"
_REVISIONS_OF = """
WITH versions AS (SELECT since, until FROM objects WHERE grp = ?2 AND kind = ?3 AND namespace = ?4 AND name = ?5)
SELECT number, at_ms, author, reason FROM revisions
WHERE number IN (SELECT since FROM versions UNION SELECT until FROM versions) ORDER BY number DESC LIMIT ?1
"""
_END = "UPDATE objects SET until = ? WHERE until IS NULL AND grp = ? AND kind = ? AND namespace = ? AND name = ?"


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteConfig:
    """A :class:`~mesh_runtime.store.port.ConfigStore` in one file, with one writer.

    All work on the file is done by one thread of its own, one piece after the other. What ``commit`` has returned is
    on the disk. A commit is refused for problems it brings; problems that were there before do not block it.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        admit: Admit = admit_references,
        clock_ms: Callable[[], int] = _wall_clock_ms,
    ) -> None:
        self._path = str(path)
        self._admit = admit
        self._clock_ms = clock_ms
        self._current = Config()
        self._known_problems: frozenset[object] = frozenset()
        self._changed = asyncio.Event()
        self._closed = True
        self._lock_file: int | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Take the file's lock and read the config. Raises :class:`StoreError` where another process has it."""
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "config")
        self._closed = False
        try:
            await self._run(self._open)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what is being written, and let go of the file. Watchers end."""
        if self._closed:
            return
        self._closed = True
        await self._loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown()
        self._wake()

    @property
    def current(self) -> Config:
        """The config now. Reading never waits."""
        return self._current

    async def commit(self, change: Change, *, dry_run: bool = False) -> Revision:
        """Write durably, then return; see :meth:`mesh_runtime.store.port.ConfigStore.commit`.

        A dry run returns the revision that would be made.
        """
        return await self._run(self._commit, change, dry_run)

    async def history(self, *, limit: int = 100, key: ObjectKey | None = None) -> Sequence[Revision]:
        """Newest first."""
        return await self._run(self._history, limit, key)

    async def at(self, revision: int) -> Config:
        """The whole config as it was; an unknown revision is a :class:`StoreError`."""
        return await self._run(self._at, revision)

    async def changes(self, revision: int) -> Sequence[Before]:
        """What a revision changed, both sides of each object."""
        return await self._run(self._changes, revision)

    async def rollback(self, revision: int, *, author: str, reason: str = "") -> Revision:
        """Write a new revision whose config equals *revision*'s."""
        return await self._run(self._rollback, revision, author, reason)

    async def watch(self) -> AsyncIterator[Config]:
        """The config now and after every commit; a slow reader sees the newest, not each."""
        seen = -1
        while not self._closed:
            changed, config = self._changed, self._current
            if config.revision != seen:
                seen = config.revision
                yield config
            else:
                await changed.wait()

    # What follows runs in the store's thread, except _run and _wake.

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        if self._closed:
            raise StoreError("the config store is not open")
        return await self._loop.run_in_executor(self._thread, work, *args)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _open(self) -> None:
        if self._path != MEMORY:
            self._lock_file = _lock(f"{self._path}.lock")
            # It holds keys. SQLite gives what it writes beside it the same mode.
            Path(self._path).touch(mode=0o600)
            Path(self._path).chmod(0o600)
            use_key(kept_key(Path(self._path).with_suffix(".key")))
        self._db = sqlite3.connect(self._path, isolation_level=None, timeout=5)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._migrate()
            self._current = self._at(self._newest())
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error
        self._known_problems = frozenset(self._admit(self._current))

    def _close(self) -> None:
        if hasattr(self, "_db"):
            self._db.close()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _migrate(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > _SCHEMA:
            raise StoreError(f"{self._path} was written by a newer version of this program")
        if version < _SCHEMA:
            with _transaction(self._db):
                for statement in filter(str.strip, _TABLES.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_SCHEMA}")

    def _newest(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM revisions").fetchone()[0])

    def _commit(self, change: Change, dry_run: bool) -> Revision:
        old = self._current
        self._check_plan(change)
        meant = [restored(item, old.objects.get(item.key)) for item in change.put]
        put = {item.key: item for item in meant if _differs(item, old.objects.get(item.key))}
        gone = [key for key in change.delete if key in old.objects and key not in put]
        if not put and not gone:
            return self._latest()
        revision = Revision(
            number=old.revision + 1,
            at_ms=self._clock_ms(),
            author=change.author,
            reason=change.reason,
            changed=tuple(sorted([*put, *gone])),
        )
        new = old.after(revision.number, put, gone)
        found = self._admit(new)
        brought = [problem for problem in found if problem not in self._known_problems]
        if brought:
            raise ConfigError(*brought)
        if not dry_run:
            self._write(revision, put)
            self._current, self._known_problems = new, frozenset(found)
            self._loop.call_soon_threadsafe(self._wake)
        return revision

    def _check_plan(self, change: Change) -> None:
        written = [item.key for item in change.put] + list(change.delete)
        for _, key in repeated(written):
            raise StoreError(f"{key} is there twice in one change")
        for key, seen in change.planned_on.items():
            if self._current.changed_in.get(key, 0) != seen:
                changed = self._history(1, key)
                raise Conflict(key, changed[0]) if changed else StoreError(f"{key} was never there")

    def _write(self, revision: Revision, put: Mapping[ObjectKey, ConfigObject]) -> None:
        number = revision.number
        with _transaction(self._db):
            self._db.execute(
                "INSERT INTO revisions VALUES (?, ?, ?, ?)", (number, revision.at_ms, revision.author, revision.reason)
            )
            self._db.executemany(_END, [(number, *key) for key in revision.changed])
            self._db.executemany(
                "INSERT INTO objects VALUES (?, ?, ?, ?, ?, NULL, ?)",
                [(*key, number, json.dumps(item.manifest, ensure_ascii=False)) for key, item in put.items()],
            )

    def _rollback(self, revision: int, author: str, reason: str) -> Revision:
        wanted = self._at(revision).objects
        change = Change(
            put=tuple(wanted.values()),
            delete=tuple(self._current.objects.keys() - wanted.keys()),
            author=author,
            reason=reason or f"roll back to revision {revision}",
        )
        return self._commit(change, False)

    def _latest(self) -> Revision:
        revisions = self._history(1, None)
        return revisions[0] if revisions else Revision(number=0, at_ms=0, author="", reason="", changed=())

    def _history(self, limit: int, key: ObjectKey | None) -> list[Revision]:
        query, values = (_REVISIONS_OF, (limit, *key)) if key else (_REVISIONS, (limit,))
        rows = self._db.execute(query, values)
        return [
            Revision(number=number, at_ms=at_ms, author=author, reason=reason, changed=self._changed_keys(number))
            for number, at_ms, author, reason in rows.fetchall()
        ]

    def _changed_keys(self, number: int) -> tuple[ObjectKey, ...]:
        rows = self._db.execute(
            "SELECT grp, kind, namespace, name FROM objects WHERE since = ?1"
            " UNION SELECT grp, kind, namespace, name FROM objects WHERE until = ?1",
            (number,),
        )
        return tuple(sorted(ObjectKey(*row) for row in rows))

    def _at(self, revision: int) -> Config:
        if not 0 <= revision <= self._newest():
            raise StoreError(f"there is no revision {revision}")
        rows = self._db.execute(
            "SELECT grp, kind, namespace, name, since, manifest FROM objects"
            " WHERE since <= ?1 AND (until IS NULL OR until > ?1)",
            (revision,),
        ).fetchall()
        versions = {ObjectKey(*row[:4]): (row[4], row[5]) for row in rows}
        born = self._births(revision)
        return Config(
            revision=revision,
            objects={
                key: replace(self._version(key, since, text), since=born[key])
                for key, (since, text) in versions.items()
            },
            changed_in={key: since for key, (since, _) in versions.items()},
        )

    def _births(self, revision: int) -> Mapping[ObjectKey, int]:
        """Return the revisions since which objects have been there without a break."""
        born: dict[ObjectKey, int] = {}
        ends: dict[ObjectKey, int | None] = {}
        rows = self._db.execute(
            "SELECT grp, kind, namespace, name, since, until FROM objects WHERE since <= ? ORDER BY since", (revision,)
        )
        for *parts, since, until in rows:
            key = ObjectKey(*parts)
            if ends.get(key) != since:
                born[key] = since
            ends[key] = until
        return born

    def _version(self, key: ObjectKey, since: int, text: str) -> ConfigObject:
        if self._current.changed_in.get(key) == since:
            return self._current.objects[key]
        return _read(key, text)

    def _changes(self, revision: int) -> list[Before]:
        if not 1 <= revision <= self._newest():
            raise StoreError(f"there is no revision {revision}")
        rows = self._db.execute(
            "SELECT grp, kind, namespace, name, since, manifest FROM objects WHERE since = ?1 OR until = ?1",
            (revision,),
        )
        sides: dict[ObjectKey, dict[bool, ConfigObject]] = {}
        for *parts, since, text in rows.fetchall():
            key = ObjectKey(*parts)
            sides.setdefault(key, {})[since == revision] = self._version(key, since, text)
        return [Before(key=key, old=sides[key].get(False), new=sides[key].get(True)) for key in sorted(sides)]


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"nothing was changed: {error}") from error
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _lock(path: str) -> int:
    """Take the lock that says who the one writer is; the file stays, the lock ends with the process."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(f"{path} is locked: another server uses this data directory") from error
    return handle


def _differs(item: ConfigObject, old: ConfigObject | None) -> bool:
    return old is None or item.manifest != old.manifest


def _read(key: ObjectKey, text: str) -> ConfigObject:
    manifest: dict[str, Any] = json.loads(text)
    try:
        return parse(manifest)
    except ConfigError as error:
        raise StoreError(f"the stored {key} is not valid for this version of the program: {error}") from error
