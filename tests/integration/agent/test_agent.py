"""An agent keeps real proxies and commands running, with and without its server."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import grpc
import pytest

from mesh_runtime.agent import wire
from mesh_runtime.agent.health import Health, watch
from mesh_runtime.agent.member import Restart
from mesh_runtime.agent.process import Plan, leaves


def stat_of(pid):
    """State and parent of a process; None when it is gone or only waits to be buried."""
    with suppress(FileNotFoundError, ProcessLookupError):
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].rpartition(") ")
        state, parent = rest.split()[:2]
        return None if state == "Z" else (int(parent), name)


def mode_of(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


def children(pid):
    every = ((int(path.name), stat_of(path.name)) for path in Path("/proc").glob("[0-9]*"))
    return sorted((child, about[1]) for child, about in every if about and about[0] == pid)


STRANGERS = set()
"""Children of this process that other tests keep for longer, such as their database."""


@pytest.fixture(autouse=True)
def strangers():
    STRANGERS.update(pid for pid, _ in children(os.getpid()))
    yield
    STRANGERS.clear()


def ours():
    return [child for child in children(os.getpid()) if child[0] not in STRANGERS]


def pids(name):
    return [pid for pid, command in ours() if command.startswith(name)]


async def until(condition, timeout_s=60):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.05)


async def send_a_byte(port):
    """Send it as soon as somebody listens: those who ask whether anybody does send none."""
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            await asyncio.sleep(0.05)
    writer.write(b".")
    writer.close()


async def who(port):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        return await answer.json()


async def test_a_command_runs_behind_a_live_proxy_and_knows_who_it_is(server, running, make_member):
    member = make_member(version="v2")
    async with running(server, member):
        answer = await who(member.registration.port)
        assert (answer["service"], answer["version"], answer["instance"]) == ("catalog", "v2", "shop/catalog-v2~0")
        admin = server.instances["shop/catalog-v2~0"].admin
        assert len(os.fsencode(admin)) < 108
        assert {mode_of(path) for path in (admin, admin.replace(".sock", ".json"))} == {0o600}


async def test_traffic_is_asked_for_only_when_the_command_listens(server, running, make_member):
    async with running(server, make_member()):
        told = [about.starting for what, about in server.calls if what == "register"]
        assert told[0]
        assert told.index(False) == len(told) - 1


async def test_proxies_and_commands_keep_running_while_the_server_is_away(
    fake_server, tmp_path_factory, running, make_member, caplog
):
    server = fake_server(tmp_path_factory.mktemp("s"))
    async with server.up() as first:
        run = running(first, make_member())
        await run.__aenter__()
        before = ours()
        instance = dict(server.instances)
    await asyncio.sleep(0.5)
    assert ours() == before
    server.forget_everything()
    async with server.up():
        await server.until(lambda: server.instances)
        assert {key: (known.token, known.epoch) for key, known in server.instances.items()} == {
            key: (f"token of {key}", known.epoch) for key, known in instance.items()
        }
        assert not next(iter(server.instances.values())).starting
        assert ours() == before
        told = [record.message for record in caplog.records if "server" in record.message]
        assert told[0].startswith(f"server away, traffic goes on: no answer at {server.socket}: ")
        assert told[-1] == "the server is back"
        await run.__aexit__(None, None, None)


async def test_a_killed_proxy_comes_back_with_a_new_epoch(server, running, make_member):
    async with running(server, make_member()):
        (first,) = pids("envoy")
        epoch = server.instances["shop/catalog~0"].epoch
        os.kill(first, signal.SIGKILL)
        await server.until(lambda: server.instances["shop/catalog~0"].epoch > epoch)
        await until(lambda: pids("envoy") not in ([], [first]))


async def test_a_kept_command_that_dies_leaves_service_until_it_is_back(server, running, make_member):
    member = make_member()
    async with running(server, member):
        first = (await who(member.registration.port))["pid"]
        os.kill(first, signal.SIGKILL)
        await server.until(lambda: server.instances["shop/catalog~0"].starting)
        await server.until(lambda: not server.instances["shop/catalog~0"].starting)
        assert (await who(member.registration.port))["pid"] != first


async def test_what_dies_while_the_server_is_away_is_started_again_at_once(
    fake_server, tmp_path_factory, running, make_member
):
    server, member = fake_server(tmp_path_factory.mktemp("s")), make_member()
    async with AsyncExitStack() as later:
        async with server.up() as first:
            await later.enter_async_context(running(first, member))
            command, proxy = (await who(member.registration.port))["pid"], pids("envoy")
        os.kill(command, signal.SIGKILL)
        os.kill(*proxy, signal.SIGKILL)
        await until(lambda: pids("envoy") not in ([], proxy) and len(ours()) == 2)
        async with server.up():
            server.calls.clear()
            await server.until(lambda: any(what == "register" and not about.starting for what, about in server.calls))
            assert (await who(member.registration.port))["pid"] != command
            await later.aclose()


async def test_the_end_of_the_command_is_the_end_of_run(server, running, make_member, tmp_path):
    member = make_member(command=(sys.executable, "-c", ONE_BYTE_THEN_7), restart=Restart.NEVER)
    async with running(server, member) as agent:
        await send_a_byte(member.registration.port)
        await server.until(lambda: ("remove", "shop/catalog~0") in server.calls)
    assert agent.code == 7
    assert not pids("envoy")


async def test_a_command_that_is_to_restart_on_failure_is_started_again_until_it_ends_well(
    server, running, make_member, tmp_path, caplog
):
    counted = tmp_path / "starts"
    code = ENDS_WELL_THE_THIRD_TIME.format(str(counted))
    member = make_member(command=(sys.executable, "-c", code), restart=Restart.ON_FAILURE, logged=False)
    async with running(server, member) as agent:
        for starts in ("x", "xx", "xxx"):
            await until(lambda starts=starts: counted.read_text() == starts)
            await send_a_byte(member.registration.port)
        await server.until(lambda: ("remove", "shop/catalog~0") in server.calls)
    assert (agent.code, counted.read_text()) == (0, "xxx")
    ended = [record for record in caplog.records if record.message == "command ended"]
    assert [(record.code, hasattr(record, "log")) for record in ended] == [(1, False)] * 2


async def test_an_application_whose_health_check_fails_gets_no_requests_until_it_recovers(
    server, running, make_member, tmp_path
):
    ill = tmp_path / "ill"
    code = HEALTH_BY_FILE.format(str(ill))
    health = Health(path="/healthz", interval_s=0.05, failures=2)
    member = make_member(command=(sys.executable, "-c", code), health=health)
    async with running(server, member):
        assert not server.instances["shop/catalog~0"].starting
        ill.touch()
        await server.until(lambda: server.instances["shop/catalog~0"].starting)
        assert server.instances["shop/catalog~0"].trouble == "its application does not answer its health check"
        ill.unlink()
        await server.until(lambda: not server.instances["shop/catalog~0"].starting)
        assert not server.instances["shop/catalog~0"].trouble


async def test_without_a_health_check_of_its_own_an_application_is_asked_as_its_group_says(
    server, running, make_member, tmp_path
):
    ill = tmp_path / "ill"
    server.health = Health(path="/healthz", interval_s=0.05, failures=2)
    member = make_member(command=(sys.executable, "-c", HEALTH_BY_FILE.format(str(ill))))
    async with running(server, member):
        ill.touch()
        await server.until(lambda: server.instances["shop/catalog~0"].starting)


async def test_an_application_is_ready_while_its_group_s_command_ends_well(server, running, make_member, tmp_path):
    ill = tmp_path / "ill"
    code = 'import os, sys; sys.exit(os.path.exists(sys.argv[1]) or not os.environ["PORT"])'
    server.health = Health(command=(sys.executable, "-S", "-c", code, str(ill)), interval_s=0.05, failures=2)
    async with running(server, make_member(runs_probes=True)):
        ill.touch()
        await server.until(lambda: server.instances["shop/catalog~0"].starting)
        ill.unlink()
        await server.until(lambda: not server.instances["shop/catalog~0"].starting)


async def test_config_runs_no_command_where_nobody_said_that_it_may(server, running, make_member, tmp_path, caplog):
    mark = tmp_path / "mark"
    server.health = Health(command=("touch", str(mark)), interval_s=0.05)
    async with running(server, make_member(), ever_ready=False):
        await server.until(lambda: any("--exec-probe" in one.trouble for one in server.instances.values()))
        assert server.instances["shop/catalog~0"].starting
    assert "shop/catalog~0 gets no requests: the probe of its WorkloadGroup is a command" in caplog.text
    assert not mark.exists()


async def test_a_health_check_s_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path):
    asked = tmp_path / "asked"
    script = f"sleep 1000 & echo $! > {asked}.new; mv {asked}.new {asked}; wait"
    health = Health(command=("sh", "-c", script), interval_s=0.01, timeout_s=1)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        watching = group.create_task(watch(health, 0, pytest.fail))
        await until(asked.exists)
        started = int(asked.read_text())
        await until(lambda: not stat_of(started))
        watching.cancel()
    assert not ours()


async def test_an_application_is_ready_while_its_grpc_health_service_says_that_it_serves():
    said = {b"\x0a\x05rates": b"\x08\x02"}
    told = asyncio.Queue()

    async def check(request, _context):
        return said[request]

    application = grpc.aio.server()
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    application.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = application.add_insecure_port("127.0.0.1:0")
    await application.start()
    health = Health(grpc="rates", interval_s=0.02, failures=1)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        watching = group.create_task(watch(health, port, told.put_nowait))
        said[b"\x0a\x05rates"] = b"\x08\x01"
        assert await told.get()
        said[b"\x0a\x05rates"] = b"\x08\x02"
        assert not await told.get()
        said[b"\x0a\x05rates"] = b"\x08\x01"
        assert await told.get()
        await application.stop(None)
        assert not await told.get()
        watching.cancel()


async def test_asking_whether_a_command_listens_can_be_ended_at_any_instant():
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as application:
        port = application.sockets[0].getsockname()[1]
        for steps in range(60):
            asking = asyncio.create_task(watch(Health(interval_s=0), port, lambda _: None))  # noqa: TID251
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            _, deaf = await asyncio.wait([asking], timeout=20)
            while not asking.done():  # or the loop could not be closed
                asking.cancel()
                await asyncio.sleep(0)
            assert not deaf, f"after {steps} steps"


ENDS_WELL_THE_THIRD_TIME = """
import os, pathlib, socket, sys
starts = pathlib.Path({!r})
starts.open("a").write("x")
listening = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while not listening.accept()[0].recv(1):
    pass
