"""Every request is counted once, and everybody counts the same: visitors, both ends' proxies, spans."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.request import urlopen

import aiohttp
import pytest
from demo_process import MESHSCOPE, alive, family, until

from console.cli.client import Client
from console.datadir import DataDir, DataDirError
from console.demo import load
from console.demo.members import free_ports
from mesh_runtime.agent import wire
from mesh_runtime.agent.member import Member, Restart
from mesh_runtime.agent.process import Plan
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Role

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("exact")]

REQUESTS = 2_000
RATE = 250.0
AT_ONCE = 250
"""A busy machine makes it longer, not wrong: so many requests end before the next ones begin."""
PATIENCE_S = 60
PATH = "/go?url=http://stock/"
ECHO = (sys.executable, str(Path(__file__).parents[2] / "traced_echo.py"))
REPORTERS = ("source", "destination", "trace")
WEB = ("ingress", "web")
RARE = FEW = 20
ACCESS_LOG = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logged, namespace: shop}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
"""
CONFIG = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: shop}
spec: {selector: {app: stock}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress, namespace: shop}
spec:
  selector: {app: ingress}
  servers: [{port: {number: 18080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [ingress]
  http: [{route: [{destination: {host: web}}], retries: {attempts: 0}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock, namespace: shop}
spec:
  hosts: [stock]
  http: [{route: [{destination: {host: stock}}], retries: {attempts: 0}}]
"""


def app(service, version, port):
    registration = Registration(role=Role.SIDECAR, namespace="shop", service=service, version=version, port=port)
    return Member(registration=registration, command=ECHO, restart=Restart.ALWAYS, logged=True)


def members():
    """A gateway, a caller in two copies, and two versions of whom it calls."""
    gateway = Registration(role=Role.GATEWAY, namespace="shop", service="ingress", labels={"app": "ingress"})
    apps = (("web", ""), ("web", ""), ("stock", "v1"), ("stock", "v2"))
    named = (app(*who, port) for who, port in zip(apps, free_ports(), strict=False))
    return (Member(registration=gateway), *named)


class Mesh:
    """A server, and an agent with the mesh's programs, each a process of its own."""

    def __init__(self, path):
        self.data = DataDir(path / "data")
        self.path = path
        self.client = Client(data=self.data.path)
        self.stack = ExitStack()

    def __enter__(self):
        with self.stack:
            self.open()
            self.stack = self.stack.pop_all()
        return self

    def open(self):
        ports = ("--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0")
        self.start("server", *MESHSCOPE, "up", "--data", str(self.data.path), *ports)
        server = until(self.announced, PATIENCE_S)
        self.client.post("/config", {"yaml": CONFIG, "author": "test"})
        run_dir = self.data.run_dir() / "exact"
        run_dir.mkdir()
        plan = Plan(
            server=Path(server.socket),
            run_dir=run_dir,
            logs=self.path / "logs",
            members=members(),
            otlp=server.otlp_grpc,
            told=self.path / "addresses",
        )
        (self.path / "plan").write_bytes(wire.encode(plan))
        self.agent = self.start("agent", sys.executable, "-m", "mesh_runtime.agent", str(self.path / "plan"))
        self.addresses = json.loads(until(lambda: plan.told.exists() and plan.told.read_text(), PATIENCE_S))
        self.url = f"http://{self.addresses['shop/ingress~0']}:18080"
        (self.admin,) = run_dir.iterdir()
        until(self.answers, PATIENCE_S)

    def __exit__(self, *_):
        self.stack.close()

    def start(self, name, *command):
        with (self.path / f"{name}.output").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, process_group=0)

        def end():
            left = family(process.pid)
            process.kill()
            process.wait()
            until(lambda: not alive(left))

        self.stack.callback(end)
        return process

    def announced(self):
        with suppress(DataDirError):
            return self.data.read_server()

    def answers(self):
        with suppress(OSError), urlopen(self.url + PATH, timeout=PATIENCE_S) as answer:
            return answer.status == 200

    def browse(self, requests, path=PATH, status=200):
        """Send exactly so many requests, each of which is answered so."""
        report = load.Report(target_rate=RATE)

        async def in_turns():
            for sent in range(0, requests, AT_ONCE):
                number = min(AT_ONCE, requests - sent)
                await load.generate(
                    self.url, load.visit([path]), rate=RATE, requests=number, timeout_s=60, report=report
                )

        asyncio.run(in_turns())
        assert (report.sent, report.statuses) == (requests, {status: requests}), report.json()

    def told(self):
        """Per edge what each reporter has counted."""
        edges = self.client.get("/graph", type="versionedApp", window=3600)["edges"]
        return {
            (name(edge["source"]), name(edge["target"])): {one["reporter"]: one["requests"] for one in edge["evidence"]}
            for edge in edges
        }

    def all_told(self, to_stock, to_web=1):
        """Wait until everybody has told of so many requests; then for the next word of everybody, too."""

        def heard():
            told = self.told()
            of_web = [told.get(WEB, {}).get(by, 0) for by in REPORTERS[:2]]
            return min(of_web) >= to_web and min(in_stock(told, by) for by in REPORTERS) >= to_stock

        until(heard, PATIENCE_S, self.told)
        revision = self.client.get("/graph", window=3600)["revision"]
        until(lambda: self.client.get("/graph", window=3600)["revision"] >= revision + 3, PATIENCE_S)
        return self.told()

    def says(self, part):
        """The counters that a part of the server shows of itself."""
        return next(one["counters"] for one in self.client.get("/signals")["items"] if one["name"] == part)

    def proxy(self, number):
        """The process of a member's proxy; 0 while there is none."""
        config = f"/{number}.json".encode()
        for pid in family(self.agent.pid):
            with suppress(OSError):
                if any(part.endswith(config) for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")):
                    return pid
        return 0

    def counters(self, number, **labels):
        """What a member's proxy itself says that it has counted."""
        page = self.page(number, "stats/prometheus?filter=istio.requests_total")
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in page.splitlines() if line.startswith("envoy_istio_requests_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(one in line for one in wanted))

    def page(self, number, path):
        """A page of a member's proxy."""

        async def read():
            connector = aiohttp.UnixConnector(str(self.admin / f"{number}.sock"))
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get(f"http://proxy/{path}") as page,
            ):
                return await page.text()

        return asyncio.run(read())

    def costs_nothing(self, address):
        """Whether nobody calls a proxy any more, or it is there again."""
        with suppress(OSError), socket.create_connection((address, 15006), PATIENCE_S):
            return True
        return not any(address in self.page(number, "clusters") for number in (1, 2))


def name(node):
    return node.partition("/shop/")[2]


def in_stock(told, reporter):
    return sum(counts.get(reporter, 0) for (_, target), counts in told.items() if target.startswith("stock"))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    with Mesh(tmp_path_factory.mktemp("exact")) as mesh:
        yield mesh


def test_two_thousand_requests_are_two_thousand_whoever_counts(mesh):
    before, spans, kept = mesh.all_told(1), mesh.says("spans"), mesh.says("traces")
    mesh.browse(REQUESTS)
    after = mesh.all_told(in_stock(before, "trace") + REQUESTS, before[WEB]["source"] + REQUESTS)
    print(json.dumps({" > ".join(edge): told for edge, told in after.items()}))

    def more(edge, reporter):
        return after[edge][reporter] - before.get(edge, {}).get(reporter, 0)

    # Nobody but them, and no edge twice under two names.
    busy = {edge for edge, told in after.items() if told != before.get(edge)}
    assert busy == {WEB, ("web", "stock/v1"), ("web", "stock/v2")}
    assert [more(WEB, by) for by in REPORTERS[:2]] == [REQUESTS] * 2
    assert [in_stock(after, by) - in_stock(before, by) for by in REPORTERS] == [REQUESTS] * 3
    for edge in busy - {WEB}:
        assert len({more(edge, by) for by in REPORTERS}) == 1, after
        assert more(edge, "source") > REQUESTS / 10
    # Of each request there are three spans: the web's for its visitor, and two for its call.
    until(lambda: mesh.says("spans")["spans"] - spans["spans"] >= 3 * REQUESTS, PATIENCE_S)
    until(lambda: mesh.says("traces")["traces"] - kept["traces"] >= REQUESTS, PATIENCE_S)
    taken = mesh.says("spans")
    assert taken["spans"] - spans["spans"] == 3 * REQUESTS
    # The web's roots are its proxy's to count, which knows who called; nothing else is left out.
    left_out = {reason: count - spans[reason] for reason, count in taken.items() if reason.startswith("dropped_")}
    assert {reason: count for reason, count in left_out.items() if count} == {"dropped_proxy_counts_spans": REQUESTS}
    assert mesh.says("traces")["traces"] - kept["traces"] == REQUESTS


def test_two_copies_of_a_caller_count_twice_and_two_reporters_once(mesh):
    copies = [mesh.counters(number, reporter="source") for number in (1, 2)]
    callees = [mesh.counters(number, reporter="destination") for number in (3, 4)]
    assert min(copies) > REQUESTS / 10
    edges = mesh.client.get("/graph", type="app", window=3600)["edges"]
    (edge,) = (one for one in edges if name(one["source"]) == "web")
    assert edge["requests"] == sum(copies) == sum(callees)
    evidence = {one["reporter"]: (one["instances"], one["requests"]) for one in edge["evidence"]}
    assert evidence["source"] == (2, sum(copies))
    assert evidence["destination"] == (2, sum(callees))


def test_a_change_of_listeners_costs_no_proxy_what_it_counted(mesh):
    before = mesh.told()
    mesh.browse(RARE, "/?code=404", 404)
    until(lambda: all(mesh.told()[WEB][by] == before[WEB][by] + RARE for by in REPORTERS[:2]), PATIENCE_S)
    mesh.client.post("/config", {"yaml": ACCESS_LOG, "author": "test"})
    asked = 0
    # An Envoy forgets codes that nobody saw while it left its old listeners.
    while mesh.counters(0, response_code="404") or not mesh.counters(0, response_code="200"):
        mesh.browse(FEW)  # so few are answered, however busy the machine, before it ends their connections
        asked += FEW
    mesh.browse(1, "/?code=404", 404)
    after = mesh.all_told(in_stock(before, "trace") + asked, before[WEB]["source"] + RARE + asked + 1)
    assert [after[WEB][by] - before[WEB][by] for by in REPORTERS[:2]] == [RARE + asked + 1] * 2


def test_a_proxy_that_is_killed_takes_none_of_its_counts_with_it(mesh):
    before = mesh.told()
    asked = 0
    old = mesh.proxy(3)
    os.kill(old, signal.SIGKILL)
    until(lambda: mesh.proxy(3) not in {0, old}, PATIENCE_S)
    until(lambda: mesh.costs_nothing(mesh.addresses["shop/stock-v1~0"]), PATIENCE_S)

    def answers_again():
        with suppress(OSError, aiohttp.ClientError):
            return mesh.counters(3) > 0

    while not answers_again():  # the other version serves all of these
        mesh.browse(1)
        asked += 1
    mesh.browse(300)
    asked += 300
    after = mesh.all_told(in_stock(before, "trace") + asked)
    assert [in_stock(after, by) - in_stock(before, by) for by in REPORTERS] == [asked] * 3
