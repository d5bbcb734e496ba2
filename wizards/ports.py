"""What the wizards need from the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How a revision reached the proxies."""

    acknowledged: int
    """Proxies that have it."""
    waiting: tuple[str, ...] = ()
    """Proxies that had not answered when the waiting ended."""
    rejected: tuple[str, ...] = ()
    """Proxies that refused it, each with the reason."""
    elapsed_ms: float = 0.0

    @property
    def complete(self) -> bool:
        """Tell whether every proxy has it."""
        return not (self.waiting or self.rejected)


class Settle(Protocol):
    """Waits until the proxies have a revision, or the time is over."""

    async def __call__(self, revision: int, timeout_s: float, /) -> Settlement:
        """Never raises for a proxy that is silent or refuses: that is in the answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A change that was made: the entry in the log of changes, from which it can be taken back."""

    id: str
    """``change-<revision>``."""
    revision: int
    at_ms: int
    author: str
    reason: str
    title: str
    intent: Mapping[str, Any] = field(default_factory=dict)
    """Plain, to be shown; empty for an undo."""
    settled: Settlement
    readback_ok: bool
    """The store gave back exactly what was planned, and it reads as the intent."""
    undoes: str = ""
    """The id of the change that this one took back."""


class ChangeLog(Protocol):
    """Remembers what wizards did. The states themselves are in the config's history."""

    async def record(self, applied: Applied) -> None:
        """Keep an entry, durably."""
        ...

    async def entry(self, applied_id: str) -> Applied | None:
        """Give one back; ``None`` where there is none."""
        ...

    async def recent(self, limit: int = 50) -> Sequence[Applied]:
        """Newest first."""
        ...
