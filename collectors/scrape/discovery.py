"""Targets that files and servers list, in the forms that Prometheus reads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import yaml

from collectors.errors import CollectorError
from collectors.http_pages import Http
from collectors.scrape.config import HttpSd, TargetGroup
from collectors.scrape.targets import read_groups
from graph.ports import Clock

MOST_BYTES = 16 * 1024 * 1024
TIMEOUT_S = 10.0
Stamp = tuple[int, int, int]
"""Inode, size and time of change: a file that was replaced or written has another."""


@dataclass(frozen=True, slots=True)
class _File:
    stamp: Stamp
    groups: Sequence[TargetGroup]
    error: str


class FileDiscovery:
    """Files, looked at anew at each reading. One that is broken keeps its last targets; one that is gone has none."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [Path(one).expanduser() for one in patterns]
        self._files: Mapping[Path, _File] = {}

    @property
    def error(self) -> str:
        """What is wrong with which file; where there is none at all, that."""
        if not self._files:
            return f"file_sd: there is no file {' or '.join(map(str, self._patterns))}"
        return "; ".join(one.error for one in self._files.values() if one.error)

    async def groups(self) -> Sequence[TargetGroup]:
        """Read the files that changed."""
        self._files = await asyncio.to_thread(self._look)
        return [group for one in self._files.values() for group in one.groups]

    async def close(self) -> None:
        """Nothing is held."""

    def _look(self) -> Mapping[Path, _File]:
        paths = [path for pattern in self._patterns for path in sorted(pattern.parent.glob(pattern.name))]
        return {path: self._file(path) for path in dict.fromkeys(paths)}

    def _file(self, path: Path) -> _File:
        known = self._files.get(path)
        try:
            status = path.stat()
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if known and known.stamp == stamp:
                return known
            return _File(stamp, _read(path, status.st_size), "")
        except (OSError, CollectorError) as trouble:
            why = f"{path}: {trouble.strerror}" if isinstance(trouble, OSError) else str(trouble)
            return _File((0, 0, 0), known.groups if known else (), why)


class HttpDiscovery:
    """A server that lists targets. While it does not answer, its last list counts."""

    def __init__(self, config: HttpSd, clock: Clock) -> None:
        self.error = ""
        self._config = config
        self._clock = clock
        self._http = Http(config, who=f"http_sd {config.url}", timeout_s=TIMEOUT_S, at_once=1, most_bytes=MOST_BYTES)
        self._groups: Sequence[TargetGroup] = ()
        self._due_ms = 0

    async def groups(self) -> Sequence[TargetGroup]:
        """Ask, if it is time to."""
        now_ms = self._clock.steady_ms()
        if now_ms >= self._due_ms:
            self._due_ms = now_ms + int(1000 * self._config.refresh_s)
            try:
                self._groups = await self._ask()
                self.error = ""
            except CollectorError as trouble:
                self.error = str(trouble)
        return self._groups

    async def close(self) -> None:
        """Let go of the connection."""
        await self._http.close()

    async def _ask(self) -> Sequence[TargetGroup]:
        url = self._config.url
        answer = await self._http.get(url, accept="application/json")
        if answer.status != 200:
            raise CollectorError(f"http_sd {url} answered {answer.status}, expected a list of targets")
        try:
            return read_groups(orjson.loads(answer.text), f"http_sd {url}")
        except orjson.JSONDecodeError as wrong:
            raise CollectorError(f"http_sd {url} answers no JSON: {wrong}") from None


def _read(path: Path, size: int) -> Sequence[TargetGroup]:
    if size > MOST_BYTES:
        raise CollectorError(f"{path}: more than {MOST_BYTES} bytes")
    try:
        text = path.read_text()
        document = orjson.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (UnicodeDecodeError, orjson.JSONDecodeError, yaml.YAMLError) as wrong:
        raise CollectorError(f"{path}: {wrong}") from None
    return read_groups(document if document is not None else [], str(path))
