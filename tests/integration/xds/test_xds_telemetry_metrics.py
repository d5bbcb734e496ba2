"""What proxies count, and what Telemetry changes about it."""

import asyncio
from dataclasses import replace

import pytest
import pytest_asyncio
from xds_mesh import Mesh, are_answered, at_once, free_echo_server, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOTAL = "istio_requests_total"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog", "v1")
        await mesh.workload("db", protocol="tcp", app=free_echo_server)
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def plain(mesh):
    """Forget what the test before did."""
    yield
    await mesh.forget("Telemetry", "VirtualService", "DestinationRule")


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


@pytest.fixture
def catalog(mesh):
    return mesh.workloads["catalog-v1"]


async def ask(mesh, path="catalog/", **options):
    """Send a request on a connection of its own: one from before a change would still be served as before it."""
    headers = {"connection": "close", **options.pop("headers", {})}
    return await mesh.get(mesh.workloads["frontend"], path, headers=headers, **options)


async def ask_until(mesh, counted, **options):
    """Send requests until they count."""

    async def happened():
        await ask(mesh, **options)
        return await counted()

    await until(happened)


async def telemetry(mesh, spec, name="default", namespace="shop"):
    head = f"apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    return await mesh.apply(f"{head}spec: {spec}\n")


async def test_a_label_is_added_changed_and_removed(mesh, frontend, catalog):
    await telemetry(
        mesh,
        """{metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT},
        tagOverrides: {request_host: {value: request.host}, destination_port: {value: string(destination.port)},
        kind: {value: "response.code >= 400 ? 'bad' : 'good'"}, user: {value: "request.headers['x-user']"},
        app: {value: "upstream_peer.service"}, odd: {value: "')%'"},
        request_protocol: {value: "'mine'"}, response_flags: {operation: REMOVE}}}]}]}""",
    )
    await ask(mesh, headers={"x-user": "ada"})
    await ask(mesh)
    wanted = {
        "request_host": "catalog",
        "destination_port": "15001",
        "kind": "good",
        "app": "catalog",
        "odd": ")%",
        "request_protocol": "mine",
    }
    for user in ("ada", "unknown"):
        assert await mesh.metrics(frontend, TOTAL, user=user, **wanted) == 1
    assert await mesh.metrics(frontend, TOTAL, response_flags="-", kind="good") == 0
    assert await mesh.metrics(catalog, TOTAL, request_protocol="http", response_flags="-") >= 2


async def test_one_metric_is_switched_off_and_the_others_stay(mesh, frontend):
    await telemetry(
        mesh,
        "{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: true},"
        " {match: {metric: REQUEST_DURATION}, tagOverrides: {only: {value: \"'here'\"}}}]}]}",
    )
    await ask_until(mesh, lambda: mesh.metrics(frontend, "istio_request_duration_milliseconds_count", only="here"))
    assert await mesh.metrics(frontend, "istio_request_duration_milliseconds_count", only="here") > 0
    before = await mesh.metrics(frontend, TOTAL)
    await ask(mesh)
    assert await mesh.metrics(frontend, TOTAL) <= before


async def test_metrics_go_by_their_own_names_and_those_that_there_are_not_are_told(mesh, frontend):
    named = "{match: {customMetric: %s}, tagOverrides: {own: {value: \"'name'\"}}}"
    await telemetry(mesh, f"{{metrics: [{{overrides: [{named % 'istio_requests_total'}, {named % 'foo'}]}}]}}")
    await ask_until(mesh, lambda: mesh.metrics(frontend, TOTAL, own="name"))
    assert await mesh.metrics(frontend, "istio_request_duration_milliseconds_count", own="name") == 0
    said = {note for proxy in mesh.control.status() for note in proxy.notes}
    assert said == {"Telemetry shop/default names foo, which is no metric of a proxy's"}


async def test_a_workload_goes_its_own_way_where_the_namespace_switched_metrics_off(mesh, frontend, catalog):
    await telemetry(mesh, "{metrics: [{overrides: [{disabled: true}]}]}", namespace="istio-system")
    own = "{selector: {matchLabels: {app: catalog}}, metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: false}]}]}"
    await telemetry(mesh, own, name="catalog")
    before = await mesh.metrics(frontend, TOTAL)
    await ask_until(mesh, lambda: mesh.metrics(catalog, TOTAL))
    assert await mesh.metrics(frontend, TOTAL) <= before


