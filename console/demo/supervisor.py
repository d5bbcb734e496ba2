"""The demo's processes: one server, one agent for the whole shop, visitors, and what stands outside of the mesh."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from console.datadir import DataDir, DataDirError, ServerInfo
from console.demo.members import gateway_of, members
from console.demo.ports import Ports
from console.webhooks.signing import new_secret
from mesh_runtime.agent import wire
from mesh_runtime.agent.files import trim_log
from mesh_runtime.agent.process import Plan
from mesh_runtime.pauses import Pauses
from mesh_runtime.sidecar.child import Child

PYTHON = (sys.executable, "-m")
POLL_S = 0.05
TRIM_EVERY_S = 10.0
START_S = 60.0
DRAIN_S = 1
AGENT_GRACE_S = 12.0
"""Longer than an agent needs to drain and to insist."""
GRACE_S = 8.0


class DemoError(Exception):
    """The demo cannot start; the message says why and what to do."""


class Demo:
    """Runs everything until cancelled; then visitors leave first, the mesh drains, and the server is the last to go.

    The server is started again when it dies, on the same ports, while all else goes on.
    """

    def __init__(self, data: DataDir, ports: Ports, *, load: bool, say: Callable[[str], None]) -> None:
        self._data = data
        self._ports = ports
        self._load = load
        self._say = say
        self._logs = data.path / "logs"
        self._secret = new_secret()
        self._children: dict[str, Child] = {}
        self._up = False

    async def run(self, alive: Callable[[str], None]) -> None:
        """Run; *alive* is told the gateway's URL when the shop answers there. Raises :class:`DemoError`."""
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
            logs = group.create_task(self._trim_logs())
            stack.callback(logs.cancel)
            await stack.enter_async_context(self._kept(group, "server", *self._server()))
            await stack.enter_async_context(self._kept(group, "payments", *self._payments()))
            await stack.enter_async_context(self._kept(group, "inbox", *self._inbox()))
            server = await self._announced()
            self._up = True
            self._say("server is up")
            await asyncio.to_thread(_apply_shop, self._data.path, self._ports.payments)
            self._say("shop's config is applied")
            await self._mesh(group, server, alive)

    async def _mesh(self, group: asyncio.TaskGroup, server: ServerInfo, alive: Callable[[str], None]) -> None:
        """Run the agent with the shop, and visitors once the shop answers; all again should the agent die."""
        told = self._data.run_dir() / "members.json"
        plan = Plan(
            server=Path(server.socket),
            run_dir=self._data.run_dir(),
            logs=self._logs,
            members=members(),
            otlp=server.otlp_grpc,
            drain_s=DRAIN_S,
            told=told,
        )
        file = self._data.run_dir() / "plan.json"
        file.write_bytes(wire.encode(plan))
        pauses = Pauses()
        try:
            while True:
                told.unlink(missing_ok=True)
                async with self._started("agent", [*PYTHON, "mesh_runtime.agent", file]) as agent:
                    addresses = await _addresses(told, agent, self._log("agent"))
                    self._say(f"{len(addresses)} proxies are live")
                    code = await self._visited(group, await _answering(gateway_of(addresses)), agent, alive)
                self._say(f"the agent ended with code {code} and starts again; see {self._log('agent')}")
                await asyncio.sleep(pauses.next())
        finally:
            for own in (file, told):
                own.unlink(missing_ok=True)

    async def _visited(self, group: asyncio.TaskGroup, url: str, agent: Child, alive: Callable[[str], None]) -> int:
        async with contextlib.AsyncExitStack() as visitors:
            if self._load:
                load = [*PYTHON, "console.demo.load", "--url", url]
                await visitors.enter_async_context(self._kept(group, "load", load))
            alive(url)
            return await agent.wait()

    def _server(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        ports = self._ports
        endpoint = {"name": "inbox", "url": f"http://127.0.0.1:{ports.inbox}/", "secrets": [self._secret]}
        command: list[str | Path] = [
            *(*PYTHON, "console", "up", "--demo", "--data", self._data.path, "--port", str(ports.page)),
            *("--otlp-grpc-port", str(ports.otlp_grpc), "--otlp-http-port", str(ports.otlp_http)),
        ]
        return command, {
            "MESHSCOPE_WEBHOOKS__ENDPOINTS": json.dumps([endpoint]),
            "MESHSCOPE_WEBHOOKS__ALLOW_PRIVATE": '["127.0.0.1"]',
        }

    def _payments(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        return [*PYTHON, "console.demo.shop", "payments"], {"PORT": str(self._ports.payments)}

    def _inbox(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        command = [*PYTHON, "console.demo.inbox", "--port", str(self._ports.inbox)]
        return command, {"INBOX_SECRET": self._secret}

    async def _announced(self) -> ServerInfo:
        """Wait for the server's announcement. That it ends before its first one is the demo's end."""
        first = self._children["server"]
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if first.code is not None:
                raise DemoError(f"the server ended with code {first.code}:\n{_tail(self._log('server'))}")
            with contextlib.suppress(DataDirError):
                if (info := self._data.read_server()).pid == first.pid:
                    return info
            await asyncio.sleep(POLL_S)
        raise DemoError(f"the server is not up after {START_S:.0f} s; see {self._log('server')}")

    @asynccontextmanager
    async def _kept(
        self,
        group: asyncio.TaskGroup,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator[None]:
        """Have a process run during the block, started again whenever it ends."""
        first = asyncio.Event()
        keeper = group.create_task(self._keep(name, command, environment or {}, first), name=name)
        try:
            await first.wait()
            yield
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _keep(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], first: asyncio.Event
    ) -> None:
        pauses = Pauses()
        while True:
            async with self._started(name, command, environment) as child:
                first.set()
                code = await child.wait()
            if name == "server" and not self._up:
                return  # whoever waits for it says why
            self._say(f"{name} ended with code {code} and starts again; see {self._log(name)}")
            await asyncio.sleep(pauses.next())

    @asynccontextmanager
    async def _started(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[Child]:
        agent = name == "agent"
        child = await Child.start(
            command,
            environment={**os.environ, **(environment or {})},
            output=self._log(name),
            # An agent has files to remove, and takes its children with it; the others have nothing to lose.
            last_signal=signal.SIGTERM if agent else signal.SIGKILL,
        )
        self._children[name] = child
        try:
            yield child
        finally:
            await child.end(AGENT_GRACE_S if agent else GRACE_S)

    async def _trim_logs(self) -> None:
        while True:
            await asyncio.sleep(TRIM_EVERY_S)
            for name in self._children:
                trim_log(self._log(name))

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _apply_shop(data: Path, payments_port: int) -> None:
    """Write the objects that are not there; what a user changed in an earlier run stays as it is."""
    import yaml  # noqa: PLC0415  needed only now, while others start

    from console.cli.client import Client  # noqa: PLC0415
    from console.demo.manifests import text  # noqa: PLC0415

    client = Client(data=data)
    there = {_name(manifest) for manifest in client.get("/config")["items"]}
    wanted = yaml.safe_load_all(text(payments_port))
    # Where the payment provider listens may differ from run to run.
    missing = [manifest for manifest in wanted if _name(manifest) not in there or manifest["kind"] == "ServiceEntry"]
    client.post("/config", {"manifests": missing, "author": "demo", "reason": "the shop of the demo", "settle": False})


def _name(manifest: Mapping[str, Mapping[str, str]]) -> tuple[object, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


async def _addresses(told: Path, agent: Child, log: Path) -> Mapping[str, str]:
    deadline = time.monotonic() + START_S
    while (addresses := _read(told)) is None:
        if agent.code is not None:
            raise DemoError(f"the agent ended with code {agent.code}:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise DemoError(f"the shop does not run after {START_S:.0f} s; see {log}")
        await asyncio.sleep(POLL_S)
    return addresses


def _read(told: Path) -> Mapping[str, str] | None:
    if not told.exists():
        return None
    addresses: Mapping[str, str] = json.loads(told.read_text())
    return addresses


async def _answering(address: str) -> str:
    """Wait for the gateway's listener: on its port, or where it is when we may not bind that one."""
    while True:
        for port in (80, 8080):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    _, writer = await asyncio.open_connection(address, port)
                writer.close()
                return f"http://{address}" if port == 80 else f"http://{address}:{port}"
        await asyncio.sleep(POLL_S)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:]) if log.exists() else ""
