"""A real Prometheus, what it scrapes, and what may stand in front of it."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
import orjson
from aiohttp import web
from free_ports import free_port

PROMETHEUS = Path(sys.prefix) / "bin" / "prometheus"
SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$")


@contextlib.asynccontextmanager
async def served(app: web.Application, port: int = 0):
    """Serve on loopback; give the address."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Exporter:
    """Serves pages of the text format, one per path, whose counters tests turn."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[], str]] = {}
        self.app = web.Application()
        self.app.router.add_get("/{page:.*}", self._page)

    async def _page(self, request: web.Request) -> web.Response:
        page = self.pages.get(request.match_info["page"])
        if page is None:
            return web.Response(status=404)
        return web.Response(text=page(), content_type="text/plain", charset="utf-8")


def advancing(page: str, per_second: float = 1.0) -> Callable[[], str]:
    """Let every counter of a page grow in proportion to what it holds: as if its traffic went on."""
    started = time.monotonic()
    lines = [(line, SAMPLE.match(line)) for line in page.splitlines()]

    def now() -> str:
        share = 1 + per_second * (time.monotonic() - started)
        return "".join(f"{found[1]} {float(found[2]) * share!r}\n" if found else f"{line}\n" for line, found in lines)

    return now


@dataclass
class Job:
    """One scrape job."""

    name: str
    addresses: list[str]
    path: str = "/metrics"
    labels: dict[str, str] = field(default_factory=dict)
    per_target: list[dict[str, str]] = field(default_factory=list)
    """Instead of ``addresses`` with ``labels``: each target's labels, its address among them."""
    rules: list[dict[str, str]] = field(default_factory=list)
    """Its ``metric_relabel_configs``."""


class Prometheus:
    """A real server, on a free port of loopback."""

    def __init__(self, directory: Path, jobs: list[Job], interval: str = "1s", flags: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._jobs = jobs
        self._interval = interval
        self._flags = flags
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._configure()
        await self.start()
        return self

    async def __aexit__(self, *_) -> None:
        await self.stop()

    async def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                PROMETHEUS,
                f"--config.file={self.directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--web.enable-remote-write-receiver",
                "--log.level=warn",
                *self._flags,
                stdout=log,
                stderr=log,
            )
        async with aiohttp.ClientSession() as session:
            await until(lambda: self._is_ready(session))

    async def reload(self) -> None:
        """Take changed jobs in."""
        loaded = "prometheus_config_last_reload_success_timestamp_seconds"
        before = await self._own(loaded)
        self._configure()
        await asyncio.sleep(max(0.0, before + 1 - time.time()))  # its clock of reloads counts whole seconds
        self._process.send_signal(signal.SIGHUP)

        async def is_loaded() -> bool:
            return await self._own(loaded) > before

        await until(is_loaded)

    async def _own(self, metric: str) -> float:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as answer:
            return float(re.search(rf"^{metric} (\S+)$", await answer.text(), re.MULTILINE)[1])

    def _configure(self) -> None:
        (self.directory / "prometheus.yml").write_bytes(orjson.dumps(self._config()))

    async def stop(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    def cpu_s(self) -> float:
        """Used so far."""
        after_name = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    async def value(self, query: str) -> float | None:
        """The first number that a query brings."""
        return await value(self.url, query)

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        assert self._process.returncode is None, (self.directory / "log").read_text()
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"{self.url}/-/ready") as answer:
                return answer.status == 200
        return False

    def _config(self) -> dict:
        return {
            "global": {"scrape_interval": self._interval, "scrape_timeout": self._interval},
            "scrape_configs": [
                {
                    "job_name": job.name,
                    "metrics_path": job.path,
                    "honor_labels": True,
                    "metric_relabel_configs": job.rules,
                    "static_configs": [{"targets": job.addresses, "labels": job.labels}]
                    if job.addresses
                    else [
                        {"targets": [one["address"]], "labels": {k: v for k, v in one.items() if k != "address"}}
                        for one in job.per_target
                    ],
                }
                for job in self._jobs
            ],
        }


async def value(url: str, query: str) -> float | None:
    """The first number that a query brings."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/api/v1/query", data={"query": query}) as answer,
    ):
        found = (await answer.json())["data"]["result"]
        return float(found[0]["value"][1]) if found else None


async def until(condition, timeout_s: float = 60, every_s: float = 0.1):
    """Wait for what only another process can bring about."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        await asyncio.sleep(every_s)


class Misbehaving:
    """A proxy in front of a Prometheus: down, slow, cut off, talking nonsense, forgetful, or living in another time."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.delay_s = 0.0
        self.body: bytes | None = None
        """Answered to everything, with 200."""
        self.status = 0
        """Answered to everything, if set."""
        self.is_cut = False
        """Whether connections are lost in the middle of an answer."""
        self.sample = ""
        """The value of every raw sample, if set."""
        self.lose: Callable[[dict], bool] = lambda _metric: False
        """Which series are not passed on."""
        self.warning = ""
        self.skew_s = 0.0
        self.requests = 0
        self.headers: list[dict[str, str]] = []
        self.app = web.Application(client_max_size=1 << 24)
        self.app.router.add_route("*", "/{path:.*}", self._pass)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.headers.append(dict(request.headers))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.status:
            return web.Response(status=self.status, text="upstream is away")
        if self.body is not None:
            return web.Response(body=self.body, content_type="text/html")
        form = dict(await request.post())
        for name in ("time", "start", "end"):
            if name in form:
                form[name] = str(float(form[name]) - self.skew_s)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                f"{self.target}/{request.match_info['path']}",
                data=form if request.method == "POST" else None,
                params=request.query,
            ) as answer,
        ):
            body, status = await answer.read(), answer.status
        if request.match_info["path"].endswith("/query") and status == 200:
            body = self._bent(body)
        if self.is_cut:
            return await self._half(request, body)
        return web.Response(status=status, body=body, content_type="application/json")

    @staticmethod
    async def _half(request: web.Request, body: bytes) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await answer.prepare(request)
        await answer.write(body[: len(body) // 2])
        request.transport.close()
        return answer

    def _bent(self, body: bytes) -> bytes:
        answer = orjson.loads(body)
        if self.warning:
            answer["warnings"] = [self.warning]
        data = answer["data"]
        if data["resultType"] == "scalar":
            at, value = data["result"]
            data["result"] = [at + self.skew_s, str(float(value) + self.skew_s)]
        else:
            data["result"] = [one for one in data["result"] if not self.lose(one["metric"])]
            for one in data["result"]:
                for values in (one.get("values", ()), [one["value"]] if "value" in one else ()):
                    for sample in values:
                        sample[0] += self.skew_s
                for sample in one.get("values", ()) if self.sample else ():
                    sample[1] = self.sample
        return orjson.dumps(answer)
