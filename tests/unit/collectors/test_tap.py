import asyncio

from collector_fakes import inventory
from log_words import CATALOG, FRONTEND

from collectors.als.ends import request_of
from collectors.als.tap import Tap, TappedRequest, TapQuery
from collectors.logs.access import Access
from collectors.peers import Peers
from graph.model import NodeKind, Protocol, Service, ServiceRef, WorkloadRef
from mesh_runtime.registry import RegistryState

SERVICE = ServiceRef("Kubernetes", "shop", "catalog")


def request(path="/", *, code="200", source=FRONTEND, target=CATALOG, reporter="source", **fields):
    return TappedRequest(
        **{
            "at_ns": 1,
            "source": source,
            "service": SERVICE,
            "target": target,
            "reporter": reporter,
            "protocol": Protocol.HTTP,
            "method": "GET",
            "path": path,
            "code": code,
            "failed": code.startswith("5"),
        }
        | fields
    )


def paths(tap, **query):
    return [one.path for one in tap.recent(TapQuery(**query), 100)]


def test_requests_are_chosen_by_ends_path_method_status_and_time():
    tap = Tap()
    tap.record(
        [
            request("/a/1", at_ns=1),
            request("/a/2", at_ns=2, code="503", method="POST"),
            request("/b", at_ns=3, code="404", duration_ms=70),
            request("/c", at_ns=4, source=None),
        ]
    )
    assert paths(tap, path="/a") == ["/a/1", "/a/2"]
    assert paths(tap, path="/*/2") == ["/a/2"]
    assert paths(tap, method="post") == ["/a/2"]
    assert paths(tap, status="5xx,404") == ["/a/2", "/b"]
    assert paths(tap, errors_only=True) == ["/a/2"]
    assert paths(tap, min_duration_ms=50) == ["/b"]
    assert paths(tap, source="frontend") == ["/a/1", "/a/2", "/b"]
    assert paths(tap, target="catalog", source="catalog") == []
    assert len(paths(tap, target="catalog.shop")) == len(paths(tap, target="catalog-v1")) == 4
    assert paths(tap, namespace="elsewhere") == []


def test_each_edge_keeps_its_newest_and_a_quiet_edge_is_not_pushed_out():
    tap = Tap(ring=10, edges=2)
    tap.record([request("/quiet", source=CATALOG, target=FRONTEND)])
    tap.record([request(f"/{n}", at_ns=n) for n in range(100)])
    assert paths(tap, source="catalog") == ["/quiet"]
    assert paths(tap, source="frontend") == [f"/{n}" for n in range(90, 100)]
    tap.record([request("/third", source=None)])
    assert tap.state.edges == 2
    assert tap.state.drops["edges_full"] == 1


def test_what_both_proxies_tell_is_one_request_and_a_second_call_under_the_same_id_is_another():
    tap = Tap()
    for reporter in ("destination", "source", "source", "destination"):
        tap.record([request(reporter=reporter, request_id="id")])
    assert tap.state.requests == 2


def test_whose_proxy_is_first_does_not_hide_who_called():
    tap = Tap()
    tap.record([request("/a", source=None, reporter="destination", request_id="id")])
    tap.record([request("/a", request_id="id"), request("/b", request_id="id")])
    assert paths(tap, source="frontend") == ["/a", "/b"]
    assert (tap.state.requests, tap.state.edges) == (2, 1)


def test_more_than_can_be_looked_at_is_counted():
    tap = Tap(per_second=10)
    assert sum(tap.room_for(5) for _ in range(10)) in {10, 20}  # a second may begin in between
    assert tap.state.drops["too_many_per_second"] in {40, 30}


async def test_a_reader_gets_what_it_asked_for_and_is_told_what_it_missed():
    tap = Tap()
    news = tap.watch(TapQuery(errors_only=True))
    assert (await anext(news)).items == ()
    await asyncio.to_thread(tap.record, [request("/ok"), request("/bad", code="500")])
    assert [one.path for one in (await anext(news)).items] == ["/bad"]
    tap.record([request(f"/{n}", code="500") for n in range(2100)])
    assert (await anext(news)).missed == 100
    assert tap.state.drops["reader_too_slow"] == 100
    await news.aclose()
    assert tap.state.readers == 0


def test_ends_are_named_by_cluster_address_and_certificate():
    services = [Service(ref=SERVICE, kind=NodeKind.SERVICE, hosts=("*.example.com",), workloads=(), ports={})]
    peers = Peers(inventory(RegistryState(), services), RegistryState())

    def ends(reporter=FRONTEND, **fields):
        found = request_of(Access(1, **fields), peers, reporter=reporter, now_ns=5)
        return found.source and found.source.workload, found.service and found.service.name, found.target

    out = {"upstream_cluster": "outbound|80|v1|catalog.shop.svc.cluster.local"}
    assert ends(**out) == ("frontend", "catalog", None)
    assert ends(upstream_cluster="PassthroughCluster", authority="other.org:443") == ("frontend", "other.org", None)
    inbound = {"upstream_cluster": "inbound|80||", "peer": "spiffe://cluster.local/ns/shop/sa/web"}
    assert ends(CATALOG, **inbound) == ("web", None, CATALOG)
    assert ends(None, **out) == (None, "catalog", None)
    probe = Access(1, upstream_cluster="inbound|80||", user_agent="kube-probe/1.31")
    found = request_of(probe, peers, reporter=CATALOG, now_ns=5)
    assert found.source == WorkloadRef("Kubernetes", "unknown", "", "probe:kube-probe", "")
    assert isinstance(CATALOG, WorkloadRef)
