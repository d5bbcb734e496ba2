"""One Envoy process: started, ready, drained, ended."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from mesh_runtime.registration import Start
from mesh_runtime.sidecar.binary import SidecarError, envoy_path
from mesh_runtime.sidecar.child import Child

DRAIN_S = 3
LISTENER_DRAIN_S = 3
"""Replaced listeners are drained for so long at least. With them goes what they alone counted: scrapes read it before."""
READY_POLL_S = 0.03
ADMIN_TIMEOUT_S = 2.0
TERM_GRACE_S = 2.0


class Envoy:
    """One Envoy, from its bootstrap to its end. ``bootstrap`` names the admin socket it is asked at."""

    def __init__(
        self, bootstrap: Mapping[str, Any], start: Start, *, config: Path, log: Path, drain_s: int = DRAIN_S
    ) -> None:
        self._bootstrap = bootstrap
        self._start = start
        self._config = config
        self._log = log
        self._admin = Path(bootstrap["admin"]["address"]["pipe"]["path"])
        self._drain_s = drain_s
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 before it was started."""
        return self._child.pid if self._child else 0

    async def start(self) -> None:
        """Start the process; it is usable after :meth:`ready`."""
        self._remove_files()
        _write_private(self._config, json.dumps(self._bootstrap))
        threads = self._start.concurrency
        self._child = await Child.start(
            [
                envoy_path(),
                *("-c", self._config),
                *(("--concurrency", str(threads)) if threads else ()),
                "--disable-hot-restart",
                *("--log-level", "warning"),
                # The stats logger cannot do without a deprecated field, which would be logged at each push.
                "--skip-deprecated-logs",
                *("--drain-time-s", str(max(LISTENER_DRAIN_S, self._drain_s))),
                *("--drain-strategy", "immediate"),
                # Access logs: Envoy's own 10 s are too long to wait for a line.
                *("--file-flush-interval-msec", "1000"),
            ],
            environment={**os.environ, **self._start.environment},
            output=self._log,
        )

    async def ready(self) -> None:
        """Wait until it has its config and takes traffic. Raises :class:`SidecarError` if it ends instead."""
        async with self._asking() as admin:
            while not await _live(admin):
                if self._running().code is not None:
                    raise SidecarError(f"Envoy ended with code {self._running().code} at its start; see {self._log}")
                await asyncio.sleep(READY_POLL_S)

    async def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return await self._running().wait()

    async def drain(self) -> bool:
        """Have it tell clients to go elsewhere and close its listeners after the drain time.

        False when it does not answer: then there is nothing to wait for.
        """
        try:
            async with self._asking() as admin, admin.post("/drain_listeners?graceful") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def stop(self) -> None:
        """End it and remove its files; harmless when it never started."""
        if self._child is not None:
            await self._child.end(TERM_GRACE_S)
        self._remove_files()

    def _remove_files(self) -> None:
        self._config.unlink(missing_ok=True)
        self._admin.unlink(missing_ok=True)

    def _running(self) -> Child:
        assert self._child is not None, "start it first"
        return self._child

    def _asking(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            "http://envoy",
            connector=aiohttp.UnixConnector(str(self._admin)),
            timeout=aiohttp.ClientTimeout(total=ADMIN_TIMEOUT_S),
        )


async def _live(admin: aiohttp.ClientSession) -> bool:
    try:
        async with admin.get("/ready") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False  # not listening yet


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
