"""The demo as a process of its own, watched from outside: what it says, what it draws, who belongs to it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket

from console.cli.client import Client, ServerError
from console.datadir import DataDir

MESHSCOPE = (sys.executable, "-m", "console")
PATIENCE_S = 200
"""Longer than anything takes on a slow machine, and less than a test may take."""
ECHO = (sys.executable, str(Path(__file__).parents[2] / "echo.py"))


def stat_of(pid):
    """Parent and start time of a process; None when it is gone or only waits to be buried."""
    with suppress(FileNotFoundError, ProcessLookupError):
        rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return None if rest[0] == "Z" else (int(rest[1]), int(rest[19]))


def family(root):
    """Every descendant: pid, and when it was started, so that a number used again is not mistaken for it."""
    every = {int(p.name): about for p in Path("/proc").glob("[0-9]*") if (about := stat_of(p.name))}
    found, ranks = {}, [root]
    while ranks:
        ranks = [pid for pid, (parent, _) in every.items() if parent in ranks]
        found |= {pid: every[pid][1] for pid in ranks}
    return found


def alive(members):
    return {pid: name_of(pid) for pid, start in members.items() if (about := stat_of(pid)) and about[1] == start}


def name_of(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:160]
    return ""


def until(condition, timeout_s=PATIENCE_S, tell=lambda: ""):
    """Wait for something true and return it; *tell* says how things are when it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s\n{tell()}"
        time.sleep(0.1)
    return result


class _Admin(HTTPConnection):
    def connect(self):
        self.sock = socket(AF_UNIX)
        self.sock.connect(self.host)


def why(data):
    """What the proxies say of requests that failed: each of their counters with a 5xx or a flag."""
    lines = []
    for admin in DataDir(data).run_dir().glob("a*/*.sock"):
        with suppress(OSError):
            connection = _Admin(str(admin))
            connection.request("GET", "/stats/prometheus?filter=^istio", headers={"host": "envoy"})
            page = connection.getresponse().read().decode()
            connection.close()
            lines += [line for line in page.splitlines() if 'response_code="5' in line or 'response_code="0' in line]
    return "\n".join(lines)


class Demo:
    """``meshscope demo`` on a data directory."""

    def __init__(self, data, *options, **environment):
        self.data = data
        self.output = data.parent / f"{data.name}.output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*MESHSCOPE, "demo", "--data", str(data), "--port", "0", *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                process_group=0,
            )
        self.client = Client(data=data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Kill the root; that nothing outlives it is part of every test."""
        left = self.family()
        self.process.kill()
        self.process.wait()
        until(lambda: not alive(left))

    def says(self, words):
        text = self.output.read_text()
        assert self.process.poll() is None or words in text, text
        return words in text

    def until_open(self):
        until(lambda: self.says("Ctrl-C here ends all of it"), tell=self.output.read_text)
        return self

    def edges(self):
        with suppress(ServerError):
            return {
                (edge["source"], edge["target"]): edge
                for edge in self.client.get("/graph", window=10)["edges"]
                if edge["rate"]
            }
        return {}

    def proxies(self):
        return {item["instance"]: item for item in self.client.get("/proxies")["items"]}

    def family(self):
        return family(self.process.pid)

    def named(self, part):
        return sorted(pid for pid in self.family() if part in name_of(pid))

    def kill_all(self):
        """SIGKILL, the root and everyone below it at once; who they were."""
        everyone = self.family()
        for pid in (self.process.pid, *everyone):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return everyone
