import pytest
from collector_fakes import instance, inventory
from otlp_fakes import request, resource, span

from collectors.otlp.decode import Decoder
from collectors.otlp.edges import edge_of
from collectors.otlp.limits import Drop, Limits
from collectors.otlp.pairing import Pairing
from collectors.peers import Peers
from graph.model import EdgeKey, Inventory, NodeKind, Outcome, Protocol, Service, ServiceRef, WorkloadRef
from mesh_runtime.registry import RegistryState

WEB = WorkloadRef("Kubernetes", "shop", "web", "web", "")
CART1 = WorkloadRef("Kubernetes", "shop", "cart-v1", "cart", "v1")
CART = ServiceRef("Kubernetes", "shop", "cart")
DB = ServiceRef("Kubernetes", "shop", "db")
DB_WORKLOAD = WorkloadRef("Kubernetes", "shop", "db", "db", "")


def mesh() -> Peers:
    state = RegistryState(
        instances={
            one.id: one
            for one in (
                instance("web", number=1, address="127.64.0.5"),
                instance("cart", version="v1", number=2),
                instance("cart", version="v2", number=3),
                instance("db", number=4),
            )
        }
    )
    services = [
        Service(ref=ref, kind=NodeKind.SERVICE, hosts=(), workloads=(), ports=ports)
        for ref, ports in ((CART, {80: "http"}), (DB, {6379: "tcp"}))
    ]
    return Peers(inventory(state, services), state)


def calls(*parts, peers: Peers | None = None):
    spans = Decoder(Limits(), cluster="Kubernetes").decode(request(*parts)).spans
    pairing = Pairing(most=1000, wait_s=10)
    found = [*pairing.pair(spans, 0), *pairing.expire(10)]
    return [edge_of(call, peers or Peers(Inventory())) for call in found]


WEB_RESOURCE = resource("web")
CART_RESOURCE = resource("cart", version="v1")


def test_a_pair_is_the_edge_that_the_proxies_count():
    caller = span("client", 1, server__address="cart", server__port=80, http__response__status_code=200, ms=12)
    callee = span("server", 2, parent=1, http__response__status_code=200, ms=9)
    [counted] = calls((WEB_RESOURCE, [caller]), (CART_RESOURCE, [callee]), peers=mesh())
    assert counted == (EdgeKey(WEB, CART, CART1, Protocol.HTTP), Outcome("200", "", "-"), "GET /")


def test_without_an_inventory_a_pair_is_still_an_edge():
    [counted] = calls((WEB_RESOURCE, [span("client", 1)]), (CART_RESOURCE, [span("server", 2, parent=1)]))
    assert counted.edge == EdgeKey(WEB, None, CART1, Protocol.HTTP)


def test_grpc_ends_with_its_own_status():
    caller = span("client", 1, rpc__system="grpc", rpc__grpc__status_code=14, error=True)
    [counted] = calls((WEB_RESOURCE, [caller]), (CART_RESOURCE, [span("server", 2, parent=1)]))
    assert (counted.edge.protocol, counted.outcome) == (Protocol.GRPC, Outcome("200", "14", "-"))


def test_grpcs_newer_spelling_of_the_status_is_read():
    caller = span("client", 1, rpc__system__name="grpc", rpc__response__status_code="UNAVAILABLE")
    [counted] = calls((WEB_RESOURCE, [caller]), (CART_RESOURCE, [span("server", 2, parent=1)]))
    assert counted.outcome == Outcome("200", "14", "-")


def test_a_missing_page_is_an_answer_and_a_dead_connection_is_none():
    missing = span("client", 1, http__response__status_code=404, error=True, server__address="x.example")
    dead = span("client", 2, error=True, server__address="x.example")
    outcomes = [counted.outcome.code for counted in calls((WEB_RESOURCE, [missing, dead]))]
    assert outcomes == ["404", "0"]


