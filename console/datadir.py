"""The data directory: one server's whole state, its lock, and how others find that server."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

SOCKET_PATH_LIMIT = 80
"""A Unix socket's path has 107 usable bytes; names of sockets below the run directory need the rest."""


class DataDirError(Exception):
    """The directory cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What ``server.json`` says about the running server."""

    url: str
    socket: str
    pid: int
    otlp_grpc: str = ""
    """``http://host:port`` for ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
    otlp_http: str = ""


def default_path() -> Path:
    """``$XDG_STATE_HOME/meshscope/default``."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "meshscope" / "default"


class DataDir:
    """Paths below one data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.config = self.path / "config.db"
        self.registry = self.path / "registry.db"
        self.state = self.path / "state.db"
        self.snapshots = self.path / "snapshots.db"
        self.traces = self.path / "traces"
        self.ca = self.path / "ca"
        self.server = self.path / "server.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the directory and hold it: one server at a time writes here."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.path / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as taken:
                raise DataDirError(
                    f"another server already uses {self.path}; stop it, or choose another directory with --data"
                ) from taken
            yield

    def run_dir(self) -> Path:
        """Where sockets are, 0700; below the system's temporary directory where the path would be too long."""
        run = self.path / "run"
        if len(os.fsencode(run)) > SOCKET_PATH_LIMIT:
            digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
            run = Path(tempfile.gettempdir()) / f"meshscope-{os.getuid()}-{digest}"
        run.mkdir(exist_ok=True, mode=0o700)
        if run.stat().st_uid != os.getuid() or run.is_symlink():
            raise DataDirError(f"{run} belongs to someone else; remove it, or choose a shorter --data")
        run.chmod(0o700)
        return run

    def token(self) -> str:
        """Read the visitors' token kept here, made on first use; 0600."""
        path = self.path / "token"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(32))
        return path.read_text().strip()

    def announce(self, info: ServerInfo) -> None:
        """Write ``server.json`` in one step."""
        draft = self.server.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(info)) + "\n")
        draft.replace(self.server)

    def withdraw(self) -> None:
        """Remove ``server.json``: nobody answers here any more."""
        self.server.unlink(missing_ok=True)

    def read_server(self) -> ServerInfo:
        """Find the server of this directory, as it announced itself."""
        try:
            return ServerInfo(**json.loads(self.server.read_text()))
        except FileNotFoundError as trouble:
            raise DataDirError(
                f"no server runs on {self.path}; start one with `meshscope up` or `meshscope demo`,"
                " or name it with --data or --server"
            ) from trouble
        except (ValueError, TypeError) as trouble:
            raise DataDirError(f"{self.server} is damaged: {trouble}; start the server again") from trouble
