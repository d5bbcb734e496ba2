"""Processes that end with their parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mesh_runtime.sidecar.binary import SidecarError

_LAUNCHER = """
import ctypes, os, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(sys.argv[1]))
if os.getppid() != int(sys.argv[2]):  # it died before the kernel was told
    os._exit(1)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Binds itself to its parent, then becomes the command. Not a ``preexec_fn``: that forks, and gRPC's threads do not survive it."""


class Child:
    """One child process, in a process group of its own so that a terminal's Ctrl-C does not reach it.

    The kernel signals it when this process dies, however that happens.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        output: Path | None = None,
        last_signal: signal.Signals = signal.SIGKILL,
    ) -> Child:
        """Start *command*; what it prints is appended to *output*, or goes where ours goes.

        *last_signal* is what it gets when this process dies. Raises :class:`SidecarError` when it cannot start.
        """
        searched = os.environ if environment is None else environment
        if shutil.which(command[0], path=searched.get("PATH")) is None:
            raise SidecarError(f"cannot start {command[0]}: there is no such program")
        launcher = (sys.executable, "-I", "-S", "-c", _LAUNCHER, str(int(last_signal)), str(os.getpid()))
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(output.open("ab")) if output else None
            process = await asyncio.create_subprocess_exec(
                *launcher,
                *map(str, command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT if log else None,
                env=environment,
                process_group=0,
            )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id, which is also its group's."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended: exit code, or minus the signal; ``None`` while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end and return how it was."""
        return await self._process.wait()

    async def end(self, grace_s: float) -> int:
        """Ask its group to end, insist after *grace_s*; it is gone on return."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                return await self.wait()
        except TimeoutError:
            return await self.kill()
        finally:
            self._signal_rest()

    async def kill(self) -> int:
        """End its group at once."""
        self._signal(signal.SIGKILL)
        return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _signal_rest(self) -> None:
        # What it started itself and left behind is still in its group; the group's id stays taken until then.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
