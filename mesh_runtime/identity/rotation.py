"""A new root takes over, in steps that every proxy has acknowledged before the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from mesh_runtime.identity.authority import Authority, Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """How far the rotation of the root is."""

    running: bool
    stage: Stage
    waiting: tuple[str, ...]
    """Instances that have not acknowledged the present step: each is waited for until it has, or its lease ends."""
    root: str
    """The fingerprint of the root that signs."""
    root_not_after_ms: int


class RootRotation:
    """Gives everybody the bundle of both roots, then leaves of the new one, then the new one's bundle alone.

    The stage is on disk: after a crash the next :meth:`run` goes on where the last one stopped.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        publish: Callable[[bool], None],
        waiting: Callable[[], Sequence[str]],
        progress: Callable[[], Awaitable[None]],
    ) -> None:
        """Publish gives everybody the present bundle and, when told so, new leaves.

        *waiting* names who has not acknowledged that yet; *progress* waits until this may have changed.
        """
        self._authority = authority
        self._publish = publish
        self._waiting = waiting
        self._progress = progress
        self._wanted = asyncio.Event()
        self._done = asyncio.Event()
        if authority.stage is not Stage.ONE_ROOT:
            self._wanted.set()

    @property
    def state(self) -> Rotation:
        """How far it is."""
        return Rotation(
            running=self._wanted.is_set(),
            stage=self._authority.stage,
            waiting=tuple(self._waiting()) if self._wanted.is_set() else (),
            root=self._authority.fingerprint,
            root_not_after_ms=self._authority.root_not_after_ms,
        )

    def start(self) -> None:
        """Begin, and keep that in mind on disk; one that is under way goes on."""
        if not self._wanted.is_set():
            self._authority.prepare()
            self._done.clear()
            self._wanted.set()

    async def finished(self) -> None:
        """Wait until the rotation that is under way is over."""
        if self._wanted.is_set():
            await self._done.wait()

    async def run(self) -> None:
        """Rotate whenever it is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            await self._rotate()
            self._wanted.clear()
            self._done.set()

    async def _rotate(self) -> None:
        if self._authority.stage is Stage.BOTH_TRUSTED:
            await self._step("both roots are trusted", new_leaves=False)
            self._authority.switch()
        await self._step("the new root signs", new_leaves=True)
        self._authority.retire()
        await self._step("only the new root is trusted", new_leaves=False)

    async def _step(self, what: str, *, new_leaves: bool) -> None:
        log.info("root rotation", extra={"step": what, "root": self._authority.fingerprint})
        self._publish(new_leaves)
        while self._waiting():
            await self._progress()
