"""Everything that a mesh goes through in a day, in one minute, under load: no request may notice.

``SOAK=1`` goes through it twenty times, in about ten minutes, under more load.
"""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from demo_process import PATIENCE_S, Demo, alive, family, name_of, until, why

from console.cli.client import ServerError
from console.datadir import DataDir
from console.demo.members import free_ports
from mesh_runtime.agent import wire
from mesh_runtime.agent.member import Member, Restart
from mesh_runtime.agent.process import Plan
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Role

LONG = bool(os.environ.get("SOAK"))
ROUNDS = 20 if LONG else 1
CHANGES = 50
LIGHT_RATE, SHOP_RATE = (200, 40) if LONG else (60, 15)
"""The less, the more a slow machine beside other tests can answer at all."""
LEAF_LIFETIME_S = 60
"""Rotated at half of it; the rest is for a server that is being killed on a busy machine."""
PROXIES = 8 + 6
FLAT = (sys.executable, str(Path(__file__).parents[2] / "bench" / "flat.py"))
RETRIES = {"attempts": 3, "perTryTimeout": "10s", "retryOn": "connect-failure,refused-stream,reset,gateway-error"}

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300 + ROUNDS * 60)]


def light_members():
    """A gateway, one service in two versions, one in two copies, and one that is alone."""
    ports = free_ports()

    def app(service, version=""):
        registration = Registration(
            role=Role.SIDECAR, namespace="light", service=service, version=version, port=next(ports)
        )
        return Member(registration=registration, command=FLAT, restart=Restart.ALWAYS, logged=True)

    door = Registration(role=Role.GATEWAY, namespace="light", service="door", labels={"app": "door"})
    return (
        *(Member(registration=door), app("one", "v1"), app("one", "v2")),
        *(app("two"), app("two"), app("three")),
    )


