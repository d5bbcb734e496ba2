"""One member of an agent: a registration, its proxy, and the command beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from mesh_runtime.agent.client import AgentClient, AgentError
from mesh_runtime.agent.environment import environment
from mesh_runtime.agent.files import trim_log
from mesh_runtime.agent.health import Health, listens, watch
from mesh_runtime.pauses import Pauses
from mesh_runtime.registration import Grant, Registration
from mesh_runtime.registry import Role
from mesh_runtime.sidecar.binary import SidecarError
from mesh_runtime.sidecar.bootstrap import bootstrap
from mesh_runtime.sidecar.child import Child
from mesh_runtime.sidecar.envoy import DRAIN_S, Envoy

log = logging.getLogger(__name__)

COMMAND_GRACE_S = 5.0
HURRIED_GRACE_S = 1.0
PATIENCE_S = 10.0
"""After it a user is told why nothing happens yet."""
NO_LEAVE: Final = (
    "the probe of its WorkloadGroup is a command: start it with --exec-probe, or with a --health of its own"
)
SILENT: Final = "its application does not answer its health check"


class Restart(StrEnum):
    """When a command that has ended is started again, after a pause that grows."""

    NEVER = "no"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"

    def wants(self, code: int) -> bool:
        """Tell whether a command that ended with this code is to be started again."""
        return self is Restart.ALWAYS or (self is Restart.ON_FAILURE and code != 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What an agent is to run."""

    registration: Registration
    command: tuple[str, ...] = ()
    """Empty for a gateway, and for an application that somebody else runs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """For the command, beside what every command gets."""
    restart: Restart = Restart.NEVER
    """Whether the command is started again when it ends; otherwise its end is the member's."""
    health: Health = field(default_factory=Health)
    """How to find out whether the application is ready. Without a path, its WorkloadGroup's way comes first."""
    runs_probes: bool = False
    """Whether config may have commands run here: the probes of its WorkloadGroup."""
    logged: bool = False
    """What the command prints goes to a file instead of the agent's own output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all members of an agent share."""

    client: AgentClient
    run_dir: Path
    logs: Path
    otlp: str
    drain_s: int = DRAIN_S


