"""``meshscope doctor`` beside a real Prometheus: what it advises, pasted, mends."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_rig import Exporter, Job, Prometheus, advancing, served, until

ISTIO = Path(__file__).parents[2] / "golden" / "dialects" / "istio"
FREE_PORTS = "[web]\nport = 0\n[otlp]\ngrpc_port = 0\nhttp_port = 0\n"


def proxy(name: str):
    """The page of a proxy of Istio's, as a pod's is scraped."""
    return advancing((ISTIO / f"{name}.prom").read_text().replace("envoy_istio_", "istio_"))


@pytest.fixture
def doctor(tmp_path):
    """Run the command beside no server; give its exit code and what it says, by name."""
    settings = tmp_path / "meshscope.toml"
    settings.write_text(FREE_PORTS)

    async def run(*arguments: str) -> tuple[int, dict[str, dict]]:
        command = ["doctor", "--data", tmp_path / "none", "--settings", settings, "-o", "json", *arguments]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "console", *map(str, command), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return process.returncode, {one["name"]: one for one in json.loads(out)["items"]}

    return run


async def test_the_rules_that_a_doctor_advises_bring_dropped_labels_back(tmp_path, doctor):
    exporter = Exporter()
    exporter.pages["proxy"] = proxy("sidecar")
    async with served(exporter.app) as url:
        noise = {"action": "labeldrop", "regex": "noise"}
        job = Job("mesh", [url[7:]], path="/proxy")
        job.rules = [{"action": "labeldrop", "regex": "(source|destination)_.+"}, noise]
        async with Prometheus(tmp_path / "prometheus", [job]) as server:
            await until(lambda: server.value("sum(istio_requests_total)"))
            code, found = await doctor("--prometheus", f"p={server.url}")
            told = found["prometheus p: istio"]
            assert (code, told["verdict"], told["presence"]) == (1, "fail", "failing")
            assert "the job mesh takes source_cluster" in told["text"]
            advice = told["advice"][0]
            assert "in the job mesh" in advice["text"]

            job.rules = yaml.safe_load(advice["paste"])["metric_relabel_configs"]
            assert job.rules == [{"regex": "noise", "action": "labeldrop"}]
            await server.reload()
            await until(lambda: server.value('sum(istio_requests_total{source_workload!=""})'))
            code, found = await doctor("--prometheus", f"p={server.url}")
            assert (code, found["prometheus p: istio"]["verdict"]) == (0, "ok"), found["prometheus p: istio"]


async def test_what_only_ambient_mode_needs_and_lacks_is_told_where_a_ztunnel_is(tmp_path, doctor):
    exporter = Exporter()
    exporter.pages |= {name: proxy(name) for name in ("sidecar", "ambient")}
    async with served(exporter.app) as url:
        jobs = [Job("mesh", [url[7:]], path="/sidecar")]
        async with Prometheus(tmp_path / "prometheus", jobs) as server:
            await until(lambda: server.value("sum(istio_requests_total)"))
            code, found = await doctor("--prometheus", f"p={server.url}")
            told = found["prometheus p: istio"]
            assert (code, told["verdict"]) == (0, "ok"), told
            assert "ambient" not in told["text"]

            jobs.append(Job("ztunnel", [url[7:]], path="/ambient"))
            await server.reload()
            await until(lambda: server.value("sum(istio_build)"))
            code, found = await doctor("--prometheus", f"p={server.url}")
            told = found["prometheus p: istio"]
            assert (code, told["verdict"]) == (1, "fail"), told
            assert "no requests: ambient mode counts connections" in told["text"]
            assert "__meta_kubernetes_pod_label_app" in told["advice"][0]["paste"]
