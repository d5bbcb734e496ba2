"""The whole demo as a user runs it: one command, real processes, and nothing left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from console.cli.client import Client, ServerError
from console.datadir import DataDir

pytestmark = pytest.mark.xdist_group("demo")


def stat_of(pid):
    """Parent and start time of a process; None when it is gone or only waits to be buried."""
    with suppress(FileNotFoundError, ProcessLookupError):
        rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return None if rest[0] == "Z" else (int(rest[1]), int(rest[19]))


def family(root):
    """Every descendant: pid, and when it was started, so that a number used again is not mistaken for it."""
    every = {int(p.name): about for p in Path("/proc").glob("[0-9]*") if (about := stat_of(p.name))}
    found, ranks = {}, [root]
    while ranks:
        ranks = [pid for pid, (parent, _) in every.items() if parent in ranks]
        found |= {pid: every[pid][1] for pid in ranks}
    return found


def alive(members):
    return {pid: name_of(pid) for pid, start in members.items() if (about := stat_of(pid)) and about[1] == start}


def name_of(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
    return ""


def until(condition, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.1)
    return result


MESHSCOPE = (sys.executable, "-m", "console")
ECHO = (sys.executable, str(Path(__file__).parents[2] / "echo.py"))


class Demo:
    def __init__(self, data):
        self.data = data
        self.started = time.monotonic()
        self.output = data.parent / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*MESHSCOPE, "demo", "--data", str(data), "--port", "0"],
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self.client = Client(data=data)

    def says(self, words):
        assert self.process.poll() is None or words in self.output.read_text(), self.output.read_text()
        return words in self.output.read_text()

    def edges(self):
        with suppress(ServerError):
            return {
                (edge["source"], edge["target"]): edge
                for edge in self.client.get("/graph", window=10)["edges"]
                if edge["rate"]
            }
        return {}

    def family(self):
        return family(self.process.pid)

    def named(self, part):
        return sorted(pid for pid in self.family() if part in name_of(pid))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    running = Demo(tmp_path_factory.mktemp("demo") / "data")
    try:
        until(lambda: running.says("Ctrl-C here ends all of it"), 60)
        yield running
    finally:
        left = running.family()
        running.process.kill()
        running.process.wait()
        until(lambda: not alive(left), 5)


def test_the_first_live_edge_comes_soon(demo):
    line = next(line for line in demo.output.read_text().splitlines() if "live edges" in line)
    # 15 s on an idle machine; tests share theirs.
    assert float(line.split()[0]) < 30, demo.output.read_text()


def test_the_page_answers_at_the_url_that_is_printed(demo):
    url = re.search(r"│ +(http://\S+)", demo.output.read_text())[1]
    with urlopen(url + "/readyz", timeout=5) as answer:
        assert answer.status == 200


def test_the_whole_shop_is_in_the_graph(demo):
    def seen():
        return {end for edge in demo.edges() for end in edge}

    wanted = ("ingress", "frontend", "catalog", "inventory", "orders", "db", "payments")
    until(lambda: all(any(name in node for node in seen()) for name in wanted), 30)


def test_a_fault_is_switched_on_and_off_by_a_command(demo):
    def fault(mode):
        return subprocess.run(
            [*MESHSCOPE, "demo", "fault", mode, "--data", str(demo.data)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert fault("failing") == "catalog v2 is failing now\n"
    assert demo.client.get("/demo/fault") == {"mode": "failing"}
    assert fault("off") == "catalog v2 is well again\n"


def test_a_killed_server_is_back_while_proxies_and_programs_go_on(demo):
    proxies, programs = demo.named("_bin/envoy"), demo.named("console.demo.shop")
    assert len(proxies) == 8
    before = DataDir(demo.data).read_server()
    os.kill(before.pid, signal.SIGKILL)
    after = until(lambda: (info := DataDir(demo.data).read_server()).pid != before.pid and info, 20)
    assert (after.url, after.socket) == (before.url, before.socket)
    until(demo.edges, 20)
    assert (demo.named("_bin/envoy"), demo.named("console.demo.shop")) == (proxies, programs)


def test_a_command_of_ones_own_joins_the_mesh_and_leaves_it(demo):
    def registered():
        return [proxy for proxy in demo.client.get("/proxies")["items"] if "shop/hello" in str(proxy)]

    command = [*MESHSCOPE, "run", "--data", str(demo.data), "-n", "shop", "--service", "hello", "--port", "23456"]
    with subprocess.Popen([*command, "--", *ECHO], stderr=subprocess.PIPE, text=True) as process:
        assert "shop/hello~0 is in the mesh" in process.stderr.readline()
        assert registered()
        process.terminate()
        assert process.wait(20) == 0
    assert not registered()


def test_ctrl_c_ends_all_of_it(demo):
    everyone = demo.family()
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0
    assert alive(everyone) == {}
    assert "nothing is left running" in demo.output.read_text()
    assert [path.name for path in DataDir(demo.data).run_dir().iterdir() if not path.is_socket()] == []


def test_a_second_demo_on_the_same_data_is_quick_and_a_killed_one_leaves_nothing(demo):
    again = Demo(demo.data)
    try:
        until(lambda: again.says("live edges"), 60)
        everyone = again.family()
        again.process.kill()
        again.process.wait()
        until(lambda: not alive(everyone), 5)
    finally:
        left = again.family()
        again.process.kill()
        again.process.wait()
        until(lambda: not alive(left), 5)
    assert json.loads((demo.data / "server.json").read_text())["pid"] in everyone
