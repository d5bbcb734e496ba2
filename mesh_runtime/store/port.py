"""The config store's port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mesh_runtime.api.objects import Config, ConfigObject, ObjectKey, Problem

Admit = Callable[[Config], Sequence[Problem]]
"""Judges a whole config before it is committed: what it returns is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Objects to put and keys to delete, in one transaction.

    ``planned_on`` maps a key to the revision in which the planner saw it last changed (0: it did not
    exist). An object changed since is a :class:`Conflict`. Keys left out are written unconditionally.
    """

    put: tuple[ConfigObject, ...] = ()
    delete: tuple[ObjectKey, ...] = ()
    planned_on: Mapping[ObjectKey, int] = field(default_factory=dict)
    author: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One transaction of the history."""

    number: int
    at_ms: int
    author: str
    reason: str
    changed: tuple[ObjectKey, ...]
    """Put or deleted; an object put as it already was is not changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """One object on both sides of a revision; ``None``: it did not exist."""

    key: ObjectKey
    old: ConfigObject | None
    new: ConfigObject | None


class StoreError(Exception):
    """The store could not do it; nothing was changed."""


class Conflict(StoreError):  # noqa: N818 - an outcome as much as an error
    """An object was changed since the writer looked: by whom and when is in the message."""

    def __init__(self, key: ObjectKey, revision: Revision) -> None:
        super().__init__(
            f"{key} was changed in revision {revision.number} by {revision.author or 'someone'}"
            f" after this change was planned; look at it again and repeat"
        )
        self.key = key
        self.revision = revision


class ConfigStore(Protocol):
    """Config with its whole history. One transaction is one revision; all or nothing."""

    @property
    def current(self) -> Config:
        """The config now. Reading never waits."""
        ...

    async def commit(self, change: Change, *, dry_run: bool = False) -> Revision:
        """Write durably, then return. Changing nothing returns the current revision.

        Raises :class:`Conflict`, or :class:`~mesh_runtime.api.objects.ConfigError` where the config
        that would result is not admitted. ``dry_run`` does every check and writes nothing.
        """
        ...

    async def history(self, *, limit: int = 100, key: ObjectKey | None = None) -> Sequence[Revision]:
        """Newest first."""
        ...

    async def at(self, revision: int) -> Config:
        """The whole config as it was; an unknown revision is a :class:`StoreError`."""
        ...

    async def changes(self, revision: int) -> Sequence[Before]:
        """What a revision changed, both sides of each object."""
        ...

    async def rollback(self, revision: int, *, author: str, reason: str = "") -> Revision:
        """Write a new revision whose config equals *revision*'s."""
        ...

    def watch(self) -> AsyncIterator[Config]:
        """The config now and after every commit; a slow reader sees the newest, not each."""
        ...
