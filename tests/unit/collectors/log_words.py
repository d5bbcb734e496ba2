"""Lines and stores of logs, for tests."""

from contextlib import asynccontextmanager

from clocks import FakeClock

from collectors.logs.sqlite import SqliteLogs
from graph.model import WorkloadRef
from graph.ports import LogLine, LogSource

NOW_MS = 1_790_000_000_000
CATALOG = WorkloadRef("Kubernetes", "shop", "catalog-v1", "catalog", "v1")
FRONTEND = WorkloadRef("Kubernetes", "shop", "frontend", "frontend", "")
TRACE = "0af7651916cd43dd8448eb211c80319c"


def line(text: str, *, s: float = 0, workload=CATALOG, source=LogSource.OUTPUT, **fields) -> LogLine:
    at_ns = (NOW_MS + int(s * 1000)) * 1_000_000
    return LogLine(**{"at_ns": at_ns, "text": text, "source": source, "workload": workload} | fields)


@asynccontextmanager
async def logs(folder, *, now_ms=NOW_MS, **options):
    options = {"capacity_bytes": 50_000_000} | options
    async with SqliteLogs(folder, FakeClock(now_ms), **options) as store:
        yield store


async def texts(store, query) -> list[str]:
    return [one.text for one in (await store.search(query)).lines]
