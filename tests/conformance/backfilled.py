"""A real Prometheus that remembers what it never scraped: exact counters, written as blocks."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

BIN = Path(sys.prefix) / "bin"
STEP_S = 15
BEFORE_S = 120
"""Counters begin so long before the window, so that they have a value where it begins."""
START_S = 30


class Counter(NamedTuple):
    """A counter that rises evenly until an instant."""

    metric: str
    labels: Mapping[str, str]
    per_second: float


def page(counters: Iterable[Counter], window_s: int, until_s: int) -> str:
    """Write the counters' samples in OpenMetrics."""
    begin = until_s - window_s - BEFORE_S
    instants = range(begin, until_s + 1, STEP_S)
    by_metric: dict[str, list[str]] = {}
    for counter in counters:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in counter.labels.items())
        by_metric.setdefault(counter.metric, []).extend(
            f"{counter.metric}{{{labels}}} {counter.per_second * (at - begin)!r} {at}" for at in instants
        )
    blocks = [line for metric, lines in by_metric.items() for line in (f"# TYPE {metric} unknown", *lines)]
    return "\n".join([*blocks, "# EOF", ""])


@contextlib.contextmanager
def prometheus(folder: Path, text: str) -> Iterator[str]:
    """Serve what the page says; give the server's address."""
    (folder / "page.om").write_text(text)
    (folder / "prometheus.yml").write_text("global: {}\n")
    blocks = [BIN / "promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "page.om", folder / "data"]
    subprocess.run(blocks, check=True, capture_output=True, timeout=120)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                BIN / "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--storage.tsdb.retention.time=200y",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            _wait(f"http://127.0.0.1:{port}/-/ready", server, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    last = time.monotonic() + START_S
    while time.monotonic() < last:
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"Prometheus does not start: {log.read_text()[-2000:]}")


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