def istio(kind, name, spec, group="networking"):
    metadata = {"name": name, "namespace": "light"}
    return {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def light_config(change):
    """Config of the light services; each number's is another one: weights, timeouts, headers, subsets, clusters."""
    to_v2 = 10 * (change % 11)
    weights = [
        {"destination": {"host": "one", "subset": "v1"}, "weight": 100 - to_v2},
        {"destination": {"host": "one", "subset": "v2"}, "weight": to_v2},
    ]
    routes = {"one": weights, "two": [{"destination": {"host": "two"}}], "three": [{"destination": {"host": "three"}}]}
    rules = [
        {
            "match": [{"uri": {"prefix": f"/{name}"}}],
            "route": route,
            "timeout": f"{30 + change % 3}s",
            "retries": RETRIES,
            "headers": {"request": {"set": {"x-change": str(change)}}},
        }
        for name, route in routes.items()
    ]
    subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
    extra = [{"name": f"extra-{change}", "labels": {"version": "v2"}}] if change % 3 == 0 else []
    policy = {
        "connectionPool": {"tcp": {"connectTimeout": f"{5 + change // 5 % 3}s"}, "http": {"maxRetries": 50}},
        "outlierDetection": {
            "consecutiveGatewayErrors": 3,
            "consecutive5xxErrors": 0,
            "interval": "1s",
            "baseEjectionTime": "2s",
            "maxEjectionPercent": 50,
        },
    }
    port = {"number": 18080, "name": "http", "protocol": "HTTP"}
    return [
        istio("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}, group="security"),
        istio("Gateway", "door", {"selector": {"app": "door"}, "servers": [{"port": port, "hosts": ["*"]}]}),
        istio("VirtualService", "light", {"hosts": ["*"], "gateways": ["door"], "http": rules}),
        istio("DestinationRule", "one", {"host": "one", "trafficPolicy": policy, "subsets": subsets + extra}),
        istio("DestinationRule", "two", {"host": "two", "trafficPolicy": policy}),
        istio("DestinationRule", "three", {"host": "three", "trafficPolicy": policy}),
    ]


class Light:
    """An agent of its own with the light services."""

    def __init__(self, data, told):
        server = DataDir(data).read_server()
        plan = Plan(
            server=Path(server.socket),
            run_dir=DataDir(data).run_dir(),
            logs=data / "logs",
            members=light_members(),
            told=told,
        )
        file = told.with_name("light-plan.json")
        file.write_bytes(wire.encode(plan))
        self.process = subprocess.Popen([sys.executable, "-m", "mesh_runtime.agent", str(file)])
        self._told = told

    def __enter__(self):
        return self

    def __exit__(self, *_):
        everyone = family(self.process.pid)
        self.process.kill()
        self.process.wait()
        until(lambda: not alive(everyone))

    @property
    def url(self):
        until(self._told.exists)
        addresses = json.loads(self._told.read_text())
        return f"http://{addresses['light/door~0']}:18080"


class Load:
    """The load tool as a process of its own; leaving the block ends it and reads its report."""

    def __init__(self, url, rate, *options):
        command = [
            sys.executable,
            "-m",
            "console.demo.load",
            "--url",
            url,
            "--rate",
            str(rate),
            "--json",
            "--timeout",
            "40",
        ]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.report = json.loads(self.process.communicate(timeout=PATIENCE_S)[0])


class Storm:
    """What happens to the mesh, one thing after another."""

    def __init__(self, demo, agents):
        self.demo = demo
        self.agents = agents
        self.acknowledged = []
        self._numbers = itertools.count(1)

    def change(self, count):
        """Change config so often; a server that is away is asked again until it is back."""
        for number in itertools.islice(self._numbers, count):
            self._apply(number)

    def kill_server(self):
        """Kill the server; what is not the server goes on."""
        before = self.data_plane()
        old = DataDir(self.demo.data).read_server().pid
        os.kill(old, signal.SIGKILL)
        self.change(5)
        assert DataDir(self.demo.data).read_server().pid != old
        until(self._complete)
        assert self.data_plane() == before

    def kill(self, *pids):
        """Kill what belongs to one of two copies, and wait until both serve again."""
        size = len(self.data_plane())
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.change(5)
        until(lambda: not set(pids) & self.data_plane().keys() and len(self.data_plane()) == size)
        until(self._complete)

    def _complete(self):
        """Whether every proxy has the newest config, and both copies of what runs twice are in it."""
        proxies = self.demo.proxies().values()
        copies = self._copies("door.light", "two.light"), self._copies("catalog-v1.shop", "inventory.shop")
        return len(proxies) == PROXIES and all(proxy["inSync"] for proxy in proxies) and copies == (2, 2)

    def _copies(self, caller, service):
        found = self.demo.client.get(f"/proxies/{caller}/endpoints")["resources"]
        known = (one for one in found if one["cluster_name"] == f"outbound|80||{service}.svc.cluster.local")
        return sum(len(locality["lb_endpoints"]) for one in known for locality in one["endpoints"])

    def data_plane(self):
        """Agents, Envoys and programs: pids, and when each was started."""
        roots = [*self.demo.named("mesh_runtime.agent"), self.agents.process.pid]
        found = {pid: start for root in roots for pid, start in family(root).items()}
        return found | dict.fromkeys(roots, 0)

    def app(self, instance):
        return next(pid for pid in self.data_plane() if f"service.instance.id={instance}" in environment(pid))

    def envoy(self, instance):
        name = instance.partition("/")[2]
        return next(pid for pid in self.data_plane() if f"~{name}." in node_of(pid))

    def serials(self):
        return {item["instance_id"]: item["serial"] for item in self.demo.client.get("/certificates")["items"]}

    def _apply(self, number):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                body = {"manifests": light_config(number) + self._shop(number), "reason": f"change {number}"}
                answer = self.demo.client.post("/config", body)
            except ServerError as trouble:
                if trouble.status or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                assert answer["changed"]
                assert not answer["settled"]["rejected"], answer
                self.acknowledged.append(answer["revision"])
                return

    def _shop(self, number):
        """Shift the catalog."""
        routes = self.demo.client.get("/config/VirtualService/shop/catalog")["manifest"]
        v1, v2 = routes["spec"]["http"][0]["route"]
        v1["weight"], v2["weight"] = 100 - 10 * (number % 11), 10 * (number % 11)
        return [routes]


def environment(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_text().replace("\0", " ")
    return ""


def node_of(pid):
    words = name_of(pid).split()
    with suppress(OSError, ValueError):
        return json.loads(Path(words[words.index("-c") + 1]).read_text())["node"]["id"] + "."
    return ""


@pytest.fixture(scope="module")
def storm(tmp_path_factory):
    directory = tmp_path_factory.mktemp("e")
    with ExitStack() as stack:
        environment = {"MESHSCOPE_MESH__LEAF_LIFETIME_S": str(LEAF_LIFETIME_S)}
        demo = stack.enter_context(Demo(directory / "d", "--no-load", **environment)).until_open()
        light = stack.enter_context(Light(demo.data, directory / "told.json"))
        storm = Storm(demo, light)
        light.url  # noqa: B018  all of it runs
        storm.change(1)
        yield storm


def test_changes_rotations_and_deaths_cost_no_request(storm):
    shop_url = re.search(r"the shop is open at (\S+)", storm.demo.output.read_text())[1]
    with (
        Load(storm.agents.url, LIGHT_RATE, "--paths", "/one,/two,/three") as light,
        Load(shop_url, SHOP_RATE, "--seed", "1", "--steady") as shop,
    ):
        for _ in range(ROUNDS):
            storm.change(15)
            storm.kill_server()
            first = storm.serials()
            storm.kill(storm.app("light/two~0"), storm.app("shop/inventory~0"))
            storm.change(10)
            storm.kill(storm.envoy("light/two~1"), storm.envoy("shop/inventory~1"))
            storm.change(CHANGES - 40)
            until(lambda: not set(first.values()) & set(storm.serials().values()))  # noqa: B023
    assert len(storm.acknowledged) == CHANGES * ROUNDS + 1
    for name, report in (("light services", light.report), ("shop", shop.report)):
        print(
            f"{name}: {report['achieved_rate']} of {report['target_rate']:g} requests/s for {report['seconds']:.0f} s,"
            f" {report['sent']} sent, {report['errors']} errors, p99 {report['latency_ms']['p99']:.0f} ms"
        )
        assert (report["errors"], report["dropped"]) == (0, 0), f"{report}\n{why(storm.demo.data)}"
        if LONG:  # or one stall would say more of the machine
            assert report["achieved_rate"] > 0.95 * report["target_rate"], report
