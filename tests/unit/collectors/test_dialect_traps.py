"""What makes numbers of meshes untrue, and that it does not happen here."""

import pytest
from clocks import FixedClock

from collectors.counting import counters
from collectors.dialects import Gap, Latency, Need, detect, first_known, known
from collectors.dialects.words import owner_of
from collectors.exposition import Exposition
from collectors.layers import Layers
from graph.health import Direction, Tolerance, is_error
from graph.live import LiveGraph
from graph.model import GraphType, Outcome, Protocol, Reporter, WorkloadRef

ALL = known()


def page(metric: str, number: float, **labels: str) -> str:
    return metric + "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + f"}} {number}\n"


def observe(name: str, text: str, **target: str) -> list:
    return Exposition(ALL[name], cluster="c").read(text, instance="p", epoch=1, at_ms=1, origin="here", target=target)


def requests(name: str, text: str, **target: str) -> float:
    return sum(sum(one.counters.requests.values()) for one in observe(name, text, **target))


def test_requests_that_linkerd_counts_at_their_beginning_and_at_their_end_count_once():
    labels = {"direction": "outbound", "dst_deployment": "cart", "dst_namespace": "shop"}
    text = page("request_total", 9, **labels) + page("response_total", 8, **labels, status_code="200")
    assert requests("linkerd", text, deployment="web") == 8


def test_requests_that_linkerd_counts_inbound_make_no_edge():
    assert observe("linkerd", page("response_total", 8, direction="inbound", status_code="200"), deployment="web") == []


def test_requests_that_envoy_counts_by_code_and_by_class_count_once():
    labels = {"consul_source_service": "web", "consul_destination_service": "api"}
    text = page("envoy_cluster_upstream_rq_xx", 5, **labels, envoy_response_code_class="2")
    text += page("envoy_cluster_upstream_rq", 5, **labels, envoy_response_code="200")
    text += page("envoy_cluster_upstream_rq_completed", 5, **labels)
    assert requests("consul", text) == 5


@pytest.mark.parametrize("reported", ["client", "server"])
def test_hubbles_two_reporters_of_a_request_are_told_apart(reported):
    labels = {"source_workload": "web", "destination_workload": "cart", "status": "200"}
    [seen] = observe("hubble", page("hubble_http_requests_total", 5, reporter=reported, **labels))
    assert seen.reporter is {"client": Reporter.SOURCE, "server": Reporter.DESTINATION}[reported]


def test_both_of_hubbles_reporters_together_are_one_request():
    live = LiveGraph(clock=FixedClock(61_000))
    exposition = Exposition(ALL["hubble"], cluster="c")
    labels = {"source_namespace": "n", "source_workload": "web", "destination_namespace": "n"}
    labels |= {"destination_workload": "cart", "status": "200"}
    for at_ms, number in ((55_000, 0), (60_000, 30)):
        text = "".join(
            page("hubble_http_requests_total", number, reporter=one, **labels) for one in ("client", "server")
        )
        live.observe(exposition.read(text, instance="agent", epoch=54_000, at_ms=at_ms, origin="here"))
    live.tick(61_000)
    [drawn] = live.snapshot(GraphType.WORKLOAD, 60).edges.values()
    assert drawn.signals.requests == 30


def test_a_request_that_never_arrived_is_drawn_to_the_service_it_was_for():
    labels = {"parent_kind": "Service", "parent_name": "cart", "parent_namespace": "shop", "backend_kind": "default"}
    metric = "outbound_http_route_backend_response_statuses_total"
    [seen] = observe("linkerd-routes", page(metric, 3, **labels, http_status="", error="FAIL_FAST"), deployment="web")
    assert (seen.edge.service.name, seen.edge.target) == ("cart", None)
    assert seen.counters.requests == {Outcome("0", "", "FAIL_FAST"): 3}


@pytest.mark.parametrize(
    ("name", "metric", "unit_ms", "labels"),
    [
        ("linkerd", "response_latency_ms", 1, {"direction": "outbound", "dst_deployment": "a"}),
        ("consul", "envoy_cluster_upstream_rq_time", 1, {"consul_destination_service": "a"}),
        (
            "nginx-service-mesh",
            "nginxplus_upstream_server_response_latency_ms",
            1,
            {"dst_namespace": "a", "dst_pod": "a"},
        ),
        ("osm", "osm_request_duration_ms", 1, {"source_name": "a"}),
        ("hubble", "hubble_http_request_duration_seconds", 1000, {"source_workload": "a", "reporter": "client"}),
        ("traefik-mesh", "traefik_service_request_duration_seconds", 1000, {"service": "shop-cart-80"}),
        ("service-graph", "traces_service_graph_request_client_seconds", 1000, {"client": "a", "server": "b"}),
    ],
)
def test_latencies_are_in_milliseconds_whatever_the_mesh_measures_in(name, metric, unit_ms, labels):
    text = "".join(page(f"{metric}_bucket", 4, **labels, le=le) for le in ("0.07", "1e+06", "+Inf"))
    [seen] = observe(name, text + page(f"{metric}_sum", 3, **labels))
    assert seen.counters.latency_ms.bounds == (0.07 * unit_ms, 1e6 * unit_ms, float("inf"))
    assert seen.counters.latency_ms.total == 3 * unit_ms