class Life:
    """A member from registration to removal. ``cancel`` its task to have it drained and ended."""

    def __init__(self, member: Member, around: Surroundings, number: int) -> None:
        self.ready = asyncio.Event()
        """Set once its proxy is live and its application answers."""
        self.hurry = asyncio.Event()
        """Set to end without waiting for requests in flight."""
        self.ending = False
        """True once it is being drained and ended."""
        self._member = member
        self._around = around
        self._registration = replace(member.registration, admin=str(around.run_dir / f"{number}.sock"), epoch=_now_ms())
        self._config = around.run_dir / f"{number}.json"
        self._grant: Grant | None = None
        self._envoy: Envoy | None = None
        self._registering = asyncio.Lock()
        self._changed = asyncio.Event()
        self._live = asyncio.Event()
        self._answers = False
        self._trouble = ""
        """Why it gets no requests, where that is not only because it starts."""
        self._command: Child | None = None

    @property
    def id(self) -> str:
        """The instance's id; empty until it is registered."""
        return self._grant.id if self._grant else ""

    @property
    def address(self) -> str:
        """The instance's address; empty until it is registered."""
        return self._grant.address if self._grant else ""

    async def run(self) -> int:
        """Live; returns the command's exit code when it ends and is not to be kept."""
        await self._find_port_free()
        try:
            await self.register()
            async with asyncio.TaskGroup() as group:
                teller = group.create_task(self._tell_changes())
                proxy = group.create_task(self._keep_proxy())
                try:
                    await self._live.wait()
                    return await self._keep_command()
                finally:
                    self.ending = True
                    teller.cancel()
                    await self._drain()
                    await self._end_command()
                    proxy.cancel()
        finally:
            await self._remove()

    async def register(self) -> None:
        """Register, or register again as what it already is."""
        async with self._registering:  # the newest state is the last one that the server hears
            serving = self._serving
            grant = await self._around.client.register(self._present(serving))
            if self._grant and _identity(grant) != _identity(self._grant):
                raise AgentError(f"the server has lost what it knew of {self._grant.id}; start it again")
            self._grant = grant
            self._registration = replace(self._registration, id=grant.id, token=grant.token)
        if serving:
            self.ready.set()

    def _present(self, serving: bool) -> Registration:
        return replace(self._registration, starting=not serving, trouble=self._trouble)

    def trim_logs(self) -> None:
        """Keep the logs below their cap."""
        for what in ("proxy", "command"):
            trim_log(self._log(what))

    @property
    def _serving(self) -> bool:
        return self._live.is_set() and self._answers

    async def _tell_changes(self) -> None:
        """Tell the server beside all else: what ended is started again whether it is there or not."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.register()

    async def _keep_proxy(self) -> None:
        pauses = Pauses()
        try:
            while True:
                self._envoy = self._new_proxy()
                await self._envoy.start()
                await self._ready(self._envoy)
                self._live.set()
                self._changed.set()
                code = await self._envoy.wait()
                self._live.clear()
                self._registration = replace(self._registration, epoch=_now_ms())
                self._changed.set()
                log.warning("proxy ended", extra={"instance": self.id, "code": code, "log": str(self._log("proxy"))})
                await asyncio.sleep(pauses.next())
        finally:
            if self._envoy:
                await self._envoy.stop()

    async def _ready(self, envoy: Envoy) -> None:
        about = {"instance": self.id, "log": str(self._log("proxy"))}
        notice = asyncio.get_running_loop().call_later(
            PATIENCE_S, lambda: log.warning("proxy still waits for its config", extra=about)
        )
        try:
            await envoy.ready()
        finally:
            notice.cancel()

    def _new_proxy(self) -> Envoy:
        assert self._grant is not None
        return Envoy(
            bootstrap(self._grant, self._registration),
            self._grant.start,
            config=self._config,
            log=self._log("proxy"),
            drain_s=self._around.drain_s,
        )

    async def _keep_command(self) -> int:
        pauses = Pauses()
        while True:
            code = await self._run_command()
            if not self._member.restart.wants(code):
                return code
            kept = {"log": str(self._log("command"))} if self._member.logged else {}
            log.warning("command ended", extra={"instance": self.id, "code": code, **kept})
            self._set_ready(yes=False, trouble=f"its command ended with code {code}")
            await asyncio.sleep(pauses.next())

    async def _find_port_free(self) -> None:
        """Raise :class:`SidecarError` where another program would get the requests that are meant for the command."""
        port = self._registration.port
        if self._member.command and await listens(Health(), port):
            raise SidecarError(
                f"127.0.0.1:{port} is taken: another program would get the requests for {self._registration.service};"
                " choose another port, or put that program into the mesh with add-to-mesh"
            )

    async def _run_command(self) -> int:
        if self._registration.role is Role.GATEWAY:
            self._set_ready(yes=True)
            return await asyncio.Future()  # its proxy is all there is
        if not self._member.command:
            await self._watch_health()
        self._command = await Child.start(
            self._member.command,
            environment=self._environment(),
            output=self._log("command") if self._member.logged else None,
        )
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch_health())
            code = await self._command.wait()
            watching.cancel()
        return code

    def _environment(self) -> Mapping[str, str]:
        assert self._grant is not None
        given = environment(self._grant, self._registration, otlp=self._around.otlp)
        return {**os.environ, **given, **self._member.environment}

    async def _watch_health(self) -> None:
        assert self._grant is not None
        own, of_group = self._member.health, self._grant.health
        health = own if own.path or of_group is None else of_group
        if health.command and not self._member.runs_probes:
            self._get_none(NO_LEAVE)
            await asyncio.Future()  # nobody may be asked
        notice = asyncio.get_running_loop().call_later(health.delay_s + PATIENCE_S, self._still_silent)
        try:
            await watch(health, self._registration.port, self._health_changed, self._environment())
        finally:
            notice.cancel()

    def _health_changed(self, ready: bool) -> None:
        if ready:
            self._set_ready(yes=True)
        else:
            self._get_none(SILENT)

    def _still_silent(self) -> None:
        if not self._answers and not self._trouble:
            self._get_none(SILENT)

    def _get_none(self, trouble: str) -> None:
        log.warning("%s gets no requests: %s", self.id, trouble)
        self._set_ready(yes=False, trouble=trouble)

    def _set_ready(self, *, yes: bool, trouble: str = "") -> None:
        self._answers, self._trouble = yes, trouble
        self._changed.set()

    async def _drain(self) -> None:
        if self._grant is None or self._envoy is None or (self._command and self._command.code is not None):
            return  # nobody is there to answer what is in flight
        try:
            await self._around.client.drain(self._grant.id)
        except AgentError as trouble:
            log.info("drained without the server", extra={"instance": self.id, "reason": str(trouble)})
        if not self.hurry.is_set() and await self._envoy.drain():
            await _at_most(self._around.drain_s, self.hurry)

    async def _end_command(self) -> None:
        if self._command is not None:
            await self._command.end(HURRIED_GRACE_S if self.hurry.is_set() else COMMAND_GRACE_S)

    async def _remove(self) -> None:
        if self._grant is None:
            return
        try:
            await self._around.client.remove(self._grant.id)
        except AgentError as trouble:
            log.info("left without the server; its lease runs out", extra={"instance": self.id, "reason": str(trouble)})

    def _log(self, what: str) -> Path:
        name = self.id.replace("/", ".") or self._registration.service
        return self._around.logs / f"{name}.{what}.log"


def _identity(grant: Grant) -> tuple[str, str, str]:
    return grant.id, grant.token, grant.address


async def _at_most(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
