"""``meshscope doctor`` on a machine where something is in the way."""

import json
import socket

import pytest
from click.testing import CliRunner

from console.cli.doctor import doctor
from console.receivers import off
from console.signals.signal import Area
from console.views import signals


@pytest.fixture
def settings(tmp_path):
    """A settings file with free ports, and further lines as a test wants."""
    file = tmp_path / "meshscope.toml"

    def write(further: str = "") -> str:
        file.write_text(f"[web]\nport = 0\n[otlp]\ngrpc_port = 0\nhttp_port = 0\n{further}")
        return str(file)

    return write


@pytest.fixture
def examined(tmp_path):
    """Run it; give the exit code and what it says, by name."""

    def run(settings: str, *arguments: str) -> tuple[int, dict]:
        command = ["--data", str(tmp_path / "data"), "--settings", settings, "-o", "json", *arguments]
        done = CliRunner().invoke(doctor, command)
        return done.exit_code, {one["name"]: one for one in json.loads(done.stdout)["items"]}

    return run


def test_a_healthy_machine_passes(settings, examined):
    code, found = examined(settings())
    assert (code, found["Envoy"]["verdict"], found["data directory"]["verdict"]) == (0, "ok", "ok"), found
    assert "starts" in found["Envoy"]["text"]


@pytest.mark.parametrize(("section", "title"), [("zipkin", "Zipkin"), ("remote_write", "remote-write")])
def test_a_taken_port_fails_with_who_has_it_and_another_one(settings, examined, section, title):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, found = examined(settings(f"[{section}]\nport = {port}\n"))
    told = found[f"port {port} for {title}"]
    assert (code, told["verdict"]) == (1, "fail")
    assert [one["paste"] for one in told["advice"]] == [f"ss -ltnp 'sport = :{port}'", f"[{section}]\nport = 0"]


def test_secrets_that_others_can_read_fail_with_the_command_that_closes_them(settings, examined, tmp_path):
    authority = tmp_path / "data" / "ca"
    authority.mkdir(parents=True)
    authority.chmod(0o755)
    code, found = examined(settings())
    told = found["data directory"]
    assert (code, told["verdict"], told["advice"][0]["paste"]) == (1, "fail", f"chmod -R go= {authority}")


KUBECONFIG = """
{apiVersion: v1, kind: Config, current-context: prod, users: [],
 contexts: [{name: prod, context: {cluster: prod}}],
 clusters: [{name: prod, cluster: {server: "http://127.0.0.1:%s"}}]}
"""


@pytest.mark.parametrize(
    ("context", "told"),
    [("prod", ("cluster prod", "does not answer")), ("prd", ("settings", "has no context 'prd'; it has prod"))],
)
def test_clusters_that_cannot_be_read_fail_with_the_reason(settings, examined, tmp_path, context, told):
    with socket.create_server(("127.0.0.1", 0)) as free:
        (tmp_path / "kubeconfig").write_text(KUBECONFIG % free.getsockname()[1])
    table = f'[[clusters]]\nname = "prod"\ncontext = "{context}"\nkubeconfig = "{tmp_path / "kubeconfig"}"\n'
    code, found = examined(settings(table))
    name, text = told
    assert (code, found[name]["verdict"]) == (1, "fail")
    assert text in found[name]["text"]


def test_sources_that_do_not_answer_fail_with_the_reason(settings, examined):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        store = f'[traces]\nbackend = "jaeger"\nurl = "https://{address}"\n'
        code, found = examined(settings(store), "--prometheus", f"p=http://{address}")
    assert code == 1
    assert "cannot be reached" in found["prometheus p"]["text"]
    failing = {name for name, one in found.items() if one["verdict"] == "fail"}
    assert failing == {"prometheus p", "traces in jaeger", f"certificate of {address}"}


def test_wrong_settings_are_a_finding(settings, examined):
    code, found = examined(settings("[nonsense]\n"))
    assert (code, found["settings"]["verdict"]) == (1, "fail")
    assert "nonsense" in found["settings"]["text"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('type = "scrape"\ntargets = ["127.0.0.1:1"]\ndialects = ["istoi"]', "there is no dialect istoi"),
        ('url = "https://127.0.0.1:1"\nca_file = "/none/ca.pem"', "ca_file /none/ca.pem: No such file or directory"),
        (
            'url = "http://127.0.0.1:1"\ndialect_files = ["/none/acme.toml"]',
            "/none/acme.toml: No such file or directory",
        ),
    ],
)
def test_a_source_that_cannot_work_as_it_is_set_is_a_finding(settings, examined, wrong, told):
    code, found = examined(settings(f"[[sources]]\n{wrong}\n"))
    assert (code, found["settings"]["verdict"]) == (1, "fail")
    assert told in found["settings"]["text"]


def test_people_read_what_to_paste_below_what_fails(settings, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = settings(f"[jaeger]\nport = {port}\n")
        done = CliRunner().invoke(doctor, ["--data", str(tmp_path / "data"), "--settings", file])
    assert f"  fail      port {port} for Jaeger" in done.output
    assert f"{' ' * 14}[jaeger]\n{' ' * 14}port = 0\n" in done.output
    assert done.output.splitlines()[-1].endswith("1 fail")


def test_what_nobody_asked_for_is_called_the_same_as_on_the_signals_page():
    unasked = off(Area.SPANS, "Zipkin spans", "[zipkin]\nport = 9411")
    ((_, (row,)),) = signals.page([unasked]).areas
    assert unasked.presence.verdict == row.word.lower() == "not used"
