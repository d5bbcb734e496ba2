"""Two demos on one machine, one of which loses all its processes at once while its config is being written."""

import json
import re
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from queue import Empty, Queue
from urllib.request import urlopen

import pytest
from demo_process import MESHSCOPE, PATIENCE_S, Demo, alive, until

from console.cli.client import ServerError
from console.datadir import DataDir

APPLIES = 100
KILL_AFTER, KILL_BEFORE = 20, 80
"""The kill comes when so many changes are acknowledged, and those of higher numbers are written only then."""
WRITERS = 3

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    directory = tmp_path_factory.mktemp("k")
    with ExitStack() as stack:
        # Both at once: what one has chosen and does not use yet is not free for the other.
        started = [stack.enter_context(Demo(directory / name, "--no-load")) for name in ("a", "b")]
        yield [demo.until_open() for demo in started]


def places_of(demo):
    """Ports of the page and of the span receivers, and the network of the mesh."""
    server = DataDir(demo.data).read_server()
    return server.url, server.otlp_grpc, server.otlp_http, shop_of(demo).rsplit(".", 2)[0]


def shop_of(demo):
    return re.search(r"the shop is open at (\S+)", demo.output.read_text())[1]


def pair(number):
    """Two objects that always carry the same number, unless half of a change was lost."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"number": str(number)}}}
        for name in ("left", "right")
    ]


class Writers:
    """Apply numbered changes, all but one through the API and one by the command line, until each is acknowledged."""

    def __init__(self, demo):
        self.acknowledged = {}
        """Number of the change to the revision that the server answered."""
        self.killed = threading.Event()
        self._demo = demo
        self._numbers = Queue()
        for number in range(1, APPLIES + 1):
            self._numbers.put(number)
        writes = [self._through_api] * WRITERS + [self._by_command]
        self._threads = [threading.Thread(target=self._work, args=(write,)) for write in writes]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def _work(self, write):
        with suppress(Empty):
            while True:
                number = self._numbers.get_nowait()
                if number > KILL_BEFORE:
                    self.killed.wait(PATIENCE_S)
                while (revision := write(number)) is None:
                    time.sleep(0.1)  # until the server is back
                self.acknowledged[number] = revision

    def _through_api(self, number):
        body = {"manifests": pair(number), "reason": f"change {number}", "settle": False}
        try:
            return self._demo.client.post("/config", body)["revision"]
        except ServerError as trouble:
            if trouble.status:
                raise
            return None

    def _by_command(self, number):
        command = [*MESHSCOPE, "apply", "--data", str(self._demo.data), "-f", "-", "-o", "json"]
        done = subprocess.run(
            [*command, "--reason", f"change {number}"],
            input="\n---\n".join(map(json.dumps, pair(number))),
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout)["revision"] if done.returncode == 0 else None


def test_two_demos_that_start_together_share_no_port_and_no_address(demos):
    one, other = demos
    assert not set(places_of(one)) & set(places_of(other))


def test_a_kill_of_every_process_loses_no_acknowledged_change_and_the_next_start_is_whole(demos):
    killed, neighbour = demos
    beside = neighbour.family()
    with ExitStack() as stack:
        with Writers(killed) as writers:
            until(lambda: len(writers.acknowledged) >= KILL_AFTER)
            everyone = killed.kill_all()
            writers.killed.set()
            until(lambda: not alive(everyone))
            again = stack.enter_context(Demo(killed.data, "--no-load")).until_open()
        assert_complete(again, writers.acknowledged)
        assert not set(places_of(again)) & set(places_of(neighbour))
        assert sorted(again.proxies()) == sorted(neighbour.proxies())
        assert [status_of(shop_of(again)) for _ in range(20)] == [200] * 20
    assert alive(beside).keys() == beside.keys()


def test_sigterm_leaves_nothing_behind(demos):
    _, last = demos
    everyone = last.family()
    last.process.terminate()
    assert last.process.wait(PATIENCE_S) == 0
    assert alive(everyone) == {}
    assert [path.name for path in DataDir(last.data).run_dir().iterdir() if not path.is_socket()] == []


def assert_complete(demo, acknowledged):
    revisions = demo.client.get("/history", limit=1000)["items"]
    assert [one["revision"] for one in revisions] == list(range(len(revisions), 0, -1))
    found = {one["revision"]: one["reason"] for one in revisions}
    assert sorted(acknowledged) == list(range(1, APPLIES + 1))
    assert {number: found.get(revision) for number, revision in acknowledged.items()} == {
        number: f"change {number}" for number in acknowledged
    }
    for revision, reason in found.items():
        if reason.startswith("change "):
            changes = demo.client.get(f"/history/{revision}")["changes"]
            assert len(changes) == 2, changes
            assert all(f"number: '{reason.split()[1]}'" in change["new"] for change in changes)


def status_of(url):
    with urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.status
