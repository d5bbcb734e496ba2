"""All benchmarks in one run: ``make bench``, or ``make bench ARGS=graph`` for one of them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable

from tests.bench import (
    graph_speed,
    mesh_speed,
    otlp_speed,
    page_speed,
    prometheus_speed,
    scale,
    tick_speed,
    trace_store_speed,
)


async def _print(lines: AsyncIterator[str]) -> None:
    async for line in lines:
        print(line, flush=True)


def _each(report: Callable) -> None:
    for line in report():
        print(line, flush=True)


BENCHMARKS = {
    "graph": lambda: _each(graph_speed.report),
    "istiopage": lambda: _each(page_speed.report),
    "otlp": lambda: _each(otlp_speed.report),
    "tick": lambda: asyncio.run(_print(tick_speed.report())),
    "traces": lambda: _each(trace_store_speed.report),
    "prometheus": lambda: asyncio.run(_print(prometheus_speed.report())),
    "push": lambda: asyncio.run(_print(mesh_speed.push_report())),
    "push50": lambda: asyncio.run(_print(scale.push_envoys())),
    "push1000": lambda: asyncio.run(_print(scale.push_simulated())),
    "newproxy": lambda: _each(scale.new_proxy),
    "flat": lambda: asyncio.run(_print(scale.flat_cost())),
    "pss": lambda: asyncio.run(_print(scale.sidecar_memory())),
    "latency": lambda: asyncio.run(_print(mesh_speed.latency_report())),
}


def main(names: list[str]) -> int:
    if unknown := set(names) - BENCHMARKS.keys():
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}: trust the ratios, not the absolute figures")
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
