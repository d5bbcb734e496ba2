"""The API against its own OpenAPI: schemathesis makes the requests, a real server with all kinds of content answers."""

import json
import os
import subprocess
import sys
import time

import pytest
import requests
import schemathesis
from catalog import CATALOG, VERSIONS
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

EXAMPLES = 200 if os.environ.get("SOAK") else 3
TRACE = "5b8efff798038103d269b633813fc60c"
CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)
UP = ("--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0", "--log-level", "error")


def resource(app):
    names = {"service.name": app, "service.namespace": "shop", "service.version": "v1"}
    return {"attributes": [{"key": key, "value": {"stringValue": value}} for key, value in names.items()]}


def span(app, number, kind, parent=""):
    now_ns = time.time_ns()
    one = {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "parentSpanId": parent,
        "name": "GET /items",
        "kind": kind,
        "startTimeUnixNano": str(now_ns - 5_000_000),
        "endTimeUnixNano": str(now_ns),
        "attributes": [{"key": "http.response.status_code", "value": {"intValue": "200"}}],
    }
    return {"resource": resource(app), "scopeSpans": [{"spans": [one]}]}


def log_line(app):
    record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": "sold out"}, "traceId": TRACE}
    return {"resource": resource(app), "scopeLogs": [{"logRecords": [record]}]}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Where a server is that has config, an edge, a trace and a log line."""
    data = tmp_path_factory.mktemp("contract") / "data"
    command = (sys.executable, "-m", "console", "up", "--data", str(data), *UP)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            info = json.loads(server.stdout.readline().removeprefix("READY"))
            fill(info["url"], info["otlp_http"])
            yield info["url"]
        finally:
            server.terminate()


def fill(url, otlp):
    def post(address, body):
        answer = requests.post(address, json=body, timeout=60)
        assert answer.ok, answer.text

    post(f"{url}/api/v1/config", {"yaml": CATALOG + VERSIONS})
    calls = [span("web", 1, 3), span("catalog", 2, 2, f"{1:016x}")]
    post(f"{otlp}/v1/traces", {"resourceSpans": calls})
    post(f"{otlp}/v1/logs", {"resourceLogs": [log_line("catalog")]})
    for path, there in (
        ("graph?type=workload", lambda told: told["edges"]),
        ("traces", lambda told: told["items"]),
        ("logs", lambda told: told["items"]),
    ):
        deadline = time.monotonic() + 60
        while not there(requests.get(f"{url}/api/v1/{path}", timeout=60).json()):
            assert time.monotonic() < deadline, path
            time.sleep(0.1)


def asks_for_something(operation):
    return any((*operation.body, *operation.query))


@pytest.mark.soak
@pytest.mark.timeout(3600 if os.environ.get("SOAK") else 300)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["meant", "bent"])
def test_every_answer_is_as_the_api_says(url, mode, subtests):
    contract = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json").exclude(path_regex="/follow$")
    for operation in (found.ok() for found in contract.get_all_operations()):
        if mode is GenerationMode.NEGATIVE and not asks_for_something(operation):
            continue

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered(case):
            case.query.pop("follow", None)  # a stream that does not end
            case.call_and_validate(timeout=60, headers={"Connection": "close"}, checks=CHECKS)

        with subtests.test(operation.label):
            answered()
