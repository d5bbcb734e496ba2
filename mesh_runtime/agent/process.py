"""An agent as the whole of a process: its plan, its signals, its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from mesh_runtime.agent.agent import Agent
from mesh_runtime.agent.client import AgentClient
from mesh_runtime.agent.files import pid_file, run_directory
from mesh_runtime.agent.member import Member
from mesh_runtime.sidecar.envoy import DRAIN_S

Ready = Callable[[Mapping[str, str]], None]
"""Told the address of each instance by its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an agent process is to do."""

    server: Path
    """The server's Unix socket."""
    run_dir: Path
    """Below it the agent makes its own private directory; a short path, since sockets lie there."""
    logs: Path
    members: tuple[Member, ...]
    otlp: str = ""
    """``http://host:port`` of the receiver that commands send their telemetry to."""
    drain_s: int = DRAIN_S
    told: Path | None = None
    """Where to write, once all is ready, the address of each instance by its id, as JSON."""
    pid: Path | None = None
    """A file that holds the process's id while it lives: how others find an agent that runs in the background."""


async def carry_out(plan: Plan, ready: Ready = lambda _: None) -> int:
    """Run a plan until SIGINT, SIGTERM, SIGHUP or the end of a command; returns the process's exit code.

    *ready* is called when every proxy is live and every command listens.
    A second signal, or one that comes after the parent process has died, ends it without waiting for
    requests in flight.
    """
    parent = os.getppid()
    with pid_file(plan.pid) if plan.pid else nullcontext(), run_directory(plan.run_dir) as run_dir:
        async with AgentClient(plan.server) as client:
            agent = Agent(client, plan.members, run_dir=run_dir, logs=plan.logs, otlp=plan.otlp, drain_s=plan.drain_s)

            def end() -> None:
                if os.getppid() == parent:
                    agent.stop()
                else:
                    agent.hurry()

            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, end)

            def tell() -> None:
                if plan.told:
                    fresh = plan.told.with_suffix(".new")
                    fresh.write_text(json.dumps(dict(agent.addresses)))
                    fresh.replace(plan.told)
                ready(agent.addresses)

            code = await agent.run(tell)
    return code if code >= 0 else 128 - code


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of the groups inside it."""
    for part in group.exceptions:
        if isinstance(part, BaseExceptionGroup):
            yield from leaves(part)
        else:
            yield part
