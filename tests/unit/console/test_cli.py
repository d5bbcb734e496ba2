"""The command line against a server process of its own."""

import json
import os
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from console.cli import main
from console.cli.certificates import progress
from console.cli.output import age, rejections, table
from console.cli.proxies import remarks

CATALOG = """
apiVersion: v1
kind: Service
metadata: {name: catalog}
spec: {selector: {app: catalog}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog}
spec:
  host: catalog
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec: {hosts: [catalog], http: [{timeout: %s, route: [{destination: {host: catalog}}]}]}
"""
MESH_CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: '%s'}
"""
UP = ("up", "--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data directory with a running server."""
    path = tmp_path_factory.mktemp("cli")
    environ = os.environ | {"MESHSCOPE_DATA": str(path / "data")}
    command = [sys.executable, "-m", "console", *UP]
    with subprocess.Popen(command, env=environ, cwd=path, stdout=subprocess.PIPE, text=True) as server:
        try:
            word, _, info = server.stdout.readline().partition(" ")
            assert word == "READY"
            assert json.loads(info)["pid"] == server.pid
            yield path
        finally:
            server.terminate()
            assert server.wait(20) == 0


@pytest.fixture
def meshscope(data):
    def run(*arguments, stdin="", **environ):
        environ = {"USER": "ann", "MESHSCOPE_DATA": str(data / "data")} | environ
        return CliRunner(env=environ).invoke(main, list(arguments), input=stdin)

    return run


def test_config_goes_in_and_comes_out_as_kubectl_users_expect(meshscope):
    applied = meshscope("apply", "-n", "shop", "-f", "-", stdin=CATALOG)
    assert applied.stdout.splitlines() == [
        "service/catalog created",
        "destinationrule.networking.istio.io/catalog created",
    ]
    listed = meshscope("get", "dr", "-n", "shop").stdout.split()
    assert listed == ["NAMESPACE", "NAME", "HOST", "SUBSETS", "shop", "catalog", "catalog", "v1,v2"]
    assert json.loads(meshscope("get", "svc", "catalog", "-o", "json").stdout)["metadata"]["namespace"] == "shop"
    text = meshscope("get", "dr/catalog", "-o", "yaml").stdout
    assert meshscope("apply", "-f", "-", stdin=text).stdout == "destinationrule.networking.istio.io/catalog unchanged\n"
    missing = meshscope("get", "vs", "nope", "-n", "shop")
    assert (missing.exit_code, "not found" in missing.stderr) == (1, True)


def test_diff_exits_with_one_when_something_would_change(meshscope):
    meshscope("apply", "-n", "shop", "-f", "-", stdin=CATALOG + "---" + ROUTE % "3s")
    same = meshscope("diff", "-n", "shop", "-f", "-", stdin=ROUTE % "3s")
    assert (same.exit_code, same.stdout) == (0, "")
    other = meshscope("diff", "-n", "shop", "-f", "-", stdin=ROUTE % "4s")
    assert (other.exit_code, "+  - " in other.stdout or "+    timeout: 4s" in other.stdout) == (1, True)


def test_a_refusal_names_every_problem_and_exits_with_one(meshscope):
    refused = meshscope("apply", "-n", "shop", "-f", "-", stdin=ROUTE % "soon")
    assert refused.exit_code == 1
    assert "VirtualService shop/catalog spec.http[0].timeout" in refused.stderr


def test_what_a_mesh_config_says_to_no_effect_is_told_with_what_there_is_instead(meshscope):
    proxies = "defaultConfig: {concurrency: 2, drainDuration: 45s}"
    mesh = f"{{enablePrometheusMerge: true, ingressClass: null, meshMTLS: {{minProtocolVersion: TLSV1_3}}, {proxies}}}"
    applied = meshscope("apply", "--dry-run", "-f", "-", stdin=MESH_CONFIG % mesh)
    assert applied.exit_code == 0
    merged, secured, drained = applied.stderr.splitlines()
    assert merged.startswith("note: ConfigMap istio-system/istio data.mesh: enablePrometheusMerge has no effect: ")
    assert "[[sources]]" in merged
    assert "meshMTLS has no effect: members of the mesh speak TLS 1.3" in secured
    assert "defaultConfig.drainDuration has no effect: " in drained
    assert "meshscope run --drain" in drained


