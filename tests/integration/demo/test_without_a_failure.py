"""What operators do to a mesh, and what befalls it, one thing after another: no request may fail meanwhile.

Light echo services with two replicas each, behind two gateways with TLS; every proxy has an agent of its own.
``SOAK=1`` sends 500 requests a second and does everything in full.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from any_config import Maker
from demo_process import MESHSCOPE, PATIENCE_S, until, why
from own_ca import OwnCA, files, tls_secret

from console.cli.client import Client
from console.datadir import DataDir
from console.demo.members import free_ports
from mesh_runtime.agent import wire
from mesh_runtime.agent.health import Health
from mesh_runtime.agent.member import Member, Restart
from mesh_runtime.agent.process import Plan
from mesh_runtime.api import load
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Role

LONG = bool(os.environ.get("SOAK"))
RATE = 500 if LONG else 50
CHANGES = 200 if LONG else 25
TIMES = 5 if LONG else 1
HOST = "door.example.com"
DOOR_PORT = 18443
SERVICES = ("one", "two")
FLAT = (sys.executable, str(Path(__file__).parents[2] / "bench" / "flat.py"))
NAMES = {"host": ("extra",), "hosts": ("extra", "away.example.com"), "subset": ("v1",), "gateways": ("mesh",)}
RETRIES = {
    "attempts": 3,
    "perTryTimeout": "10s",
    "retryOn": "connect-failure,refused-stream,reset,gateway-error",
    "retryIgnorePreviousHosts": True,  # else what a consistent hash binds to a host tries that one again, dead or not
}

AUTHORITY = OwnCA()

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("demo"), pytest.mark.timeout(900 if LONG else 400)]


def certificate():
    """A new key pair for the gateways."""
    return yaml.safe_load(tls_secret("door", AUTHORITY.issue(HOST), namespace="light"))


def istio(kind, name, spec, group="networking"):
    metadata = {"name": name, "namespace": "light"}
    return {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def config(number):
    """Valid config of the light services, another one for each number, that lets every request through."""
    rng = random.Random(number)
    rules = [
        {
            "match": [{"uri": {"prefix": f"/{name}"}}],
            "route": [{"destination": {"host": name}}],
            "timeout": f"{rng.randint(20, 40)}s",
            "retries": RETRIES,
            "headers": {"request": {"set": {"x-change": str(number)}}},
        }
        for name in SERVICES
    ]
    policies = [
        {
            "loadBalancer": rng.choice(
                [{"simple": "ROUND_ROBIN"}, {"simple": "RANDOM"}, {"consistentHash": {"useSourceIp": True}}]
            ),
            "connectionPool": {"tcp": {"connectTimeout": f"{rng.randint(3, 9)}s"}},
            "outlierDetection": {
                "consecutiveGatewayErrors": rng.randint(3, 5),
                "consecutive5xxErrors": 0,
                "interval": "1s",
                "baseEjectionTime": "2s",
                "maxEjectionPercent": 50,
            },
        }
        for _ in SERVICES
    ]
    server = {
        "port": {"number": DOOR_PORT, "name": "https", "protocol": "HTTPS"},
        "tls": {"mode": "SIMPLE", "credentialName": "door"},
        "hosts": [HOST],
    }
    mode = rng.choice(["STRICT", "PERMISSIVE"])
    return [
        *(service(name, "light") for name in SERVICES),
        istio("PeerAuthentication", "default", {"mtls": {"mode": mode}}, group="security"),
        istio("Gateway", "door", {"selector": {"app": "door"}, "servers": [server]}),
        istio("VirtualService", "light", {"hosts": [HOST], "gateways": ["door"], "http": rules}),
        *(
            istio("DestinationRule", name, {"host": name, "trafficPolicy": policy})
            for name, policy in zip(SERVICES, policies, strict=True)
        ),
    ]


def service(name, namespace):
    metadata = {"name": name, "namespace": namespace}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": name}, "ports": ports},
    }


EXTRA = service("extra", "other")


def follows(proxy):
    """Whether a proxy has the newest config."""
    return proxy["inSync"] and proxy["connected"]


class Process:
    """One agent with one member."""

    def __init__(self, mesh, name, member):
        self._told = mesh.data.parent / f"{name}.told"
        server = DataDir(mesh.data).read_server()
        plan = Plan(
            server=Path(server.socket),
            run_dir=DataDir(mesh.data).run_dir(),
            logs=mesh.data / "logs",
            members=(member,),
            told=self._told,
        )
        self._plan = mesh.data.parent / f"{name}.plan"
        self._plan.write_bytes(wire.encode(plan))
        self._process = None

    def start(self):
        self._told.unlink(missing_ok=True)
        self._process = subprocess.Popen([sys.executable, "-m", "mesh_runtime.agent", str(self._plan)])

    def children(self):
        """The programs that it runs now: name and process id."""
        found = {}
        for pid in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split():
            with suppress(OSError):  # gone since
                found[Path(f"/proc/{pid}/comm").read_text().strip()] = int(pid)
        return found

    def state(self):
        """What it runs, or its exit code."""
        ended = self._process.poll()
        return self.children() if ended is None else ended

    def drain(self):
        """Ask it to end, and wait until it has."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE_S) == 0

    def kill(self):
        self._process.kill()
        self._process.wait()


