"""The whole demo as a user runs it: one command, real processes, and nothing left behind."""

import json
import os
import re
import signal
import subprocess
from urllib.request import urlopen

import pytest
from demo_process import ECHO, MESHSCOPE, PATIENCE_S, Demo, alive, until
from free_ports import free_port

from console.datadir import DataDir

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with Demo(tmp_path_factory.mktemp("demo") / "data") as running:
        yield running.until_open()


def test_the_page_answers_at_the_url_that_is_printed(demo):
    url = re.search(r"│ +(http://\S+)", demo.output.read_text())[1]
    with urlopen(url + "/readyz", timeout=PATIENCE_S) as answer:
        assert answer.status == 200


def test_the_whole_shop_is_in_the_graph(demo):
    def seen():
        return {end for edge in demo.edges() for end in edge}

    wanted = ("ingress", "frontend", "catalog", "inventory", "orders", "db", "payments")
    until(lambda: all(any(name in node for node in seen()) for name in wanted))


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
    after = until(lambda: (info := DataDir(demo.data).read_server()).pid != before.pid and info)
    assert (after.url, after.socket) == (before.url, before.socket)
    until(demo.edges)
    assert (demo.named("_bin/envoy"), demo.named("console.demo.shop")) == (proxies, programs)


def test_a_command_of_ones_own_joins_the_mesh_and_leaves_it(demo):
    def registered():
        return [proxy for proxy in demo.client.get("/proxies")["items"] if "shop/hello" in str(proxy)]

    command = [
        *MESHSCOPE,
        "run",
        "--data",
        str(demo.data),
        "-n",
        "shop",
        "--service",
        "hello",
        "--port",
        str(free_port()),
    ]
    with subprocess.Popen([*command, "--", *ECHO], stderr=subprocess.PIPE, text=True) as process:
        assert "shop/hello~0 is in the mesh" in process.stderr.readline()
        assert registered()
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert not registered()


def test_ctrl_c_ends_all_of_it(demo):
    everyone = demo.family()
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(PATIENCE_S) == 0
    assert alive(everyone) == {}
    assert "nothing is left running" in demo.output.read_text()
    assert [path.name for path in DataDir(demo.data).run_dir().iterdir() if not path.is_socket()] == []


def test_a_second_demo_on_the_same_data_is_quick_and_a_killed_one_leaves_nothing(demo):
    with Demo(demo.data) as again:
        until(lambda: again.says("live edges"))
        everyone = again.family()
        again.process.kill()
        again.process.wait()
        until(lambda: not alive(everyone))
    assert json.loads((demo.data / "server.json").read_text())["pid"] in everyone