sys.exit(0 if len(starts.read_text()) == 3 else 1)
"""


HEALTH_BY_FILE = """
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if pathlib.Path({!r}).exists() and self.path == "/healthz" else 204)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


ONE_BYTE_THEN_7 = """
import os, socket, sys
listening = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while not listening.accept()[0].recv(1):
    pass
sys.exit(7)
"""


async def test_stopping_drains_first_and_leaves_nothing_behind(server, running, make_member, tmp_path):
    async with running(server, make_member(), make_member("orders")):
        before = ours()
        assert len(before) == 4
        server.calls.clear()
    calls = [call for call in server.calls if call[0] != "heartbeat"]
    assert {what for what, _ in calls[:2]} == {"drain"}
    assert {what for what, _ in calls[2:]} == {"remove"}
    assert ours() == []
    assert not list((tmp_path / "run").iterdir())


async def test_an_unusable_command_is_a_sentence(server, running, make_member):
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running(server, make_member(command=("/nowhere/app",))):
            pass
    assert [str(error) for error in leaves(caught.value)] == ["cannot start /nowhere/app: there is no such program"]
    assert ours() == []


async def test_a_command_whose_port_another_program_has_is_not_started(server, running, make_member):
    member = make_member()
    port = member.registration.port
    with socket.create_server(("127.0.0.1", port)), pytest.raises(BaseExceptionGroup) as caught:
        async with running(server, member):
            pass
    (error,) = leaves(caught.value)
    assert str(error).startswith(f"127.0.0.1:{port} is taken: another program would get the requests for catalog")
    assert (server.calls, ours()) == ([], [])