async def test_sizes_of_requests_and_answers_are_counted_where_they_are_asked_for(mesh, frontend):
    await ask(mesh, method="POST", data=b"x" * 5000)
    assert await mesh.metrics(frontend, "istio_request_bytes_count") == 0
    await telemetry(
        mesh,
        "{metrics: [{overrides: [{match: {metric: REQUEST_SIZE}, disabled: false},"
        " {match: {metric: RESPONSE_SIZE}, disabled: false}]}]}",
    )
    await ask(mesh, method="POST", data=b"x" * 5000)
    await until(lambda: mesh.metrics(frontend, "istio_request_bytes_sum", destination_service_name="catalog"))
    assert 4900 <= await mesh.metrics(frontend, "istio_request_bytes_sum") <= 5100
    assert await mesh.metrics(frontend, "istio_response_bytes_sum") > 50


async def test_connections_are_counted_with_labels_of_ones_own(mesh, frontend):
    override = "{match: {metric: TCP_CLOSED_CONNECTIONS, mode: CLIENT}, tagOverrides: {team: {value: \"'data'\"}}}"
    await telemetry(mesh, f"{{metrics: [{{overrides: [{override}]}}]}}")
    again = replace(frontend.registration, id=frontend.grant.id, token=frontend.grant.token)
    services = (await mesh.control.register(again)).tcp_services
    reader, writer = await asyncio.open_connection(*services["db"])
    writer.write(b"ping")
    assert await reader.read(10) == b"ping"
    writer.close()
    await until(lambda: mesh.metrics(frontend, "istio_tcp_connections_closed_total", team="data"))


async def test_faults_and_circuit_breaking_are_told_from_the_services_own_errors(mesh, frontend):
    await mesh.apply(
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec:
  hosts: [catalog]
  http:
  - match: [{uri: {prefix: /broken}}]
    fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: catalog}}]
  - route: [{destination: {host: catalog}}]
    retries: {attempts: 0}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog}
spec:
  host: catalog
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}
"""
    )
    assert (await ask(mesh, "catalog/broken")).status == 555
    assert await mesh.metrics(frontend, TOTAL, response_flags="FI", response_code="555") == 1
    answers = await at_once(lambda: ask(mesh), 8, [mesh.workloads["catalog-v1"]], are_answered(1))
    refused = sum(answer.status == 503 for answer in answers)
    assert refused
    assert await mesh.metrics(frontend, TOTAL, response_flags="UO", response_code="503") == refused


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            "{metrics: [{providers: [{name: nobody}]}]}",
            'spec.metrics[0].providers[0].name: there is no provider "nobody"',
        ),
        ("{tracing: [{providers: [{name: envoy}]}]}", 'the provider "envoy" is for something else'),
        (
            "{metrics: [{overrides: [{tagOverrides: {a: {value: request.nothing}}}]}]}",
            "tagOverrides.a.value: is not a CEL expression that Envoy takes: request has no nothing",
        ),
        ("{accessLogging: [{filter: {expression: 'response.code >= '}}]}", "is not a CEL expression"),
        ("{tracing: [{randomSamplingPercentage: 101}]}", "randomSamplingPercentage: must be at most 100"),
        ("{metrics: [{reportingInterval: 5}]}", "reportingInterval: must be text, not a number (5)"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_place_in_the_manifest(mesh, spec, problem):
    with pytest.raises(Exception) as refused:
        await telemetry(mesh, spec)
    assert problem in str(refused.value)


async def test_of_two_telemetries_for_the_same_whole_namespace_the_older_is_heard_and_the_other_said_not_to_be(mesh):
    await telemetry(mesh, "{}", name="two")
    await telemetry(mesh, "{metrics: [{overrides: [{disabled: true}]}]}", name="one")
    before = await mesh.metrics(mesh.workloads["frontend"], TOTAL)
    await ask_until(mesh, lambda: counted_since(mesh, before))
    notes = {note for proxy in mesh.control.status() for note in proxy.notes}
    older = "Telemetry shop/two is for the same namespace, and older"
    assert notes == {f"Telemetry shop/one is not heard: {older}"}


async def counted_since(mesh, before):
    return await mesh.metrics(mesh.workloads["frontend"], TOTAL) > before
