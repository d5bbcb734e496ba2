"""The agent: keeps its members running and registered, whether the server is there or not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mesh_runtime.agent.client import AgentClient, AgentError
from mesh_runtime.agent.member import Life, Member, Surroundings
from mesh_runtime.sidecar.envoy import DRAIN_S

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0


class Agent:
    """Runs members beside each other. They survive the server's death and are found again by the next one."""

    name = "agent"

    def __init__(
        self,
        client: AgentClient,
        members: Sequence[Member],
        *,
        run_dir: Path,
        logs: Path,
        otlp: str = "",
        drain_s: int = DRAIN_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        around = Surroundings(client=client, run_dir=run_dir, logs=logs, otlp=otlp, drain_s=drain_s)
        self._client = client
        self._lives = [Life(member, around, number) for number, member in enumerate(members)]
        self._tasks: list[asyncio.Task[int]] = []
        self._heartbeat_s = heartbeat_s

    async def run(self, ready: Callable[[], None] = lambda: None) -> int:
        """Run until :meth:`stop`, or until a member's command ends that is not to be kept; returns its exit code.

        *ready* is called when every proxy is live and every command listens.
        """
        async with asyncio.TaskGroup() as group:
            aside = [group.create_task(self._beat()), group.create_task(self._tell(ready))]
            self._tasks = [group.create_task(life.run()) for life in self._lives]
            ended, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            self.stop()
            await asyncio.wait(self._tasks)
            for task in aside:
                task.cancel()
        return next((task.result() for task in ended if not task.cancelled()), 0)

    @property
    def addresses(self) -> Mapping[str, str]:
        """The address of each registered instance, by its id."""
        return {life.id: life.address for life in self._lives if life.id}

    def stop(self) -> None:
        """Drain and end every member; called again, without waiting for what is in flight."""
        for life, task in zip(self._lives, self._tasks, strict=True):
            if life.ending or task.cancelling():
                life.hurry.set()
            else:
                task.cancel()

    def hurry(self) -> None:
        """End every member without waiting for what is in flight."""
        for life in self._lives:
            life.hurry.set()
        self.stop()

    async def _tell(self, ready: Callable[[], None]) -> None:
        for life in self._lives:
            await life.ready.wait()
        ready()

    async def _beat(self) -> None:
        away = False
        while True:
            await asyncio.sleep(self._heartbeat_s)
            lives = {life.id: life for life in self._lives if life.id}
            try:
                unknown = await self._client.heartbeat(lives)
            except AgentError as trouble:
                if not away:
                    log.warning("server away, traffic goes on: %s", trouble)
                away = True
                continue
            if away:
                log.warning("the server is back")
            away = False
            async with asyncio.TaskGroup() as group:
                for key in unknown:
                    if not lives[key].ending:
                        group.create_task(lives[key].register())
            for life in self._lives:
                with contextlib.suppress(OSError):
                    life.trim_logs()
