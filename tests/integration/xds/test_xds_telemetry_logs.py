"""Access logs as users find them: in a proxy's output, in a file, and at OTLP's and Fluentd's collectors."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from collectors_fakes import fluentd, otlp
from xds_mesh import Mesh, free_echo_server, mesh_config, telemetry, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def plain(mesh):
    """Forget what the test before did."""
    yield
    await mesh.forget("Telemetry", "ConfigMap")


async def configure(mesh, text):
    await mesh.apply(mesh_config(text))
    await mesh.drained()


async def ask(mesh, path):
    """Send a request on a connection of its own: one from before a change would still be served as before it."""
    return await mesh.get(mesh.workloads["frontend"], f"catalog/{path}", headers={"connection": "close"})


def output(mesh, name):
    return (mesh.dir / f"{name}.log").read_text()


def lines(mesh, name, word):
    return [line for line in output(mesh, name).splitlines() if word in line]


async def logged(mesh, name, word):
    async def there():
        return lines(mesh, name, word)

    await until(there)
    return lines(mesh, name, word)


async def test_access_is_logged_to_the_proxys_output_in_istios_format(mesh):
    await configure(mesh, "accessLogFile: /dev/stdout")
    await ask(mesh, "istios?a=b")
    (line,) = await logged(mesh, "frontend", "istios")
    assert '"GET /istios?a=b HTTP/1.1" 200 - via_upstream - "-" 0 ' in line
    assert "outbound|80||catalog.shop.svc.cluster.local" in line


async def test_a_log_is_json_where_its_encoding_says_so(mesh):
    await configure(mesh, "accessLogFile: /dev/stdout\naccessLogEncoding: JSON")
    await ask(mesh, "as-json")
    (line,) = await logged(mesh, "frontend", "as-json")
    entry = json.loads(line)
    assert (entry["method"], entry["path"], entry["response_code"]) == ("GET", "/as-json", 200)


async def test_a_file_takes_lines_in_a_format_of_ones_own(mesh):
    path = Path(f"/tmp/access-{uuid4().hex}.log")
    written = f"{{path: {path}, logFormat: {{text: '%REQ_WITHOUT_QUERY(:path)%!'}}}}"
    await configure(mesh, f"extensionProviders: [{{name: mine, envoyFileAccessLog: {written}}}]")
    await telemetry(mesh, "{accessLogging: [{providers: [{name: mine}], match: {mode: CLIENT}}]}")
    try:
        await ask(mesh, "to-file?secret=1")

        async def there():
            return read(path)

        await until(there)
        assert read(path) == "/to-file!\n"
    finally:
        remove(path)


def read(path):
    return path.read_text()


def remove(path):
    path.unlink(missing_ok=True)


async def test_only_what_a_filter_lets_through_is_logged_and_only_where_it_is_asked_for(mesh):
    filter_ = "filter: {expression: \"response.code >= 400 && request.url_path.startsWith('/filtered')\"}"
    await telemetry(mesh, f"{{accessLogging: [{{providers: [{{name: envoy}}], match: {{mode: CLIENT}}, {filter_}}}]}}")
    mesh.workloads["catalog"].fail[418] = 1
    assert (await ask(mesh, "filtered/bad")).status == 418
    assert (await ask(mesh, "filtered/good")).status == 200
    assert await logged(mesh, "frontend", "filtered/bad")
    assert not lines(mesh, "frontend", "filtered/good")
    assert not lines(mesh, "catalog", "filtered")


async def test_a_workload_is_silent_where_the_mesh_logs(mesh):
    await telemetry(mesh, "{accessLogging: [{providers: [{name: envoy}]}]}", namespace="istio-system")
    await telemetry(mesh, "{selector: {matchLabels: {app: catalog}}, accessLogging: [{disabled: true}]}", name="silent")
    await ask(mesh, "one-sided")
    assert await logged(mesh, "frontend", "one-sided")
    assert not lines(mesh, "catalog", "one-sided")


async def test_otlp_takes_records_with_body_and_attributes(mesh):
    async with otlp() as collector:
        labels = "{code: '%RESPONSE_CODE%', path: '%REQ(:path)%'}"
        await configure(
            mesh,
            "extensionProviders:\n- name: otel\n  envoyOtelAls:\n    service: 127.0.0.1\n"
            f"    port: {collector.port}\n    logFormat: {{text: 'took %DURATION%', labels: {labels}}}\n"
            "defaultProviders: {accessLogging: [otel]}",
        )
        await ask(mesh, "to-otlp")

        async def there():
            return len([record for record in collector if attributes(record)["path"] == "/to-otlp"]) == 2

        await until(there)
        assert attributes(collector[0]) == {"code": "200", "path": "/to-otlp"}
        assert collector[0].body.string_value.startswith("took ")


def attributes(record):
    return {pair.key: pair.value.string_value for pair in record.attributes}


async def test_fluentd_takes_records_by_its_forward_protocol(mesh):
    async with fluentd() as collector:
        await configure(
            mesh,
            "extensionProviders:\n- name: fluent\n  envoyFluentd:\n    service: 127.0.0.1\n"
            f"    port: {collector.port}\n    tag: shop.access\n    flushInterval: 100ms\n"
            "    labels: {path: '%REQ(:path)%', code: '%RESPONSE_CODE%', cluster: '%UPSTREAM_CLUSTER_RAW%'}",
        )
        await telemetry(mesh, "{accessLogging: [{providers: [{name: fluent}], match: {mode: CLIENT}}]}")
        await ask(mesh, "to-fluentd")

        async def there():
            return collector

        await until(there)
        tag, record = collector[0]
        assert tag == "shop.access"
        assert record["path"] == "/to-fluentd"
        assert str(record["code"]) == "200"
        assert record["cluster"] == "outbound|80||catalog.shop.svc.cluster.local"


async def test_a_connection_is_logged_once_when_it_ends(mesh):
    db = await mesh.workload("db", protocol="tcp", app=free_echo_server)
    await telemetry(mesh, "{accessLogging: [{providers: [{name: envoy}], match: {mode: SERVER}}]}")
    provider = mesh.workloads["frontend"]
    again = replace(provider.registration, id=provider.grant.id, token=provider.grant.token)
    reader, writer = await asyncio.open_connection(*(await mesh.control.register(again)).tcp_services["db"])
    writer.write(b"seven!!")
    assert await reader.read(10) == b"seven!!"
    assert not lines(mesh, "db", f"{db.address}:15006")
    writer.close()
    (line,) = await logged(mesh, "db", f"{db.address}:15006")
    assert " 7 7 " in line


async def test_the_mesh_config_says_how_paths_are_normalized_and_connections_made(mesh):
    await configure(
        mesh, "pathNormalization: {normalization: MERGE_SLASHES}\nconnectTimeout: 3s\ntcpKeepalive: {time: 60s}"
    )
    assert (await ask(mesh, "/a///b")).seen["path"] == "/a/b"
    clusters = mesh.control.resources(mesh.workloads["frontend"].grant.node_id, "clusters")
    (found,) = [one for one in clusters if one["name"] == "outbound|80||catalog.shop.svc.cluster.local"]
    assert found["connect_timeout"] == "3s"
    assert found["upstream_connection_options"] == {"tcp_keepalive": {"keepalive_time": 60}}


async def test_the_mesh_config_names_a_port_where_programs_find_their_proxy(mesh):
    await configure(mesh, "proxyHttpPort: 3128")
    frontend = mesh.workloads["frontend"]
    proxy = f"http://{frontend.address}:3128"
    async with mesh.http.get("http://catalog:80/by-proxy", proxy=proxy) as answer:
        assert (answer.status, (await answer.json())["path"]) == (200, "/by-proxy")
    assert (await ask(mesh, "as-ever")).status == 200
    await configure(mesh, f"proxyHttpPort: {frontend.port}")  # where the application may listen itself
    assert (await ask(mesh, "as-ever")).status == 200


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("proxyHttpPort: 70000", "data.mesh: proxyHttpPort: must be at most 65535"),
        ("outboundTrafficPolicy: {mode: NONE}", "data.mesh: outboundTrafficPolicy.mode: must be one of ALLOW_ANY, "),
        ("trustDomain: example.com", 'data.mesh: trustDomain: "example.com" is not cluster.local'),
        ("accessLogFile: /no/such/folder/log", "data.mesh: accessLogFile: "),
        ("accessLogFormat: '%NOTHING%'", "names %NOTHING%, which is no command here"),
        (
            "defaultProviders: {tracing: [nobody]}",
            'data.mesh: defaultProviders.tracing[0]: there is no provider "nobody"',
        ),
        ("ca: {address: 'a:1'}", "data.mesh: ca: is Istio's, but this runtime does not support it yet"),
        ("a: [", "data.mesh: is not YAML"),
        (
            "extensionProviders: [{name: a, zipkin: {service: zipkin.shop.svc.cluster.local, port: 9411}}]",
            "extensionProviders[0].service: there is no service zipkin.shop.svc.cluster.local",
        ),
    ],
)
async def test_a_mesh_config_that_cannot_be_is_refused_with_its_place(mesh, text, problem):
    with pytest.raises(Exception) as refused:
        await configure(mesh, text)
    assert problem in str(refused.value)