@pytest.fixture
def agent_process(tmp_path, server, make_member):
    """Start an agent as a process of its own; give its Popen and wait until it is ready."""
    started = []

    async def start(*members):
        told = tmp_path / "told.json"
        told.unlink(missing_ok=True)
        plan = Plan(
            server=server.socket,
            run_dir=tmp_path / "run",
            logs=tmp_path / "logs",
            members=members,
            drain_s=1,
            told=told,
        )
        path = tmp_path / "plan.json"
        path.write_bytes(wire.encode(plan))
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "mesh_runtime.agent", path)
        started.append(process)
        await until(told.exists)
        assert len(json.loads(told.read_text())) == len(members)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.kill()


async def test_nothing_outlives_a_killed_agent(agent_process, make_member, tmp_path):
    process = await agent_process(make_member(), make_member("orders"))
    family = children(process.pid)
    assert len(family) == 4
    process.kill()
    await process.wait()
    await until(lambda: not any(stat_of(pid) for pid, _ in family))
    (left,) = (tmp_path / "run").iterdir()
    again = await agent_process(make_member())
    assert [path.name for path in (tmp_path / "run").iterdir()] == [f"a{again.pid}"]
    assert left.name != f"a{again.pid}"
    again.terminate()
    assert await again.wait() == 0
    assert not list((tmp_path / "run").iterdir())


def test_agents_know_neither_the_page_nor_kubernetes():
    code = "import sys, json, mesh_runtime.agent.process, console.cli.run, console.cli.gateway; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert not {"dash", "kubernetes", "fastapi", "grpc", "networkx", "numpy"} & set(loaded)
