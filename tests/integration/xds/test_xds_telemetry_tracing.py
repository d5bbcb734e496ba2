"""Spans that proxies make for the collectors users name: sampled, tagged, and in one trace with the callers'."""

import json

import pytest
import pytest_asyncio
from collectors_fakes import otlp, zipkin
from xds_mesh import Mesh, mesh_config, telemetry, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE = "463ac35c9f6413ad48485a3953bb6124"
SPAN = "a2fb4a1d1a96d312"
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: by-weight}
spec:
  hosts: [catalog]
  http:
  - match: [{uri: {prefix: /items}}]
    route: [{destination: {host: catalog}}]
  - match: [{uri: {exact: /split}}]
    route: [{destination: {host: catalog}, weight: 50}, {destination: {host: frontend}, weight: 50}]
  - route: [{destination: {host: catalog}}]
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def plain(mesh):
    """Forget what the test before did."""
    mesh.workloads["catalog"].requests.clear()
    yield
    await mesh.forget("Telemetry", "ConfigMap", "VirtualService")


async def providers(mesh, text, sampling=100):
    config = f"extensionProviders: [{text}]\ndefaultConfig: {{tracing: {{sampling: {sampling}}}}}\n"
    return await mesh.apply(mesh_config(config))


async def ask(mesh, path="", **headers):
    """Send a request on a connection of its own: one from before a change would still be served as before it."""
    return await mesh.get(mesh.workloads["frontend"], f"catalog/{path}", headers={"connection": "close", **headers})


async def received(collector, count):
    async def there():
        return len(collector) >= count

    await until(there)
    return list(collector)


def otel(collector):
    return f"{{name: otel, opentelemetry: {{service: 127.0.0.1, port: {collector.port}}}}}"


def attributes(span):
    return {pair.key: pair.value.string_value for pair in span.attributes}


async def test_spans_of_both_proxies_come_to_an_opentelemetry_collector_with_tags(mesh):
    async with otlp() as collector:
        await providers(mesh, otel(collector))
        tags = "{team: {literal: {value: data}}, who: {header: {name: x-user, defaultValue: nobody}}, home: {environment: {name: HOME}}, "
        tags += "asked: {formatter: {value: '%REQ(:METHOD)% %REQ(:PATH)%'}}}"
        await telemetry(mesh, f"{{tracing: [{{providers: [{{name: otel}}], customTags: {tags}}}]}}")
        answer = await ask(mesh, traceparent=f"00-{TRACE}-{SPAN}-01", **{"x-user": "ada"})
        spans = await received(collector, 2)
        assert {name for name, _ in spans} == {"frontend.shop", "catalog.shop"}
        for name, span in spans:
            found = attributes(span)
            assert (found["team"], found["who"], found["asked"]) == ("data", "ada", "GET /")
            assert found["istio.canonical_service"] == name.partition(".")[0]
            assert found["istio.namespace"] == "shop"
            assert span.trace_id.hex() == TRACE
        assert answer.seen["headers"]["traceparent"].split("-")[1] == TRACE


async def test_spans_are_named_by_host_port_and_path(mesh):
    """Also those of the callee's proxy. A rule that leads to several is named itself."""
    async with otlp() as collector:
        await providers(mesh, otel(collector))
        await telemetry(mesh, "{tracing: [{providers: [{name: otel}]}]}")
        await mesh.apply(RULES)
        for path in ("items/7", "split", "other"):
            await ask(mesh, path)
        spans = await received(collector, 6)
    assert {span.name for _, span in spans} == {
        "catalog.shop.svc.cluster.local:80/items*",
        "by-weight:80/split",
        "catalog.shop.svc.cluster.local:80/*",
    }