def test_each_dialect_says_when_its_clock_stops():
    assert ALL["linkerd"].latency is Latency.FIRST_BYTE
    assert ALL["istio"].latency is ALL["linkerd-routes"].latency is Latency.LAST_BYTE


@pytest.mark.parametrize(("status", "fails"), [("OK", False), ("UNAVAILABLE", True), ("14", True), ("0", False)])
def test_a_grpc_call_fails_by_its_status_not_by_its_http_code(status, fails):
    metric = "outbound_grpc_route_backend_response_statuses_total"
    labels = {"parent_kind": "Service", "parent_name": "orders", "grpc_status": status}
    [seen] = observe("linkerd-routes", page(metric, 1, **labels), deployment="web")
    [outcome] = seen.counters.requests
    assert seen.edge.protocol is Protocol.GRPC
    assert is_error(Protocol.GRPC, outcome) is fails


def test_a_class_of_codes_fails_as_its_codes_do():
    assert is_error(Protocol.HTTP, Outcome("5xx", "", "-"))
    assert not is_error(Protocol.HTTP, Outcome("2xx", "", "-"))
    assert Tolerance(code="5XX").concerns("5xx", "http", Direction.INBOUND)
    assert not Tolerance(code="5XX").concerns("4xx", "http", Direction.INBOUND)


def test_connections_of_ztunnel_are_not_drawn_beside_the_waypoints_requests():
    ends = {"source_workload": "web", "source_workload_namespace": "shop", "destination_service_name": "cart"}
    ends |= {"destination_service_namespace": "shop", "destination_workload_namespace": "shop"}
    tcp = page("istio_tcp_connections_opened_total", 3, reporter="source", **ends, destination_workload="waypoint")
    http = page(
        "istio_requests_total", 3, reporter="waypoint", **ends, destination_workload="cart", response_code="200"
    )
    carried = observe("istio", tcp, app="ztunnel")
    shown = Layers().one([*carried, *observe("istio", http)])
    assert [one.carrier for one in carried] == [True]
    assert [one.edge.protocol for one in shown] == [Protocol.HTTP]
    assert Layers().one(carried) == carried


def test_ztunnel_is_known_by_its_pods_name_where_no_label_tells():
    tcp = page("istio_tcp_connections_opened_total", 3, reporter="source", source_workload="web", pod="ztunnel-7xk2p")
    assert observe("istio", tcp)[0].carrier


def test_failed_requests_of_a_service_graph_are_part_of_all_requests():
    ends = {"client": "web", "server": "cart"}
    text = page("traces_service_graph_request_total", 10, **ends)
    assert requests("service-graph", text + page("traces_service_graph_request_failed_total", 4, **ends)) == 10


def test_a_part_written_a_moment_later_than_its_whole_makes_no_count_fall():
    exposition, ends = Exposition(ALL["service-graph"], cluster="c"), {"client": "web", "server": "cart"}
    seen = []
    for total, failures in ((100, 5), (100, 6), (102, 6)):
        text = page("traces_service_graph_request_total", total, **ends)
        text += page("traces_service_graph_request_failed_total", failures, **ends)
        [one] = exposition.read(text, instance="p", epoch=1, at_ms=1, origin="here")
        seen.append(one.counters.requests)
    fine, failing = Outcome("ok", "", "-"), Outcome("0", "", "-")
    assert seen == [{fine: 95, failing: 5}, {fine: 95, failing: 6}, {fine: 96, failing: 6}]


def test_a_whole_that_began_anew_takes_its_parts_along():
    _, part = ALL["service-graph"].read("traces_service_graph_request_failed_total", {"client": "a"}, "c")
    _, whole = ALL["service-graph"].read("traces_service_graph_request_total", {"client": "a"}, "c")
    before = counters([(whole, 100.0), (part, 5.0)])
    assert counters([(whole, 3.0), (part, 1.0)], before).requests == {whole.outcome: 2, part.outcome: 1}


