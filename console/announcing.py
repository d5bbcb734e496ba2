"""Where the server is: told to agents and commands, and to whoever started it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from console.datadir import DataDir, ServerInfo

Announce = Callable[[ServerInfo, str], None]
"""Told once, when everything is usable: what ``server.json`` says, and a sentence for people."""


class Announcement:
    """Tells agents and commands where the server is, as soon as it can serve them; browsers may have to wait."""

    name = "announcement"

    def __init__(self, data: DataDir, info: Callable[[], ServerInfo]) -> None:
        self._data = data
        self._info = info

    async def run(self, ready: Callable[[], None]) -> None:
        """Announce, wait, withdraw."""
        self._data.announce(self._info())
        ready()
        try:
            await asyncio.Event().wait()
        finally:
            self._data.withdraw()


class Welcome:
    """The last service to start: everything is usable now."""

    name = "welcome"

    def __init__(self, data: DataDir, announce: Announce, sentence: str) -> None:
        self._data = data
        self._announce = announce
        self._sentence = sentence

    async def run(self, ready: Callable[[], None]) -> None:
        """Say it once."""
        self._announce(self._data.read_server(), self._sentence)
        ready()
