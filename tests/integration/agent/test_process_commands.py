"""``run``, ``logs``, ``add-to-mesh`` and ``remove-from-mesh`` as a user types them, against a real server."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

MESHSCOPE = (sys.executable, "-m", "console")
APPLICATION = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, flush=True)
        body = b"hello from " + os.environ.get("NAME", "nobody").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "data"
    ports = ("--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0")
    server = subprocess.Popen([*MESHSCOPE, "up", "--data", path, *ports], stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline().startswith("READY")
    yield path
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=60)


def meshscope(data, *arguments):
    command = [*MESHSCOPE, *arguments, "--data", str(data)]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)


@contextmanager
def application(port, name):
    process = subprocess.Popen(
        [sys.executable, "-c", APPLICATION],
        env={**os.environ, "PORT": str(port), "NAME": name},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask(proxy, url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy} if proxy else {}))
    try:
        with opener.open(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


def until(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.05)
    return result


def instances(data):
    return {one["instance"] for one in json.loads(meshscope(data, "proxy-status", "-o", "json").stdout)}


def test_an_application_that_runs_already_joins_the_mesh_and_leaves_it_again(data, make_member):
    port = make_member().registration.port
    with application(port, "legacy"):
        added = meshscope(data, "add-to-mesh", "--service", "legacy", "-n", "shop", "--port", str(port))
        assert added.returncode == 0, added.stderr
        assert "shop/legacy~0 is in the mesh" in added.stderr
        proxy = added.stdout.strip().removeprefix("http_proxy=")
        until(lambda: ask(proxy, "http://legacy.shop/") == (200, "hello from legacy"))
        assert "shop/legacy~0" in instances(data)
        assert "inbound|" in meshscope(data, "proxy-config", "clusters", "shop/legacy~0").stdout
        removed = meshscope(data, "remove-from-mesh", "legacy", "-n", "shop")
        assert (removed.returncode, removed.stderr) == (0, "shop/legacy~0 left the mesh\n")
        assert "shop/legacy~0" not in instances(data)
        assert ask("", f"http://127.0.0.1:{port}/") == (200, "hello from legacy")


def test_what_was_not_added_cannot_be_removed(data):
    refused = meshscope(data, "remove-from-mesh", "nothing", "-n", "shop")
    assert refused.returncode == 1
    assert "nothing in shop was not added by add-to-mesh" in refused.stderr


def test_a_command_keeps_its_log_and_ends_with_128_and_the_signal_it_died_of(data, make_member):
    port = make_member().registration.port
    options = ("--service", "web", "-n", "shop", "--port", str(port), "--data", str(data), "--health", "/healthz")
    environment = {**os.environ, "NAME": "web"}
    command = [*MESHSCOPE, "run", *options, "--log", "--drain", "1", "--", sys.executable, "-c", APPLICATION]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert "shop/web~0 is in the mesh" in process.stderr.readline()
        until(lambda: "asked for /healthz" in meshscope(data, "logs", "web", "-n", "shop", "--tail", "3").stdout)
        answer = meshscope(data, "logs", "other", "-n", "shop")
        assert answer.returncode == 1
        assert "there are shop.web~0" in answer.stderr
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "BaseHTTP"], capture_output=True, check=False, text=True
        )
        os.kill(int(children.stdout), signal.SIGKILL)
        assert process.wait(60) == 128 + signal.SIGKILL
    finally:
        process.kill()
        process.communicate()