@pytest.mark.parametrize(
    ("labels", "source", "target"),
    [
        ({"server": "redis", "connection_type": "database"}, "web", "db:redis"),
        (
            {"server": "api.example.com", "connection_type": "virtual_node", "virtual_node": "server"},
            "web",
            "ext:api.example.com",
        ),
        ({"client": "user", "server": "web", "connection_type": "virtual_node"}, "unknown", "web"),
        ({"server": "mailer", "connection_type": "messaging_system"}, "web", "mailer"),
    ],
)
def test_peers_without_spans_are_what_the_connection_says(labels, source, target):
    [seen] = observe("service-graph", page("traces_service_graph_request_total", 1, **{"client": "web", **labels}))
    assert (seen.edge.source.app, seen.edge.target.app, seen.reporter) == (source, target, Reporter.TRACE)


def test_an_unknown_source_stays_unknown():
    [seen] = observe(
        "osm", page("osm_request_total", 1, source_name="unknown", destination_name="cart", response_code="200")
    )
    assert seen.edge.source == WorkloadRef("c", "unknown", "unknown", "unknown", "")


def test_hubble_without_contexts_draws_nothing_and_says_what_to_set():
    series = page("hubble_http_requests_total", 9, method="GET", status="200", reporter="client")
    assert observe("hubble", series) == []
    [need] = ALL["hubble"].requires
    assert "labelsContext" in need.remedy


def test_labels_that_the_scrape_job_must_put_on_come_with_the_rule_to_paste():
    needs = ALL["linkerd"].requires
    assert [need.labels[0] for need in needs] == ["namespace", "deployment"]
    assert all("labelmap" in need.remedy for need in needs)


def test_every_gap_and_need_says_why_and_every_mesh_says_what_it_lacks():
    for dialect in ALL.values():
        assert dialect.gaps, dialect.name
        assert all(isinstance(one, Gap) and one.signal and one.reason for one in dialect.gaps)
        assert all(isinstance(one, Need) and one.metric and one.reason and one.remedy for one in dialect.requires)
    assert "edges" in {gap.signal for gap in ALL["traefik-mesh"].gaps}


def test_series_of_two_ports_of_one_pod_are_of_one_process():
    labels = {"namespace": "shop", "pod": "web-1"}
    istio = ALL["istio"]
    assert istio.instance({**labels, "instance": "10.0.0.1:15020"}) == istio.instance(
        {**labels, "instance": "10.0.0.1:15090"}
    )
    assert istio.instance({"instance": "10.0.0.1:15090"}) == "10.0.0.1:15090"
    assert ALL["service-graph"].instance({"__metrics_gen_instance": "tempo-0", "instance": "x"}) == "tempo-0"


def test_labels_of_prometheus_replicas_are_to_be_dropped_by_every_dialect():
    assert all("prometheus_replica" in one.replica_labels for one in ALL.values())
    assert all(set(one.replica_labels).isdisjoint(one.labels) for one in ALL.values())


@pytest.mark.parametrize(
    ("pod", "owner"),
    [
        ("web-6b7f5c9d8-x2k4p", "web"),
        ("web-v1-6b7f5c9d8-x2k4p", "web-v1"),
        ("redis-0", "redis"),
        ("cilium-x2k4p", "cilium"),
        ("standalone", "standalone"),
        ("", ""),
    ],
)
def test_a_workload_is_known_by_its_pods_name(pod, owner):
    assert owner_of(pod) == owner


def test_a_page_with_instants_and_exemplars_is_read():
    labels = {"source_name": "web", "destination_name": "cart", "response_code": "200"}
    text = page("osm_request_total", 4, **labels).rstrip() + " 1700000000000\n"
    assert requests("osm", text) == 4
    assert (
        requests("osm", page("osm_request_total", 5, **labels).rstrip() + ' # {trace_id="a} 1"} 0.5 1700000000\n') == 5
    )


def test_a_page_of_other_series_than_the_last_one_is_read_as_well_and_nothing_counted_is_lost():
    exposition = Exposition(ALL["osm"], cluster="c")
    ends = {"source_name": "web", "destination_name": "cart"}
    pages = [
        page("osm_request_total", 4, **ends, response_code="200"),
        page("osm_request_total", 5, **ends, response_code="200")
        + page("osm_request_total", 1, **ends, response_code="503"),
        page("osm_request_total", 2, **ends, response_code="503"),
        "",
    ]
    read = [exposition.read(one, instance="p", epoch=1, at_ms=1, origin="here") for one in pages]
    ok, bad = Outcome("200", "", "-"), Outcome("503", "", "-")
    assert [[one.counters.requests for one in batch] for batch in read] == [
        [{ok: 4}],
        [{ok: 5, bad: 1}],
        [{bad: 2, ok: 5}],
        [{bad: 2, ok: 5}],
    ]


def test_what_did_not_change_is_the_same_object():
    exposition, ends = Exposition(ALL["osm"], cluster="c"), {"source_name": "web", "response_code": "200"}
    both = [page("osm_request_total", 1, **ends, destination_name=name) for name in ("cart", "orders")]
    first = exposition.read("".join(both), instance="p", epoch=1, at_ms=1, origin="here")
    both[1] = both[1].replace(" 1\n", " 2\n")
    second = exposition.read("".join(both), instance="p", epoch=1, at_ms=2, origin="here")
    assert [new.counters is old.counters for new, old in zip(second, first, strict=True)] == [True, False]


