"""The receiver under the spans of 5,000 services with 50,000 names, 20,000 a second: nothing grows, nothing gets lost.

20 seconds with a short memory for calls; ``SOAK=1`` is 20 minutes with the usual one. ``OTLP_SOAK_S`` says otherwise: ten
minutes at least, of which the first five are to warm up.
"""

import json
import os
import select
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from otlp_load import DIFFERENT, SPANS, WARM_ROUNDS

LONG = bool(os.environ.get("SOAK"))
SECONDS = int(os.environ.get("OTLP_SOAK_S", "1200" if LONG else "20"))
RATE = 20_000
PENDING_S = 10 if LONG else 2
WARM_S = 300 if LONG else 8
"""More than twice as long as calls are remembered. After five minutes the graph's past has two thirds of what it has
after an hour, when it is full: it grows with the logarithm of its age, and it is the one thing that still grows then."""
LAG_MS = 100
GROWTH = 1.05 if LONG else 1.2
ROOT = Path(__file__).parents[3]
LOAD = Path(__file__).with_name("otlp_load.py")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS + 180)]


class Program:
    """One of the two processes of the load."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(LOAD), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def told(self):
        return json.loads(self.process.stdout.readline())

    def tells_within(self, seconds: float) -> bool:
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def ask(self, what: str):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self.told()

    def mib(self) -> float:
        """What it has allocated for itself; files that it maps are shared with whoever else runs."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:")) / 1024


def test_memory_stays_flat_the_loop_stays_quick_and_every_span_is_accounted_for(record_property):
    with Program("serve", PENDING_S) as server, Program("send", server.told(), RATE, SECONDS) as sender:
        assert sender.told() == "ready"
        began = time.monotonic()
        while time.monotonic() - began < WARM_S or server.ask("state")["spans"] < WARM_ROUNDS * DIFFERENT * SPANS:
            time.sleep(1)
        warm = server.ask("warm")
        memory = [server.mib()]
        while not sender.tells_within(1):
            memory.append(server.mib())
        load = sender.told()
        end = server.ask("state")
        while end["pending_spans"]:
            time.sleep(1)
            end = server.ask("state")
        server.process.stdin.close()
        in_the_graph = server.told()
    quarter = max(1, len(memory) // 4)
    before, after = statistics.median(memory[:quarter]), statistics.median(memory[-quarter:])
    for name, of in (("memory", memory), ("load", load), ("end", end)):
        record_property(name, json.dumps(of))
    print(f"\n{load} {end} memory {before:.0f} to {after:.0f} MiB, {in_the_graph:.0f} requests in the graph")
    print(f"of it the graph's past: {warm['graph_mib']:.1f} to {end['graph_mib']:.1f} MiB")

    assert end["spans"] == load["sent"] + load["repeated"]
    assert end["spans"] == end["counted_spans"] + end["internal_spans"] + sum(end["drops"].values())
    assert end["drops"]["duplicate_spans"] == load["repeated"]
    assert sum(end["drops"].values()) == load["repeated"]
    assert in_the_graph == load["sent"] / 2 == end["counted_spans"] / 2
    assert end["series"] <= 60_000
    assert end["other_operations"] > 0
    assert after <= GROWTH * before
    if LONG:  # how late a loop is in twelve seconds says more of the machine
        assert end["lag_ms"] <= LAG_MS + load["lag_ms"]
