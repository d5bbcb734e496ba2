"""The live graph for browsers: one topic per graph type and window, encoded once for all its readers.

A topic keeps its last few differences. A reader asks for what follows the revision it has; one that fell
behind them, or is new, gets a whole snapshot. So nothing queues per reader, however slow it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import NamedTuple

import orjson

from graph.differ import delta
from graph.live import LiveGraph
from graph.model import GraphType, Snapshot
from graph.wire import delta_json, snapshot_json

KEPT = 4
"""Differences kept per topic; at one a second, a reader may be this many seconds late."""


class Key(NamedTuple):
    """Which graph a reader looks at."""

    type: GraphType
    window_s: int


class Frame(NamedTuple):
    """An encoded difference between two revisions."""

    source: int
    target: int
    text: str


class Topic:
    """One graph type and window while somebody looks at it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.readers = 0
        self._current = snapshot
        self._frames: deque[Frame] = deque(maxlen=KEPT)
        self._whole = ""
        self._changed = asyncio.Event()

    def publish(self, snapshot: Snapshot) -> None:
        """Move on to a newer snapshot and wake the readers."""
        if snapshot.revision == self._current.revision:
            return
        difference = delta(self._current, snapshot)
        self._frames.append(Frame(difference.source, difference.target, _text(delta_json(difference, snapshot))))
        self._current = snapshot
        self._whole = ""
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, revision: int) -> tuple[int, str]:
        """Wait for what follows a revision: the difference, or the whole snapshot where that is gone."""
        while self._current.revision == revision:
            await self._changed.wait()
        for frame in self._frames:
            if frame.source == revision:
                return frame.target, frame.text
        self._whole = self._whole or _text(snapshot_json(self._current))
        return self._current.revision, self._whole


class Stream:
    """All topics. The graph's ticker publishes, sockets read."""

    def __init__(self, live: LiveGraph) -> None:
        self.messages = 0
        self.resyncs = 0
        """Snapshots sent to readers that had fallen behind."""
        self._live = live
        self._topics: dict[Key, Topic] = {}

    @property
    def readers(self) -> int:
        """Open sockets."""
        return sum(topic.readers for topic in self._topics.values())

    def publish(self) -> None:
        """Bring every topic that somebody reads to the live graph's revision."""
        for key, topic in self._topics.items():
            topic.publish(self._live.snapshot(key.type, key.window_s))

    async def messages_of(self, key: Key) -> AsyncGenerator[str, None]:
        """Yield a snapshot, then what follows it, for as long as the reader wants."""
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(self._live.snapshot(key.type, key.window_s))
        topic.readers += 1
        revision = None
        try:
            while True:
                seen = revision
                revision, text = await topic.after(-1 if revision is None else revision)
                self.messages += 1
                if seen is not None and text.startswith('{"type":"snapshot"'):
                    self.resyncs += 1
                yield text
        finally:
            topic.readers -= 1
            if not topic.readers:
                del self._topics[key]


def _text(message: object) -> str:
    return orjson.dumps(message).decode()
