"""The graph as it changes, for browsers: one topic per graph type and window, encoded once for all its readers.

A topic keeps its last few differences. A reader asks for what follows the revision it has; one that fell
behind them, or is new, gets a whole snapshot. So nothing queues per reader, however slow it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import orjson

from graph.differ import delta
from graph.live import LiveGraph
from graph.model import GraphType, Snapshot
from graph.ports import Clock
from graph.windows import REACH_S
from graph.wire import delta_json, snapshot_json

KEPT = 4
"""Differences kept per topic; at one a second, a reader may be this many seconds late."""
SHARE = 240
"""Windows that memory does not hold are asked for anew whenever so large a part of them has passed, …"""
SOONEST_S, LATEST_S = 15, 300
"""… but not more often, and not more seldom, …"""
REST = 10
"""… and not before so many times as long has passed as it took to answer."""
MOST_ASKED = 16
"""Topics of windows that memory does not hold: each makes others work."""

PROTOCOL = f"""
## The stream

`/api/v1/stream?type=versionedApp&window=1h` is a WebSocket. Types and windows are those of `/api/v1/graph`. It begins
with a message `snapshot`, which is what `/api/v1/graph` answers; then follow messages `delta` from the revision `from`
to the revision `to`: nodes, edges and groups that are new or different, those that are gone (`goneNodes`, `goneEdges`,
`goneGroups`), and all `boxes`. Who does not keep up gets a `snapshot` again.

Each message says when the window ends (`at`, Unix milliseconds) and after how many seconds the next revision may be
expected (`every`). Windows of up to {REACH_S} s are the live graph's. Longer ones are looked for where `/api/v1/graph`
finds them, every {SOONEST_S} to {LATEST_S} s: the longer the window, the more seldom. How much of it is known is told
by each edge's `covered`, in seconds. There may be {MOST_ASKED} such streams that differ; a further one is closed with
the code 1013. A type or window that there is not is closed with 1008 and what there is.
"""

Ask = Callable[[], Awaitable[Snapshot]]
"""Find a window that ends now."""


class TooManyTopicsError(Exception):
    """Too many different windows are asked for."""


class Key(NamedTuple):
    """Which graph a reader looks at."""

    type: GraphType
    window_s: int

    @property
    def is_live(self) -> bool:
        """Whether the live graph holds it."""
        return self.window_s <= REACH_S


class Frame(NamedTuple):
    """An encoded difference between two revisions."""

    source: int
    target: int
    text: str


class Topic:
    """One graph type and window while somebody looks at it."""

    def __init__(self, snapshot: Snapshot, every_s: float) -> None:
        self.readers = 0
        self._every_s = every_s
        self._current = snapshot
        self._frames: deque[Frame] = deque(maxlen=KEPT)
        self._whole = ""
        self._changed = asyncio.Event()

    def publish(self, snapshot: Snapshot) -> None:
        """Move on to a newer snapshot and wake the readers."""
        if snapshot.revision == self._current.revision:
            return
        difference = delta(self._current, snapshot)
        text = self._text(delta_json(difference, snapshot))
        self._frames.append(Frame(difference.source, difference.target, text))
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
        self._whole = self._whole or self._text(snapshot_json(self._current))
        return self._current.revision, self._whole

    def _text(self, message: Mapping[str, object]) -> str:
        return orjson.dumps({**message, "every": self._every_s}).decode()


class AskedTopic(Topic):
    """A window that memory does not hold. Its readers have it asked for: whoever comes first when it is due."""

    def __init__(self, key: Key, ask: Ask, clock: Clock) -> None:
        nothing = Snapshot(type=key.type, window_s=key.window_s, revision=0, at_ms=0, nodes={}, edges={})
        super().__init__(nothing, every_s(key.window_s))
        self._ask = ask
        self._clock = clock
        self._asking = asyncio.Lock()
        self._due_ms = 0.0

    async def after(self, revision: int) -> tuple[int, str]:
        """Wait for what follows a revision; the first one is there when it has been answered."""
        while self._current.revision in {revision, 0}:
            async with self._asking:
                if self._current.revision in {revision, 0}:
                    await self._refresh()
        return await super().after(revision)

    async def _refresh(self) -> None:
        await self._clock.sleep(max(0.0, self._due_ms - self._clock.steady_ms()) / 1000)
        began_ms = self._clock.steady_ms()
        snapshot = await self._ask()
        took_ms = self._clock.steady_ms() - began_ms
        self._due_ms = began_ms + max(1000 * self._every_s, REST * took_ms)
        self.publish(replace(snapshot, revision=self._current.revision + 1))


def every_s(window_s: int) -> float:
    """How often a window that memory does not hold is asked for."""
    return min(max(SOONEST_S, window_s / SHARE), LATEST_S)


class Stream:
    """All topics. The graph's ticker publishes, sockets read."""

    def __init__(self, live: LiveGraph, *, tick_s: float = 1.0) -> None:
        self.messages = 0
        self.resyncs = 0
        """Snapshots sent to readers that had fallen behind."""
        self._live = live
        self._tick_s = tick_s
        self._topics: dict[Key, Topic] = {}

    @property
    def readers(self) -> int:
        """Open sockets."""
        return sum(topic.readers for topic in self._topics.values())

    def publish(self) -> None:
        """Bring every topic of the live graph that somebody reads to its revision."""
        for key, topic in self._topics.items():
            if key.is_live:
                topic.publish(self._live.snapshot(key.type, key.window_s))

    async def messages_of(self, key: Key, ask: Ask, clock: Clock) -> AsyncGenerator[str, None]:
        """Yield a snapshot, then what follows it, for as long as the reader wants.

        What memory does not hold is asked for. Raises :class:`TooManyTopicsError`.
        """
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = self._topic(key, ask, clock)
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

    def _topic(self, key: Key, ask: Ask, clock: Clock) -> Topic:
        if key.is_live:
            return Topic(self._live.snapshot(key.type, key.window_s), self._tick_s)
        if sum(not one.is_live for one in self._topics) >= MOST_ASKED:
            raise TooManyTopicsError(f"{MOST_ASKED} windows that memory does not hold are read already")
        return AskedTopic(key, ask, clock)
