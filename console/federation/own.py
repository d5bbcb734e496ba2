"""How meshscope is doing, as gauges and counters; and the health that it sees in the mesh."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from collectors.poll import PollState
from console.federation.text import Family, Sample, labels
from console.signals.signal import Signal
from graph.model import Health, Snapshot

DROPPED = ("dropped_", "refused_", "lost_")
"""What counters of signals begin with that count what was let go."""
DROPPED_WHOLE = {"duplicate", "late", "overflow", "failed"}
TICKS_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def own_families(
    signals: Sequence[Signal], sources: Iterable[PollState], snapshot: Snapshot, *, now_ms: int, lag_s: float
) -> list[Family]:
    """Write the state of every part, and the health of every node with traffic."""
    polls = list(sources)
    return [
        _gauge(
            "meshscope_build_info", "The version that runs.", [Sample(labels({"version": version("meshscope")}), 1)]
        ),
        _gauge("meshscope_up", "Whether a part works.", (Sample(_part(one), float(one.ok)) for one in signals)),
        Family(
            name="meshscope_part",
            kind="untyped",
            help="What a part counts.",
            samples=(
                Sample(labels({"part": one.name, "name": name}), value)
                for one in signals
                for name, value in one.counters.items()
                if not _is_drop(name)
            ),
        ),
        Family(name="meshscope_dropped_total", kind="counter", help="What a part let go.", samples=_drops(signals)),
        _gauge("meshscope_source_age_seconds", "Time since a source was read.", _ages(polls, now_ms)),
        _gauge(
            "meshscope_source_failures",
            "Failed readings of a source since its last good one.",
            (Sample(labels({"source": one.source}), one.failures) for one in polls),
        ),
        _gauge("meshscope_loop_lag_seconds", "The worst delay of the loop in half a minute.", [Sample("", lag_s)]),
        _gauge("meshscope_health", "The health of a workload over a minute; always 1.", _health(snapshot)),
        *_process(),
    ]


def _gauge(name: str, what: str, samples: Iterable[Sample]) -> Family:
    return Family(name=name, kind="gauge", help=what, samples=samples)


def _part(signal: Signal) -> str:
    return labels({"part": signal.name})


def _is_drop(name: str) -> bool:
    return name in DROPPED_WHOLE or name.startswith(DROPPED)


def _drops(signals: Iterable[Signal]) -> Iterator[Sample]:
    for signal in signals:
        for name, value in signal.counters.items():
            if _is_drop(name):
                yield Sample(labels({"part": signal.name, "reason": name}), value)


def _ages(polls: Iterable[PollState], now_ms: int) -> Iterator[Sample]:
    """A source that never answered has no age: its failures tell."""
    for poll in polls:
        if poll.last_success_ms:
            yield Sample(labels({"source": poll.source}), (now_ms - poll.last_success_ms) / 1000)


def _health(snapshot: Snapshot) -> Iterator[Sample]:
    for node in snapshot.nodes.values():
        if node.health is not Health.IDLE:
            named = {
                "cluster": node.cluster,
                "namespace": node.namespace,
                "workload": node.workload or node.label,
                "app": node.app,
                "version": node.version,
                "kind": node.kind.value,
                "status": node.health.value,
            }
            yield Sample(labels(named), 1)


def _process() -> Iterator[Family]:
    """What Prometheus' own libraries tell of any process, by Linux' /proc."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_S
    began_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(fields[19]) / TICKS_S
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    yield Family(
        name="process_cpu_seconds_total", kind="counter", help="Processor time used.", samples=[Sample("", cpu_s)]
    )
    yield _gauge("process_resident_memory_bytes", "Memory in use.", [Sample("", resident)])
    yield _gauge("process_start_time_seconds", "When it began.", [Sample("", round(began_s, 2))])
    yield _gauge("process_open_fds", "Open files.", [Sample("", len(list(Path("/proc/self/fd").iterdir())))])
