"""What the API answers about changes that wizards make."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from console.web.answers.shape import Answer
from wizards.analyzers.findings import Level


class Intent(Answer):
    """How requests are to be shared, in percent by subset."""

    namespace: str
    service: str
    gateway: str
    weights: dict[str, int]
    versions: dict[str, str]


class Reading(BaseModel):
    """What the live config says: shares, none, or something that the wizard did not write."""

    kind: Literal["split", "unsplit", "foreign"]
    weights: dict[str, int] = {}
    reason: str = ""
    object: str = ""


class Finding(Answer):
    """What a check found."""

    code: str
    level: Level
    kind: str
    namespace: str
    name: str
    message: str
    path: str


class ObjectChange(Answer):
    """An object before and after."""

    key: list[str]
    old: str
    new: str
    diff: str


class Plan(Answer):
    """A change, thought through; ``plannedOn`` goes back with the apply."""

    title: str
    intent: Intent
    now: Reading
    changes: list[ObjectChange]
    diff: str
    findings: list[Finding]
    appliable: bool
    revision: int
    planned_on: list[tuple[str, str, str, str, int]]


class Option(Answer):
    """A subset that can get a share; ``facts``: what runs of it."""

    subset: str
    version: str
    weight: int
    exists: bool
    facts: dict[str, Any] | None


class Situation(Answer):
    """Where a user starts from."""

    namespace: str
    service: str
    gateway: str
    gateways: list[str]
    now: Reading
    options: list[Option]


class Settlement(BaseModel):
    """How a revision reached the proxies: how many have it, and which not."""

    acknowledged: int
    waiting: list[str]
    rejected: list[str]
    elapsed_ms: float


class Applied(BaseModel):
    """A change that was made."""

    at: str
    id: str
    revision: int
    author: str
    reason: str
    title: str
    intent: dict[str, Any]
    settled: Settlement
    readback_ok: bool
    undoes: str


class AppliedChanges(Answer):
    """What wizards did, newest first."""

    items: list[Applied]