async def test_a_callers_b3_trace_is_continued_by_zipkin_for_callees_that_speak_either(mesh):
    async with zipkin() as collector:
        option = "traceContextOption: USE_B3_WITH_W3C_PROPAGATION"
        await providers(mesh, f"{{name: zipkin, zipkin: {{service: 127.0.0.1, port: {collector.port}, {option}}}}}")
        await telemetry(mesh, "{tracing: [{providers: [{name: zipkin}]}]}")
        b3 = {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1"}
        seen = (await ask(mesh, **b3)).seen["headers"]
        assert seen["x-b3-traceid"] == TRACE
        assert seen["x-b3-spanid"] != SPAN
        assert seen["traceparent"].split("-")[1] == TRACE
        spans = await received(collector, 2)
        assert {span["traceId"] for span in spans} == {TRACE}
        assert {span["localEndpoint"]["serviceName"] for span in spans} == {"frontend.shop", "catalog.shop"}


async def test_a_callers_w3c_trace_is_continued_by_zipkin_too(mesh):
    async with zipkin() as collector:
        option = "traceContextOption: USE_B3_WITH_W3C_PROPAGATION"
        await providers(mesh, f"{{name: zipkin, zipkin: {{service: 127.0.0.1, port: {collector.port}, {option}}}}}")
        await telemetry(mesh, "{tracing: [{providers: [{name: zipkin}]}]}")
        seen = (await ask(mesh, traceparent=f"00-{TRACE}-{SPAN}-01")).seen["headers"]
        assert seen["x-b3-traceid"] == TRACE
        assert seen["traceparent"].split("-")[1] == TRACE


async def test_a_workload_has_a_sampling_of_its_own(mesh):
    async with otlp() as collector:
        await providers(mesh, otel(collector), sampling=0.01)
        await telemetry(mesh, "{tracing: [{providers: [{name: otel}], randomSamplingPercentage: 0}]}")
        await telemetry(
            mesh,
            "{selector: {matchLabels: {app: catalog}}, tracing: [{match: {mode: SERVER}, randomSamplingPercentage: 100}]}",
            name="catalog",
        )
        catalog = mesh.workloads["catalog"]
        for _ in range(3):
            await mesh.send(f"http://{catalog.address}:15006/", "catalog", headers={"connection": "close"})
            await ask(mesh)
        spans = await received(collector, 3)
        assert {name for name, _ in spans} == {"catalog.shop"}


async def test_spans_are_reported_by_nobody_where_that_is_switched_off_and_headers_pass_as_they_are(mesh):
    async with otlp() as collector:
        await providers(mesh, otel(collector))
        await telemetry(mesh, "{tracing: [{providers: [{name: otel}], disableSpanReporting: true}]}")
        sent = f"00-{TRACE}-{SPAN}-01"
        assert (await ask(mesh, traceparent=sent)).seen["headers"]["traceparent"] == sent
        await telemetry(mesh, "{tracing: [{providers: [{name: otel}]}]}")
        await ask(mesh, "later")
        spans = await received(collector, 1)
        assert TRACE not in {span.trace_id.hex() for _, span in spans}


async def test_whom_a_workload_calls_need_not_learn_of_the_trace_of_which_spans_are_made(mesh):
    async with otlp() as collector:
        await providers(mesh, otel(collector))
        rule = "{providers: [{name: otel}], match: {mode: CLIENT}, disableContextPropagation: true}"
        await telemetry(mesh, f"{{tracing: [{rule}]}}")
        assert "traceparent" not in (await ask(mesh)).seen["headers"]
        assert [name for name, _ in await received(collector, 1)] == ["frontend.shop"]


async def test_a_collector_may_be_a_service_of_the_mesh(mesh):
    async with otlp() as collector:
        entry = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "otel", "namespace": "shop"},
            "spec": {
                "hosts": ["otel.example.com"],
                "ports": [{"number": 4317, "name": "grpc", "protocol": "GRPC", "targetPort": collector.port}],
                "resolution": "STATIC",
                "endpoints": [{"address": "127.0.0.1"}],
            },
        }
        await mesh.apply(json.dumps(entry))
        await providers(mesh, "{name: otel, opentelemetry: {service: shop/otel.example.com, port: 4317}}")
        await telemetry(mesh, "{tracing: [{providers: [{name: otel}]}]}")
        await ask(mesh)
        assert await received(collector, 2)
