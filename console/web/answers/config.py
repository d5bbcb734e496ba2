"""What the API answers about config and its history."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from console.web.answers.shape import Answer


class Key(Answer):
    """Names an object."""

    group: str
    kind: str
    namespace: str
    name: str


class Objects(Answer):
    """Manifests, of one revision."""

    revision: int
    items: list[dict[str, Any]]


class Object(Answer):
    """A manifest, and the revision that last changed it; 0: an agent leases it."""

    revision: int
    manifest: dict[str, Any]
    yaml: str


class Done(Key):
    """What became of an object."""

    action: Literal["created", "configured", "unchanged", "deleted"]


class Settled(BaseModel):
    """What the proxies said to a revision."""

    acknowledged: list[str]
    waiting: list[str]
    rejected: dict[str, str]
    elapsed_ms: float


class Written(Answer):
    """A revision that was written, or would be."""

    revision: int
    dry_run: bool
    changed: list[Done]
    settled: Settled | None
    notes: list[str]
    """What of the objects has no effect, and what there is instead."""


class Difference(Answer):
    """How an object differs from the live one."""

    object: Key
    unified: str


class Differences(Answer):
    """Those objects that differ."""

    diff: list[Difference]


class Revision(Answer):
    """A line of the history."""

    revision: int
    at: str
    author: str
    reason: str
    changed: list[Key]


class History(Answer):
    """Revisions, newest first."""

    items: list[Revision]


class Sides(Difference):
    """An object before and after; empty: it was not there."""

    old: str
    new: str


class Changes(BaseModel):
    """What a revision changed."""

    revision: int
    changes: list[Sides]
