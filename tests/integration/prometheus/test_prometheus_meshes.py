"""Every mesh's pages, scraped by a real Prometheus: its dialect is found, and its edges are those of the pages."""

import contextlib
import json
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_rig import Exporter, Job, Prometheus, advancing, served, until

from collectors.prometheus.config import PrometheusConfig
from collectors.prometheus.source import PrometheusSource
from console.clock import SystemClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOLDEN = Path(__file__).parents[2] / "golden" / "dialects"
PAGES = {
    f"{page.parent.name}-{page.stem}": page
    for page in sorted(GOLDEN.glob("*/*.prom"))
    if page.parent.name not in {"istio", "acme"}
}


def target_of(page: str) -> dict[str, str]:
    first = page.partition("\n")[0]
    words = first.removeprefix("# target: ").split() if first.startswith("# target: ") else []
    return dict(one.split("=", 1) for one in words if not one.startswith(("job=", "instance=")))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(tmp_path_factory):
    exporter = Exporter()
    exporter.pages = {name: advancing(page.read_text()) for name, page in PAGES.items()}
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(exporter.app))
        jobs = [
            Job(name, [url[7:]], path=f"/{name}", labels=target_of(page.read_text())) for name, page in PAGES.items()
        ]
        server = await stack.enter_async_context(Prometheus(tmp_path_factory.mktemp("prometheus"), jobs))
        await until(lambda: server.value(f"sum(up) == {len(jobs)}"))
        yield server


def edge(key) -> str:
    ends = ("/".join(one) if one else "-" for one in key[:3])
    return f"{' > '.join(ends)} ({key.protocol})"


def expected(page: Path) -> set[tuple[str, str]]:
    return {(one["edge"], one["reporter"]) for one in json.loads(page.with_suffix(".json").read_text())}


@pytest.mark.parametrize("name", PAGES)
async def test_a_mesh_behind_a_prometheus_is_found_and_drawn(prometheus, name):
    page = PAGES[name]
    cluster = "Kubernetes" if page.parent.name.startswith("istio") else "c"
    config = PrometheusConfig(url=prometheus.url, name="p", cluster=cluster, cluster_label="", selector=f'job="{name}"')
    source = PrometheusSource(config, SystemClock())
    try:
        seen: set[tuple[str, str]] = set()

        async def all_seen() -> bool:
            seen.update((edge(one.edge), one.reporter) for one in await source.observe())
            return seen >= expected(page)

        await until(all_seen)
        assert [one.name for one in source.state.dialects] == [page.parent.name.removesuffix("-ambient")]
        assert seen == expected(page)
    finally:
        await source.close()