class Light:
    """A server, two gateways and the light services, two replicas each."""

    def __init__(self, directory):
        self.data = directory / "d"
        self._numbers = itertools.count(1)
        self._elsewhere = []
        self._files = files(directory, AUTHORITY)
        self.processes = {}
        self.start_server()
        self.client = Client(data=self.data)

    def open(self):
        self._post([certificate(), *config(0)])
        ports = free_ports()
        self.doors = [f"127.{random.randint(130, 250)}.{random.randint(1, 250)}.{n}" for n in (1, 2)]
        members = {f"door{n}": self._door(address) for n, address in enumerate(self.doors)}
        for name in SERVICES:
            members |= {f"{name}{n}": self._echo(name, next(ports)) for n in range(2)}
        self.processes = {name: Process(self, name, member) for name, member in members.items()}
        for process in self.processes.values():
            process.start()
        self.until_complete()

    def start_server(self):
        ports = ("--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0")
        command = [*MESHSCOPE, "up", "--data", str(self.data), *ports]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout.readline().startswith("READY")

    def kill_server(self):
        self._server.kill()
        self._server.communicate()

    def close(self):
        for process in self.processes.values():
            process.kill()
        self._server.send_signal(signal.SIGINT)
        self._server.communicate(timeout=PATIENCE_S)

    def change(self, count):
        """Change config so often: that of the services themselves, and whatever else can be said elsewhere."""
        base = load(json.dumps({"apiVersion": "v1", "kind": "List", "items": [EXTRA]}))
        kinds = ("VirtualService", "DestinationRule", "ServiceEntry", "WorkloadEntry")
        for number in itertools.islice(self._numbers, count):
            made = Maker(random.Random(number), NAMES, self._files).config(base, kinds)
            elsewhere = [item.manifest for item in made if item.key.namespace == "other"]
            self._forget_elsewhere()
            self._post([EXTRA, *config(number), *elsewhere])
            self._elsewhere = elsewhere

    def _forget_elsewhere(self):
        """Delete what the change before made elsewhere: it need not go with what comes."""
        if self._elsewhere:
            self.client.post("/config/delete", {"manifests": self._elsewhere, "reason": "test"})
            self._elsewhere = []

    def replace_certificate(self):
        self._post([certificate()])

    def until_complete(self, also=lambda: True):
        """Wait until every proxy has the newest config with both replicas of each service, and for something else."""
        until(lambda: also() and self._complete(), PATIENCE_S, self._state)

    def _complete(self):
        proxies = self._proxies()
        known = len(proxies) == len(self.processes) and all(map(follows, proxies))
        return known and all(self._replicas(name) == 2 for name in SERVICES)

    def _state(self):
        proxies = self._proxies()
        processes = [f"{name}: {process.state()}" for name, process in self.processes.items()]
        replicas = [f"{name} in door~0: {self._replicas(name)}" for name in SERVICES]
        return "\n".join(
            [*processes, *replicas, f"{len(proxies)} proxies", *(str(p) for p in proxies if not follows(p))]
        )

    def _proxies(self):
        return self.client.get("/proxies")["items"]

    def _replicas(self, service):
        found = self.client.get("/proxies/light%2Fdoor~0/endpoints")["resources"]
        known = (one for one in found if one["cluster_name"] == f"outbound|80||{service}.light.svc.cluster.local")
        return sum(len(locality["lb_endpoints"]) for one in known for locality in one["endpoints"])

    def serials(self):
        return {item["instance_id"]: item["serial"] for item in self.client.get("/certificates")["items"]}

    def meshscope(self, *arguments):
        done = subprocess.run(
            [*MESHSCOPE, *arguments, "--data", str(self.data)], check=False, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _post(self, manifests):
        answer = self.client.post("/config", {"manifests": manifests, "reason": "test"})
        assert not answer["settled"]["rejected"], answer

    def _door(self, address):
        registration = Registration(
            role=Role.GATEWAY, namespace="light", service="door", labels={"app": "door"}, address=address
        )
        return Member(registration=registration)

    def _echo(self, service, port):
        registration = Registration(role=Role.SIDECAR, namespace="light", service=service, port=port)
        return Member(
            registration=registration,
            command=FLAT,
            restart=Restart.ALWAYS,
            health=Health(interval_s=0.2, timeout_s=PATIENCE_S, failures=1),  # one that is killed answers at once
            logged=True,
        )


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    running = Light(tmp_path_factory.mktemp("w"))
    try:
        running.open()
        yield running
    finally:
        running.close()


@contextmanager
def no_failure(mesh, what):
    """Send requests all the while; each must be answered well."""
    command = [sys.executable, "-m", "console.demo.load", "--url", f"https://{HOST}:{DOOR_PORT}", "--insecure"]
    options = ["--paths", "/one,/two", "--rate", str(RATE), "--json", "--timeout", "40"]
    resolve = ["--resolve", f"{HOST}={','.join(mesh.doors)}"]
    began = mesh.data.parent / "began"
    began.unlink(missing_ok=True)
    sender = subprocess.Popen([*command, *options, *resolve, "--began", began], stdout=subprocess.PIPE, text=True)
    try:
        until(began.exists)
        yield
    finally:
        sender.terminate()
        report = json.loads(sender.communicate(timeout=PATIENCE_S)[0])
    print(
        f"{what}: {report['achieved_rate']} of {report['target_rate']:g} requests/s for {report['seconds']:.0f} s,"
        f" {report['sent']} sent, {report['errors']} errors, p99 {report['latency_ms']['p99']:.0f} ms"
    )
    assert (report["errors"], report["dropped"]) == (0, 0), f"{report}\n{why(mesh.data)}"
    assert report["statuses"] == {"200": report["sent"]}, report


def test_random_changes_of_config(mesh):
    with no_failure(mesh, f"{CHANGES} random valid changes"):
        mesh.change(CHANGES)


def test_crashes_of_the_server(mesh):
    with no_failure(mesh, f"{TIMES} crashes of the server"):
        for _ in range(TIMES):
            mesh.kill_server()
            mesh.start_server()
            mesh.until_complete()
            mesh.change(2)


def test_rotation_of_every_leaf(mesh):
    with no_failure(mesh, f"{TIMES} rotations of all leaves"):
        for _ in range(TIMES):
            before = set(mesh.serials().values())
            mesh.meshscope("certificates", "rotate")
            mesh.until_complete(lambda: not before & set(mesh.serials().values()))  # noqa: B023


def test_rotation_of_the_root(mesh):
    with no_failure(mesh, f"{TIMES} rotations of the root"):
        for _ in range(TIMES):
            before = set(mesh.serials().values())
            mesh.meshscope("certificates", "rotate", "--root")
            mesh.until_complete(lambda: not before & set(mesh.serials().values()))  # noqa: B023


def test_replacement_of_the_gateways_certificate(mesh):
    with no_failure(mesh, f"{10 * TIMES} replacements of the gateways' certificate"):
        for _ in range(10 * TIMES):
            mesh.replace_certificate()


def test_graceful_drain_of_every_proxy_in_turn(mesh):
    with no_failure(mesh, "graceful drain of every proxy in turn"):
        for process in mesh.processes.values():
            process.drain()
            process.start()
            mesh.until_complete()


def is_back(children, before):
    """Whether both programs run, one of them anew."""
    return len(children) == 2 and children != before


def test_loss_of_replicas(mesh):
    with no_failure(mesh, "loss of replicas, the other one's program and then its proxy"):
        for name in SERVICES:
            for replica, what in ((f"{name}0", "python"), (f"{name}1", "envoy")):
                before = mesh.processes[replica].children()
                os.kill(next(pid for comm, pid in before.items() if comm.startswith(what)), signal.SIGKILL)
                mesh.until_complete(lambda: is_back(mesh.processes[replica].children(), before))  # noqa: B023