def test_a_database_outside_the_mesh_is_named_by_system_and_address():
    query = span("client", 1, db__system__name="postgresql", server__address="orders.example.com", server__port=5432)
    [counted] = calls((WEB_RESOURCE, [query]))
    assert counted.edge.target == WorkloadRef("Kubernetes", "shop", "", "db:postgresql@orders.example.com:5432", "")
    assert counted.outcome == Outcome("ok", "", "-")


def test_a_database_behind_the_callers_own_sidecar_is_the_edge_that_the_sidecar_counts():
    query = span("client", 1, db__system="redis", net__peer__name="127.64.0.5", net__peer__port=6379)
    [counted] = calls((WEB_RESOURCE, [query]), peers=mesh())
    assert counted.edge == EdgeKey(WEB, DB, DB_WORKLOAD, Protocol.TCP)


def test_an_external_host_is_named_by_its_url():
    call = span("client", 1, http__url="https://api.example.com:8443/pay?x=1", http__status_code=200)
    [counted] = calls((WEB_RESOURCE, [call]))
    assert counted.edge == EdgeKey(
        WEB, None, WorkloadRef("Kubernetes", "shop", "", "ext:api.example.com", ""), Protocol.HTTP
    )


def test_a_request_that_nobody_served_is_on_the_edge_to_the_service_meant():
    call = span("client", 1, server__address="cart", http__response__status_code=503, error=True)
    [counted] = calls((WEB_RESOURCE, [call]), peers=mesh())
    assert counted.edge == EdgeKey(WEB, CART, None, Protocol.HTTP)


def test_a_queue_stands_between_producer_and_consumer_whatever_traces_they_are_in():
    sent = span("producer", 1, messaging__system="kafka", messaging__destination__name="orders")
    taken = span("consumer", 2, trace=2, messaging__system="kafka", messaging__destination__name="orders")
    queue = WorkloadRef("Kubernetes", "shop", "", "queue:orders", "")
    edges = [counted.edge for counted in calls((WEB_RESOURCE, [sent]), (CART_RESOURCE, [taken]))]
    assert edges == [EdgeKey(WEB, None, queue, Protocol.TCP), EdgeKey(queue, None, CART1, Protocol.TCP)]


def test_a_queue_without_a_name_joins_producer_and_consumer_directly():
    [counted] = calls((WEB_RESOURCE, [span("producer", 1)]), (CART_RESOURCE, [span("consumer", 2, parent=1)]))
    assert counted.edge == EdgeKey(WEB, None, CART1, Protocol.TCP)


def test_a_root_request_comes_from_outside_unless_a_proxy_knows_better():
    parts = (CART_RESOURCE, [span("server", 1)])
    [outside] = calls(parts)
    assert (outside.edge.source.app, outside.edge.target) == ("unknown", CART1)
    assert calls(parts, peers=mesh()) == [Drop.PROXY_COUNTS]


@pytest.mark.parametrize("name", ["user_agent__original", "http__user_agent"])
def test_a_root_requests_caller_is_named_by_how_it_introduces_itself(name):
    agents = ("kube-probe/1.31", "Prometheus/3.5.0", "curl/8.5.0")
    told = calls((CART_RESOURCE, [span("server", n, trace=n, **{name: agent}) for n, agent in enumerate(agents, 1)]))
    assert [one.edge.source.app for one in told] == ["probe:kube-probe", "scraper:Prometheus", "unknown"]


def test_a_call_to_nobody_in_particular_is_no_edge():
    assert calls((WEB_RESOURCE, [span("client", 1)])) == [Drop.UNPAIRED_CLIENT]


def test_work_inside_a_process_is_no_call():
    assert calls((WEB_RESOURCE, [span("internal", 1)])) == []


def queue(namespace: str, name: str = "orders") -> WorkloadRef:
    return WorkloadRef("Kubernetes", namespace, "", f"queue:{name}", "")


