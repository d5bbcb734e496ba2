"""The rhythm of the graph: each tick closes a step, tells the browsers, judges the alerts, keeps history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from console.alerts import AlertBook
from console.settings import Graph
from console.web.stream import Stream
from graph.alerts import Certificate, Facts, Proxy
from graph.frames import Frame, Recorder
from graph.live import LiveGraph
from graph.model import GraphType
from graph.ports import Clock, SnapshotStore
from mesh_runtime.control import ControlPlane

ALERT_WINDOW_S = 60
"""Alerts judge what the versioned app graph shows in this window."""


class Ticker:
    """A service."""

    name = "graph"

    def __init__(
        self,
        *,
        live: LiveGraph,
        stream: Stream,
        alerts: AlertBook,
        snapshots: SnapshotStore,
        control: ControlPlane,
        clock: Clock,
        settings: Graph,
        wake_webhooks: Callable[[], None],
    ) -> None:
        self._live = live
        self._stream = stream
        self._alerts = alerts
        self._snapshots = snapshots
        self._control = control
        self._clock = clock
        self._settings = settings
        self._wake_webhooks = wake_webhooks
        self._kept_ms = 0
        self._recorder = Recorder()

    async def run(self, ready: Callable[[], None]) -> None:
        """Tick until cancelled."""
        async for now_ms in self._clock.every(self._settings.tick_s):
            await self.tick(now_ms)
            ready()

    async def tick(self, now_ms: int) -> None:
        """Close one step."""
        self._live.tick(now_ms)
        self._stream.publish()
        if await self._alerts.judge(self._facts(), now_ms):
            self._wake_webhooks()
        if not 0 <= now_ms - self._kept_ms < 1000 * self._settings.history_step_s:
            self._kept_ms = now_ms
            frame = self._live.frame()
            await self._keep(frame)

    async def _keep(self, frame: Frame) -> None:
        try:
            await self._snapshots.append(*await asyncio.to_thread(self._recorder.record, frame))
        except BaseException:
            # What was not kept must not be what later frames are differences to.
            self._recorder = Recorder()
            raise

    def _facts(self) -> Facts:
        certificates = [
            Certificate(identity=one.identity, namespace=one.namespace, expires_ms=one.not_after_ms)
            for one in self._control.certificates()
        ]
        return Facts(
            snapshot=self._live.snapshot(GraphType.VERSIONED_APP, ALERT_WINDOW_S),
            certificates=certificates,
            proxies=list(self._proxies()),
        )

    def _proxies(self) -> Iterator[Proxy]:
        for one in self._control.status():
            reasons = [one.problem, *(state.rejected for state in one.types.values())]
            rejected = next((reason for reason in reasons if reason), "")
            yield Proxy(name=one.instance_id, namespace=one.namespace, app=one.workload, rejected=rejected)