TELEMETRY = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: default, namespace: shop}
spec: {metrics: [{reportingInterval: 5s}]}
"""


def test_a_reporting_interval_is_taken_and_what_there_is_instead_is_told(meshscope):
    applied = meshscope("apply", "--dry-run", "-f", "-", stdin=TELEMETRY)
    assert applied.exit_code == 0
    assert applied.stderr.startswith("note: Telemetry shop/default spec.metrics[0].reportingInterval has no effect: ")
    assert "envoy_tcp_downstream_cx_rx_bytes_total" in applied.stderr


def test_history_and_rollback(meshscope):
    meshscope("apply", "-n", "shop", "-f", "-", "--reason", "first", stdin=CATALOG + "---" + ROUTE % "5s")
    before = json.loads(meshscope("history", "-o", "json").stdout)["items"][0]
    assert (before["author"], before["reason"]) == ("ann", "first")
    meshscope("apply", "-n", "shop", "-f", "-", stdin=ROUTE % "6s")
    rolled = meshscope("rollback", str(before["revision"]))
    assert rolled.stdout == "virtualservice.networking.istio.io/catalog configured\n"
    assert "timeout: 5s" in meshscope("get", "vs", "catalog", "-o", "yaml").stdout
    assert "-    timeout: 6s" in meshscope("history", str(before["revision"] + 2)).stdout
    assert meshscope("delete", "vs", "catalog", "-n", "shop").stdout.endswith("catalog deleted\n")


def test_the_graph_the_proxies_and_the_wizards_can_be_asked(meshscope):
    graph = json.loads(meshscope("graph", "-n", "shop", "--window", "5m").stdout)
    assert (graph["type"], graph["window"]) == ("snapshot", 300)
    assert meshscope("graph", "-o", "dot").stdout.startswith("digraph")
    assert meshscope("proxy-status").stdout.startswith("NAME")
    assert "there is no proxy" in meshscope("proxy-config", "clusters", "nobody").stderr
    assert meshscope("wizard", "traffic-shifting", "catalog", "-n", "shop").stdout.startswith("SUBSET")


def test_without_a_server_the_way_to_one_is_told(meshscope, tmp_path):
    lost = meshscope("get", "vs", "--data", str(tmp_path))
    assert (lost.exit_code, "meshscope up" in lost.stderr) == (1, True)
    away = meshscope("get", "vs", "--server", "http://127.0.0.1:1")
    assert (away.exit_code, "cannot be reached" in away.stderr) == (1, True)


def test_a_server_elsewhere_is_asked_by_url(meshscope, data):
    url = json.loads((data / "data" / "server.json").read_text())["url"]
    assert meshscope("get", "all", "--server", url).exit_code == 0


def test_mistakes_are_usage_errors(meshscope):
    for arguments in (("grph",), ("proxy-config", "clusterz", "x"), ("delete",), ("graph", "--type", "x")):
        assert meshscope(*arguments).exit_code == 2, arguments


def test_a_wrong_setting_ends_the_start_with_a_sentence(meshscope, tmp_path):
    ended = meshscope(*UP, "--data", str(tmp_path), MESHSCOPE_WEB__PROT="1")
    assert (ended.exit_code, ended.stderr) == (1, "Error: web.prot: Unexpected keyword argument\n")


def test_a_taken_port_ends_the_start_with_a_sentence(meshscope, data, tmp_path):
    port = json.loads((data / "data" / "server.json").read_text())["url"].rpartition(":")[2]
    ended = meshscope(*UP, "--port", port, "--data", str(tmp_path))
    assert (ended.exit_code, f"127.0.0.1:{port}" in ended.stderr, "--port" in ended.stderr) == (1, True, True)


def test_a_taken_port_for_spans_ends_the_start_with_a_sentence(meshscope, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option in ("--otlp-grpc-port", "--otlp-http-port"):
            ended = meshscope(*UP, option, port, "--data", str(tmp_path / option))
            assert (ended.exit_code, ended.stderr.count("\n"), port in ended.stderr) == (1, 1, True), ended.stderr


LIGHT = "import sys; import console.cli.%s; print([m for m in ('dash', 'kubernetes', 'fastapi') if m in sys.modules])"


@pytest.mark.parametrize("module", ["run", "gateway", "config", "graph", "main"])
def test_commands_that_are_no_server_import_no_web_framework(module):
    done = subprocess.run([sys.executable, "-c", LIGHT % module], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_completion_is_printed_for_the_usual_shells(meshscope):
    for shell in ("bash", "zsh", "fish"):
        assert "_MESHSCOPE_COMPLETE" in meshscope("completion", shell).stdout


def test_tables_align_and_ages_are_short():
    assert table(("NAME", "X"), [("a", "1"), ("longer", "2")]) == "NAME     X\na        1\nlonger   2"
    assert age("") == "-"
    assert age("2020-01-01T00:00:00Z").endswith("d")


def test_certificates_are_listed_and_their_root_is_replaced(meshscope):
    listed = meshscope("certificates", "-o", "json")
    assert listed.exit_code == 0, listed.output + repr(listed.exception)
    before = json.loads(listed.stdout)["rotation"]
    assert meshscope("certificates").stdout.split()[:3] == ["PROXY", "IDENTITY", "SERIAL"]
    assert meshscope("certificates", "rotate").stdout == "rotated\n"
    replaced = meshscope("certificates", "rotate", "--root")
    assert (replaced.exit_code, "every proxy has a certificate of the root" in replaced.stdout) == (0, True)
    after = json.loads(meshscope("certificates", "-o", "json").stdout)["rotation"]
    assert (before["running"], after["running"], after["stage"]) == (False, False, "one root")
    assert after["root"] != before["root"]


def test_the_replacement_of_the_root_is_told_by_its_step_and_by_whom_it_waits_for():
    told = progress({"stage": "both trusted", "waiting": [f"shop/p{number}~0" for number in range(7)]})
    assert told.endswith("(both trusted); waiting for shop/p0~0, shop/p1~0, shop/p2~0, shop/p3~0, shop/p4~0 and 2 more")
    assert progress({"stage": "new root signs", "waiting": []}).endswith("(new root signs)")


def test_what_many_proxies_have_to_say_is_said_once():
    def proxy(name, rejected="", problem="", *notes):
        return {"instance": name, "types": {"CDS": {"rejected": rejected}}, "problem": problem, "notes": notes}

    said = remarks([proxy("a", "", "", "no key"), proxy("b", "no file", "no cluster", "no key")])
    assert said == {
        ": no key": ["a", "b"],
        " rejected CDS: no file": ["b"],
        " is kept at the config it has: no cluster": ["b"],
    }


def test_proxies_that_refuse_a_config_for_one_reason_are_counted():
    refused = {"shop/a~0": "no file /ca", "shop/b~0": "no file /ca", "shop/c~0": "in the way " * 99}
    one, other = rejections(refused).split(", ")
    assert one == "shop/a~0 and 1 more (no file /ca)"
    assert len(other) < 320
    assert other.endswith("in the way …)")