ORDERS = {"messaging__destination__name": "orders"}
BILLING = resource("billing", namespace="money")
BILL = WorkloadRef("Kubernetes", "money", "billing", "billing", "")
SENT = span("producer", 1, trace=1, **ORDERS)


def linked(number: int, *to: tuple[int, int], trace: int = 9, **attributes):
    one = span("consumer", number, trace=trace, **attributes)
    for trace_, span_ in to:
        one.links.add(trace_id=trace_.to_bytes(16), span_id=span_.to_bytes(8))
    return one


def edges_in_any_order(*parts):
    """The edges, which must be the same whichever part comes first."""
    forth, back = (sorted(counted.edge for counted in calls(*order)) for order in (parts, parts[::-1]))
    assert forth == back
    return forth


def test_a_consumer_that_is_linked_to_a_producer_takes_from_the_producers_queue():
    parts = (WEB_RESOURCE, [SENT]), (BILLING, [linked(2, (1, 1), **ORDERS)])
    assert edges_in_any_order(*parts) == sorted(
        [EdgeKey(WEB, None, queue("shop"), Protocol.TCP), EdgeKey(queue("shop"), None, BILL, Protocol.TCP)]
    )


def test_a_consumer_that_does_not_name_the_queue_is_joined_to_it_by_its_link():
    parts = (WEB_RESOURCE, [SENT]), (BILLING, [linked(2, (1, 1))])
    assert EdgeKey(queue("shop"), None, BILL, Protocol.TCP) in edges_in_any_order(*parts)


def test_a_producer_that_does_not_name_the_queue_is_joined_to_the_one_that_its_consumer_names():
    parts = (WEB_RESOURCE, [span("producer", 1)]), (BILLING, [linked(2, (1, 1), **ORDERS)])
    assert edges_in_any_order(*parts) == sorted(
        [EdgeKey(WEB, None, queue("shop"), Protocol.TCP), EdgeKey(queue("shop"), None, BILL, Protocol.TCP)]
    )


def test_a_consumer_of_many_messages_is_one_call():
    parts = (WEB_RESOURCE, [SENT]), (BILLING, [linked(2, (7, 7), (1, 1), (8, 8))])
    assert [counted.edge for counted in calls(*parts)] == [
        EdgeKey(WEB, None, queue("shop"), Protocol.TCP),
        EdgeKey(queue("shop"), None, BILL, Protocol.TCP),
    ]


def test_several_consumers_of_one_message_are_a_call_each():
    parts = (WEB_RESOURCE, [SENT]), (BILLING, [linked(2, (1, 1))]), (CART_RESOURCE, [linked(3, (1, 1))])
    assert len(calls(*parts)) == 3


def test_what_is_delivered_by_a_request_comes_from_the_queue():
    parts = (WEB_RESOURCE, [SENT]), (CART_RESOURCE, [span("server", 2, parent=1)])
    assert EdgeKey(queue("shop"), None, CART1, Protocol.TCP) in edges_in_any_order(*parts)


def test_what_was_asked_is_named_as_who_answers_names_it():
    caller = span("client", 1, name="GET", http__request__method="GET", server__address="cart")
    callee = span("server", 2, parent=1, name="x", http__request__method="GET", http__route="/cart/{id}")
    [counted] = calls((WEB_RESOURCE, [caller]), (CART_RESOURCE, [callee]))
    assert counted.operation == "GET /cart/{id}"


def test_without_a_route_or_method_the_spans_name_says_what_was_asked():
    query = span("client", 1, name="SELECT orders", db__system="mysql")
    assert [counted.operation for counted in calls((WEB_RESOURCE, [query]))] == ["SELECT orders"]


def test_envoys_response_flags_are_kept():
    dead = span("client", 1, error=True, server__address="x.example", http__status_code=503, response_flags="UF")
    assert [counted.outcome for counted in calls((WEB_RESOURCE, [dead]))] == [Outcome("503", "", "UF")]
