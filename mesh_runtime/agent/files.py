"""The files of an agent: a private directory that goes with it, and logs that stay small."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOG_CAP_BYTES = 4 * 1024 * 1024
"""A log that has grown beyond it is moved to ``<name>.1``, where it replaces the one before."""


@contextmanager
def run_directory(parent: Path) -> Iterator[Path]:
    """Make a directory (0700) for sockets and secrets that lasts as long as the block.

    Directories left behind by agents that were killed are removed on the way.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = parent / f"a{os.getpid()}"
    with contextlib.ExitStack() as stack:
        with _held(parent, wait=True):  # or agents that start at once take each other's for left behind
            for left in parent.glob("a[0-9]*"):
                with contextlib.suppress(BlockingIOError, FileNotFoundError), _held(left):
                    shutil.rmtree(left, ignore_errors=True)
            own.mkdir(mode=0o700)
            stack.enter_context(_held(own))
        try:
            yield own
        finally:
            shutil.rmtree(own, ignore_errors=True)


@contextmanager
def _held(directory: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the directory's lock, which ends with the process. Raises :class:`BlockingIOError` unless it is to wait."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def trim_log(path: Path, cap_bytes: int = LOG_CAP_BYTES) -> None:
    """Keep a log that a process appends to below the cap."""
    if path.exists() and path.stat().st_size > cap_bytes:
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


@contextmanager
def pid_file(path: Path) -> Iterator[None]:
    """Write this process's id to a file that is there, and locked, for as long as the block lasts."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def pid_in(path: Path) -> int:
    """Return the id of the process that holds a pid file; 0: nobody does, and the file is removed."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return 0
    except BlockingIOError:
        return int(path.read_text() or 0)
    return 0