def test_targets_of_the_same_text_are_different_callers():
    exposition = Exposition(ALL["envoy"], cluster="c")
    text = page("envoy_cluster_upstream_rq_xx", 1, envoy_cluster_name="shop/cart/80", envoy_response_code_class="2")
    callers = [
        exposition.read(text, instance=one, epoch=1, at_ms=1, origin="here", target={"app": one})[0].edge.source.app
        for one in ("web", "job")
    ]
    assert callers == ["web", "job"]


NAMES = ["envoy_cluster_upstream_rq_xx", "up"]


@pytest.mark.parametrize(
    ("found", "samples"),
    [
        ("consul", {"consul_source_service": "web", "consul_destination_service": "api", "envoy_cluster_name": "api"}),
        ("kuma", {"kuma_io_zone": "east", "envoy_cluster_name": "redis_kuma-demo_svc_6379"}),
        ("kuma-3", {"kuma_io_zone": "east", "envoy_cluster_name": "kri_msvc_default_east_shop_cart_http"}),
        ("app-mesh-envoy", {"appmesh_mesh": "m", "envoy_cluster_name": "cds_egress_m_green_http_80"}),
        ("envoy", {"app": "web", "envoy_cluster_name": "shop/cart/80"}),
    ],
)
def test_meshes_that_share_envoys_names_are_told_by_a_series(found, samples):
    assert detect(NAMES, [{"__name__": NAMES[0], "envoy_response_code_class": "2", **samples}]) == (found,)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["istio_requests_total"], ("istio",)),
        (["istio_tcp_sent_bytes_total"], ("istio",)),
        (["outbound_http_route_backend_response_statuses_total"], ("linkerd-routes",)),
        (["envoy_appmesh_RequestCountPerTarget"], ("app-mesh",)),
        (["osm_request_total"], ("osm",)),
        (["envoy_response_code_200_source_namespace_a_osm_request_total"], ("osm",)),
        (["traces_service_graph_request_total"], ("service-graph",)),
        (["envoy_cluster_upstream_rq_xx"], ("envoy",)),
        (["up", "go_goroutines"], ()),
    ],
)
def test_a_mesh_is_found_by_its_metrics(names, found):
    assert detect(names) == found


def test_linkerds_route_metrics_are_not_read_beside_the_classic_ones():
    names = ["response_total", "outbound_http_route_backend_response_statuses_total"]
    sample = {"__name__": "response_total", "direction": "outbound", "deployment": "web", "dst_deployment": "cart"}
    assert detect(names, [sample]) == ("linkerd",)


def test_hubbles_versions_are_told_by_their_series():
    ends = {"source_workload": "web", "destination_workload": "cart"}
    second = {"__name__": "hubble_http_requests_total", "status": "200", "reporter": "client", **ends}
    first = {"__name__": "hubble_http_responses_total", "status": "200", **ends}
    assert detect([second["__name__"]], [second]) == ("hubble",)
    assert detect([second["__name__"], first["__name__"]], [{**second, "status": ""}, first]) == ("hubble-v1",)


def test_queries_are_made_from_what_a_dialect_says():
    linkerd = ALL["linkerd"]
    assert linkerd.selector == 'direction="outbound"'
    assert ALL["kuma-3"].selector == 'envoy_cluster_name=~"kri_.+"'
    assert {"response_total", "response_latency_ms_bucket", "response_latency_ms_sum"} <= set(linkerd.metrics)
    assert {"deployment", "dst_deployment", "status_code", "grpc_status", "tls", "le"} <= set(linkerd.labels)
    assert all(one.metrics or one.metric_pattern for one in ALL.values())
    assert len(ALL) == len({one.name for one in ALL.values()})


def test_labels_that_say_nothing_are_passed_over():
    assert first_known({"a": "unknown", "b": "-", "c": "x"}, ["a", "b", "c"]) == "x"


def test_kumas_two_ways_of_naming_clusters_are_read_by_one_dialect_each():
    names = ("cart_shop_svc_80", "kri_msvc_default_east_shop_cart_http")
    text = "".join(
        page("envoy_cluster_upstream_rq_xx", 1, mesh="default", envoy_cluster_name=name, envoy_response_code_class="2")
        for name in names
    )
    assert [requests(name, text, kuma_io_zone="east") for name in ("kuma", "kuma-3")] == [1, 1]


def test_clusters_of_istios_proxies_are_not_read_beside_istios_own_metrics():
    assert detect(["istio_requests_total", "envoy_cluster_upstream_rq_xx"]) == ("istio",)
