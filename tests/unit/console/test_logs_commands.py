"""Logs and the tap of a server process of its own: by command, by API, before and after it is killed."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from websockets.sync.client import connect

from console.cli import main

UP = ("up", "--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0")
TRACE = "0af7651916cd43dd8448eb211c80319c"
LINES = f"""\
2026-11-21T10:00:00Z INFO GET /products
2026-11-21T10:00:01Z ERROR stock is empty trace_id={TRACE}
Traceback (most recent call last):
"""
ACCESS = (
    '[{at}] "GET /tapped/{n} HTTP/1.1" 503 UF - - "-" 0 145 3 - "-" "ua" "{n}" "catalog" "127.64.0.3:15006" '
    "outbound|80||catalog.shop.svc.cluster.local 127.64.0.2:44 127.64.0.2:15001 127.0.0.1:5 - default\n"
)


@contextmanager
def serving(path):
    """Run a server on a data directory; yields its process and what it said when it was ready."""
    asked = {"MESHSCOPE_ZIPKIN__PORT": "0", "MESHSCOPE_JAEGER__PORT": "0", "MESHSCOPE_ALS__PORT": "0"}
    environ = os.environ | asked | {"MESHSCOPE_DATA": str(path / "data")}
    command = [sys.executable, "-m", "console", *UP]
    with subprocess.Popen(command, env=environ, cwd=path, stdout=subprocess.PIPE, text=True) as server:
        try:
            word, _, info = server.stdout.readline().partition(" ")
            assert word == "READY"
            yield server, json.loads(info)
        finally:
            server.terminate()
            server.wait(60)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = tmp_path_factory.mktemp("logs")
    (made / "data" / "logs").mkdir(parents=True)
    (made / "data" / "logs" / "shop.catalog-v1~0.command.log").write_text(LINES)
    return made


@pytest.fixture(scope="module")
def server(path):
    with serving(path) as (process, _):
        process.kill()  # what it read must be there again, once
        process.wait(60)
    with serving(path) as (_, info):
        yield info


@pytest.fixture
def meshscope(path, server):
    assert server

    def run(*arguments):
        return CliRunner(env={"MESHSCOPE_DATA": str(path / "data")}).invoke(main, list(arguments))

    return run


def eventually(ask):
    """Ask until the answer is something."""
    until = time.monotonic() + 60
    while not (answer := ask()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return answer


def get(server, path):
    with urllib.request.urlopen(f"{server['url']}/api/v1{path}", timeout=60) as answer:
        return json.load(answer)


def texts(result):
    assert result.exit_code == 0, result.output
    return [line.partition("Z ")[2] or line for line in result.stdout.splitlines()]


def test_lines_are_found_by_text_pattern_level_time_and_trace(meshscope):
    found = eventually(lambda: texts(meshscope("logs", "catalog-v1", "-n", "shop", "--level", "error")))
    assert found[0] == f"ERROR stock is empty trace_id={TRACE}"
    assert len(found) == 2, "the stack trace is of the error's level, and no line is there twice"
    assert texts(meshscope("logs", "-n", "shop", "--grep", "PRODUCTS")) == ["INFO GET /products"]
    assert texts(meshscope("logs", "-n", "shop", "--regex", r"/prod\w+$")) == ["INFO GET /products"]
    assert texts(meshscope("logs", "-n", "elsewhere", "--grep", "products")) == []
    assert len(texts(meshscope("logs", "--trace", TRACE))) == 2
    early = ("logs", "-n", "shop", "--since", "2026-11-21T09:00:00Z", "--until", "2026-11-21T10:00:00.500Z")
    assert texts(meshscope(*early)) == ["INFO GET /products"]
    [line] = map(json.loads, meshscope("logs", "-n", "shop", "--grep", "products", "-o", "json").stdout.splitlines())
    assert (line["workload"], line["instance"], line["level"]) == ("catalog-v1", "catalog-v1~0", "info")


def test_without_a_filter_the_files_are_printed_as_they_are(meshscope):
    assert meshscope("logs", "catalog-v1", "-n", "shop").stdout == LINES


def test_a_workload_that_has_no_files_is_asked_of_the_server(meshscope, server):
    send(server, "refused", app="bank")
    assert eventually(lambda: meshscope("logs", "bank", "-n", "shop").stdout).endswith("refused\n")
    nobody = meshscope("logs", "nobody")
    assert (nobody.exit_code, "nor in the server" in nobody.stderr) == (1, True)


def test_what_cannot_be_meant_is_refused_with_the_reason(meshscope, server):
    assert "unclosed group" in meshscope("logs", "-n", "shop", "--regex", "(").stderr
    assert "no trace id" in meshscope("logs", "--trace", "xyz").stderr
    for path, problem in (
        ("/logs?source=nowhere", "sources are output, proxy, access, otlp"),
        ("/logs?level=loud", "'loud' is no level"),
        ("/tap?status=bad", "write 503, 5xx"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(server, path)
        assert refused.value.code == 422
        assert problem in json.load(refused.value)["error"]


def test_records_by_opentelemetry_are_followed_as_they_come(path, server, meshscope):
    command = [sys.executable, "-m", "console", "logs", "-n", "shop", "--grep", "hello", "--follow", "-o", "json"]
    environ = os.environ | {"MESHSCOPE_DATA": str(path / "data"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as follower:
        try:
            send(server, "hello 1")
            assert json.loads(follower.stdout.readline())["text"] == "hello 1"
            send(server, "other")
            send(server, "hello 2")
            line = json.loads(follower.stdout.readline())
        finally:
            follower.terminate()
    assert (line["text"], line["source"], line["traceId"]) == ("hello 2", "otlp", TRACE)
    assert len(texts(meshscope("logs", "-n", "shop", "--grep", "hello"))) == 2
    kept = {one["workload"]: one["sources"] for one in get(server, "/logs/workloads")["items"]}
    assert kept["web"] == ["otlp"]


def send(server, text, app="web"):
    record = {"body": {"stringValue": text}, "traceId": TRACE, "observedTimeUnixNano": str(time.time_ns())}
    about = {"service.name": app, "service.namespace": "shop"}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in about.items()]
    body = {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": [record]}]}]}
    post(f"{server['otlp_http']}/v1/logs", body)


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status in {200, 202}


def test_requests_that_proxies_log_are_watched_live(path, server, meshscope):
    log = path / "data" / "logs" / "shop.web~0.proxy.log"
    address = server["url"].replace("http", "ws", 1)
    with connect(f"{address}/api/v1/tap/live?errors=true&path=/tapped") as socket_:
        log.write_text(ACCESS.format(at="2026-11-21T10:00:00.000Z", n=1))
        message = json.loads(socket_.recv(60))
    assert message["type"] == "request"
    assert (message["path"], message["code"], message["failed"]) == ("/tapped/1", "503", True)
    assert (message["source"]["workload"], message["service"]["name"]) == ("web", "catalog")
    shown = meshscope("tap", "--no-follow", "--to", "catalog", "--status", "5xx").stdout
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.000  web → catalog  GET /tapped/1  503 UF  3\.0 ms\n", shown)
    assert meshscope("tap", "--no-follow", "--to", "nobody").stdout == ""
    assert get(server, "/tap?limit=1")["state"]["requests"] == 1


def test_the_tap_streams_lines_to_programs(path, server):
    with urllib.request.urlopen(f"{server['url']}/api/v1/tap?follow=true&path=/tapped/2", timeout=60) as answer:
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        with (path / "data" / "logs" / "shop.web~0.proxy.log").open("a") as log:
            log.write(ACCESS.format(at="2026-11-21T10:00:01.000Z", n=2))
        line = next(line for line in answer if line.strip())
    assert json.loads(line)["path"] == "/tapped/2"


def test_spans_of_other_formats_arrive_where_the_signals_say(server):
    signals = {one["name"]: one for one in get(server, "/signals")["items"]}
    port = int(re.search(r"port (\d+)", signals["Zipkin spans"]["text"])[1])
    span = {
        "traceId": TRACE,
        "id": "b7ad6b7169203331",
        "name": "get",
        "timestamp": time.time_ns() // 1000,
        "duration": 5,
    }
    post(
        f"http://127.0.0.1:{port}/api/v2/spans", [span | {"localEndpoint": {"serviceName": "zipped"}, "kind": "SERVER"}]
    )
    assert eventually(lambda: get(server, "/traces?app=zipped")["items"])
    for name in ("Jaeger spans", "access logs over gRPC"):
        port = int(re.search(r"port (\d+)", signals[name]["text"])[1])
        socket.create_connection(("127.0.0.1", port), 5).close()


def test_metrics_that_make_no_edge_are_named(server):
    point = {"asInt": "5", "timeUnixNano": str(time.time_ns())}
    metric = {"name": "jvm.memory.used", "gauge": {"dataPoints": [point]}}
    post(f"{server['otlp_http']}/v1/metrics", {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})
    [signal] = [one for one in get(server, "/signals")["items"] if one["name"] == "otlp metrics"]
    assert "jvm.memory.used: not about requests between workloads" in signal["text"]
    assert signal["counters"]["unused jvm.memory.used"] == 1
