import json
from pathlib import Path

import pytest

from collectors.dialects import istio
from collectors.errors import CollectorError
from collectors.exposition import Exposition
from graph.model import EdgeKey, Observation, Outcome, Protocol, Reporter, Security, ServiceRef, WorkloadRef

GOLDEN = Path(__file__).parents[2] / "golden" / "dialects" / "istio"


def read(page: str, exposition: Exposition | None = None) -> list[Observation]:
    exposition = exposition or Exposition(istio.DIALECT, cluster="Kubernetes")
    return exposition.read(page, instance="sidecar~1", epoch=7, at_ms=1000, origin="/run/admin.sock")


def shape(observation: Observation) -> dict:
    edge, counters = observation.edge, observation.counters
    latency = counters.latency_ms
    return {
        "source": "/".join(edge.source),
        "service": "/".join(edge.service) if edge.service else None,
        "target": "/".join(edge.target) if edge.target else None,
        "protocol": edge.protocol,
        "reporter": observation.reporter,
        "security": observation.security,
        "principals": [observation.source_principal, observation.destination_principal],
        "requests": {" ".join(outcome): number for outcome, number in counters.requests.items()},
        "latency": [list(map(str, latency.bounds)), list(latency.counts), latency.total] if latency else None,
        "tcp": [counters.sent_bytes, counters.received_bytes, counters.opened, counters.closed],
    }


@pytest.mark.parametrize("page", sorted(GOLDEN.glob("*.prom")), ids=lambda path: path.stem)
def test_a_real_page_becomes_the_edges_reviewed_by_eye(page):
    shapes = [shape(one) for one in read(page.read_text())]
    assert shapes == json.loads(page.with_suffix(".json").read_text())


def series(metric="istio_requests_total", **labels: str) -> str:
    everything = {"reporter": "source", "source_workload": "web", "source_workload_namespace": "shop"} | labels
    return metric + "{" + ",".join(f'{name}="{value}"' for name, value in everything.items()) + "}"


def only(page: str) -> Observation:
    [observation] = read(page)
    return observation


def test_envoys_prefix_makes_no_difference():
    assert read(f"envoy_{series()} 4") == read(f"{series()} 4")


def test_bytes_that_istio_calls_received_were_sent_by_the_source():
    page = f"{series('istio_tcp_received_bytes_total')} 10\n{series('istio_tcp_sent_bytes_total')} 99\n"
    counters = only(page).counters
    assert (counters.sent_bytes, counters.received_bytes) == (10, 99)


def test_a_connection_that_reached_nobody_is_a_failed_request_for_its_service():
    labels = {"destination_service": "db.shop.svc.cluster.local", "response_flags": "UF,URX"}
    page = f"{series('istio_tcp_connections_closed_total', **labels)} 3\n{series('istio_tcp_sent_bytes_total', **labels)} 0"
    failed = only(page)
    assert failed.edge.target is None
    assert (failed.edge.service.name, failed.edge.protocol) == ("db", Protocol.TCP)
    assert failed.counters.requests == {Outcome("0", "", "UF,URX"): 3}
    assert failed.counters.closed == 0


def test_a_connection_to_a_host_without_a_workload_is_none_that_failed():
    labels = {"destination_service": "db.example.com", "response_flags": "-"}
    counters = only(f"{series('istio_tcp_connections_closed_total', **labels)} 3").counters
    assert (counters.closed, counters.requests) == (3, {})


def test_a_request_that_reached_nobody_keeps_the_service_it_was_for():
    edge = only(series(destination_workload="unknown", destination_service="cart.shop.svc.cluster.local") + " 1").edge
    assert edge == EdgeKey(
        WorkloadRef("Kubernetes", "shop", "web", "", ""),
        ServiceRef("Kubernetes", "shop", "cart"),
        None,
        Protocol.HTTP,
    )


def test_latest_is_istios_word_for_no_version():
    assert only(series(source_canonical_revision="latest") + " 1").edge.source.version == ""
    assert only(series(source_canonical_revision="v3") + " 1").edge.source.version == "v3"


def test_an_unknown_source_keeps_the_principal_it_was_known_by():
    observation = only(
        series(reporter="destination", source_workload="unknown", source_principal="spiffe://x/ns/a/sa/b") + " 1"
    )
    assert observation.edge.source.app == "unknown"
    assert observation.source_principal == "spiffe://x/ns/a/sa/b"
    assert observation.reporter is Reporter.DESTINATION


def test_traffic_with_and_without_mutual_tls_is_told_apart():
    page = f"{series(connection_security_policy='mutual_tls')} 3\n{series(connection_security_policy='none')} 2\n"
    assert {one.security: sum(one.counters.requests.values()) for one in read(page)} == {
        Security.MUTUAL_TLS: 3,
        Security.NONE: 2,
    }


def test_escaped_label_values_are_read_back():
    assert only(series(source_workload=r"a\"b\\c\nd") + " 1").edge.source.workload == 'a"b\\c\nd'


def test_a_second_page_is_read_from_memory_with_its_own_numbers():
    exposition = Exposition(istio.DIALECT, cluster="Kubernetes")
    labels = {"response_code": "200", "response_flags": "-"}
    first = read(f"{series(**labels)} 1\n", exposition)
    remembered = exposition.series
    second = read(f"{series(**labels)} 2\n", exposition)
    assert [one.counters.requests for one in (*first, *second)] == [
        {Outcome("200", "", "-"): 1},
        {Outcome("200", "", "-"): 2},
    ]
    assert exposition.series == remembered


def test_memory_for_series_is_bounded():
    exposition = Exposition(istio.DIALECT, cluster="Kubernetes", most_series=10)
    for number in range(100):
        read(f"{series(source_workload=f'w{number}')} 1\n", exposition)
        assert exposition.series <= 11


def test_a_page_that_is_not_the_text_format_is_an_error():
    with pytest.raises(CollectorError, match="html"):
        read(f"{series()} <html>")


def test_messages_are_grpcs_and_bodies_have_bytes():
    page = f"{series('istio_request_messages_total')} 7\n{series('istio_response_messages_total')} 9\n"
    messages = only(page)
    assert messages.edge.protocol is Protocol.GRPC
    assert (messages.counters.request_messages, messages.counters.response_messages) == (7, 9)
    bodies = only(f"{series('istio_request_bytes_sum')} 70\n{series('istio_response_bytes_sum')} 90\n").counters
    assert (bodies.request_bytes, bodies.response_bytes) == (70, 90)


def test_a_host_is_told_where_it_is_not_the_services_own():
    own = series(destination_service="cart.shop.svc.cluster.local", destination_service_name="cart")
    passed_on = series(destination_service="pay.example.com", destination_service_name="PassthroughCluster")
    assert only(f"{own} 1").host == ""
    assert only(f"{passed_on} 1").host == "pay.example.com"


def test_operations_and_waypoints_are_told():
    classified = only(series(request_operation="GetCart", reporter="waypoint") + " 1")
    assert (classified.operation, classified.reporter) == ("GetCart", Reporter.WAYPOINT)
