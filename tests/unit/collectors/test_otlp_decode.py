import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_fakes import pairs, request, resource, span

from collectors.otlp.decode import AT_ONCE, Decoder
from collectors.otlp.limits import Limits, MalformedError, TooLargeError
from collectors.otlp.told import CLIENT, OF_CALLEES, OF_CALLERS, OF_MESSAGES, SERVER, URLS, Reader, Told, told_of
from collectors.otlp.wire import text
from graph.model import WorkloadRef


def decode(data: bytes, **limits):
    return Decoder(Limits(**limits), cluster="Kubernetes").decode(data)


NAMES = {*OF_CALLERS, *OF_CALLEES, *OF_MESSAGES, *URLS}
WANTED = {2: OF_CALLEES, 3: (*OF_CALLERS, *URLS), 4: OF_MESSAGES, 5: OF_MESSAGES}
words = st.text(max_size=200)
values = st.one_of(
    st.builds(lambda one: AnyValue(string_value=one), words),
    st.builds(lambda one: AnyValue(int_value=one), st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda one: AnyValue(bool_value=one), st.booleans()),
    st.builds(lambda one: AnyValue(double_value=one), st.floats(allow_nan=False)),
    st.just(AnyValue()),
)
attributes = st.lists(
    st.builds(lambda key, of: KeyValue(key=key, value=of), st.one_of(st.sampled_from(sorted(NAMES)), words), values),
    max_size=8,
    unique_by=lambda pair: pair.key,
)
identifiers = st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)).filter(
    lambda ids: any(ids[0]) and any(ids[1])
)
spans = st.builds(
    lambda ids, parent, name, kind, start, took, about, status: Span(
        trace_id=ids[0],
        span_id=ids[1],
        parent_span_id=parent,
        name=name,
        kind=kind,
        start_time_unix_nano=start,
        end_time_unix_nano=start + took,
        attributes=about,
        status=status,
    ),
    identifiers,
    st.one_of(st.just(b""), st.binary(min_size=8, max_size=8).filter(any)),
    words,
    st.integers(0, 5),
    st.integers(0, 2**62),
    st.integers(0, 2**40),
    attributes,
    st.builds(lambda code, message: Status(code=code, message=message), st.integers(0, 2), words),
)


@st.composite
def requests(draw):
    message = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 3))):
        of = message.resource_spans.add()
        of.resource.attributes.extend(draw(attributes))
        of.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=draw(words))))
        for _ in range(draw(st.integers(0, 2))):
            of.scope_spans.add().spans.extend(draw(st.lists(spans, max_size=3)))
    return message


def words_of(told: Told):
    return {name: getattr(told, name) for name in Told.__slots__}


def by_the_plain_decoder(kind: int, span: Span):
    attributes = {pair.key: text(pair.value) for pair in span.attributes if pair.key in WANTED.get(kind, ())}
    return words_of(told_of(attributes, failed=span.status.code == 2))


@given(requests())
def test_the_slim_decoder_reads_what_the_plain_one_reads(message):
    plain = [one for of in message.resource_spans for scope in of.scope_spans for one in scope.spans]
    slim = decode(message.SerializeToString()).spans
    assert len(slim) == len(plain)
    for ours, theirs in zip(slim, plain, strict=True):
        assert (ours.trace_id, ours.span_id, ours.parent_id, ours.kind, ours.took_ns) == (
            theirs.trace_id,
            theirs.span_id,
            theirs.parent_span_id,
            theirs.kind,
            theirs.end_time_unix_nano - theirs.start_time_unix_nano,
        )
        if ours.kind > 1:
            assert words_of(ours.told) == by_the_plain_decoder(ours.kind, theirs)


@given(requests())
def test_a_large_request_is_read_like_a_small_one(message):
    small = decode(message.SerializeToString()).spans
    for of in message.resource_spans[:1]:
        of.schema_url = "x" * AT_ONCE
        for scope in of.scope_spans[:1]:
            scope.schema_url = "x" * AT_ONCE
    assert [words_of(row.told) for row in decode(message.SerializeToString()).spans] == [
        words_of(row.told) for row in small
    ]
    assert [row[:7] for row in decode(message.SerializeToString()).spans] == [row[:7] for row in small]


def test_a_workload_is_named_by_kubernetes_else_by_service_attributes():
    def workload(attributes):
        return decode(request((attributes, [span("server", 1)]))).spans[0].workload

    assert workload(resource("cart", version="v2")) == WorkloadRef("Kubernetes", "shop", "cart-v2", "cart", "v2")
    assert workload({"service.name": "cart"}) == WorkloadRef("Kubernetes", "unknown", "cart", "cart", "")
    assert workload(
        {"k8s.deployment.name": "cart-blue", "k8s.namespace.name": "prod", "k8s.cluster.name": "eu"}
        | resource("cart", version="7")
    ) == WorkloadRef("eu", "prod", "cart-blue", "cart", "7")
    pod = {"k8s.pod.name": "cart-blue-7c9d8b6f5-x2x7k", "k8s.namespace.name": "prod"}
    assert workload(pod) == WorkloadRef("Kubernetes", "prod", "cart-blue", "cart-blue", "")
    named = pod | {"service.name": "cart", "service.version": "7"}
    assert workload(named) == WorkloadRef("Kubernetes", "prod", "cart-blue", "cart", "7")
    assert workload(pod | {"k8s.replicaset.name": "cart-blue-7c9d8b6f5"}).workload == "cart-blue"
    assert workload({"k8s.pod.name": "db-0"}).workload == "db"
    assert workload({}) == WorkloadRef("Kubernetes", "unknown", "unknown", "unknown", "")


def test_spans_without_a_valid_id_are_rejected_and_the_others_are_kept():
    bad = Span(trace_id=b"short", span_id=bytes(8), kind=2)
    zero = Span(trace_id=bytes(16), span_id=b"12345678", kind=2)
    batch = decode(request((resource("web"), [bad, span("server", 5), zero])))
    assert (len(batch.spans), batch.rejected) == (1, 2)


def test_a_span_that_ends_before_it_starts_takes_no_time():
    [row] = decode(request((resource("web"), [span("server", 1, ms=-5)]))).spans
    assert row.took_ns == 0


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05abc", b"\x0a\x02\x12\x09", b"hello", b"\x0a\x04\x12\x02\x12\x7f"])
def test_what_is_not_otlp_is_malformed(data):
    with pytest.raises(MalformedError):
        decode(data)


def nested(number: int, content: bytes) -> bytes:
    """Field *number* with some content."""
    size = len(content)
    length = b""
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return bytes((number << 3 | 2,)) + length + bytes((size,)) + content


@pytest.mark.parametrize(("level", "count"), [(1, 2000), (1, 600_000), (2, 600_000), (3, 2000), (3, 600_000)])
def test_a_small_request_cannot_become_millions_of_spans(level, count):
    empty = b"\x12\x00" * count
    data = {1: b"\x0a\x00" * count, 2: nested(1, empty), 3: nested(1, nested(2, empty))}[level]
    with pytest.raises(TooLargeError):
        decode(data, request_spans=1000)


def test_scopes_without_spans_cost_nothing():
    batch = decode(nested(1, b"\x12\x00" * 2000), request_spans=1000)
    assert (batch.spans, batch.rejected) == ([], 0)


def encoded(key: str, of: object) -> bytes:
    value = AnyValue(int_value=of) if isinstance(of, int) else AnyValue(string_value=of)
    return KeyValue(key=key, value=value).SerializeToString()


def reader(kind: int = CLIENT) -> Reader:
    return Reader(kind, most=64, remembered=1000)


def test_an_attribute_that_is_broken_inside_does_not_cost_the_span():
    broken = b"\x0a\x0bserver.port\x12\xff\xff"
    assert reader().read([b"", b"\x0a", broken, encoded("server.address", "db")], False).host == "db"


def test_attributes_with_their_values_before_their_keys_are_read():
    swapped = b"\x12\x04\x0a\x02db" + b"\x0a\x0eserver.address"
    assert reader().read([swapped], False).host == "db"


def test_what_waits_is_cut_to_a_bounded_size():
    told = reader().read([encoded(name, "x" * 5000) for name in (*OF_CALLERS, *URLS)], False)
    assert all(len(word) <= 256 * 2 + 1 for word in words_of(told).values() if isinstance(word, str))


@pytest.mark.parametrize("key", ["server.address", "http.host", "url.full"])
def test_what_attributes_mean_is_remembered_within_bounds(key):
    read = reader()
    for number in range(5000):
        of = f"http://host-{number}/" if key == "url.full" else f"host-{number}"
        assert read.read([encoded(key, of)], False).host == f"host-{number}"
    assert len(read._known) <= 2000


def test_who_is_called_is_asked_of_the_url_of_each_span_that_does_not_say_it_otherwise():
    read = Reader(CLIENT, most=64, remembered=100)
    method = encoded("http.method", "GET")
    urls = ("http://cart/a", "", "HTTPS://ann:secret@Cart:8443?x=//web/", "http://web/a", "/cart//a", "http://[broken/")
    for _ in range(3):
        told = [read.read([method, encoded("http.url", url)] if url else [method], False) for url in urls]
        assert [(one.host, one.port) for one in told] == [
            ("cart", 0), ("", 0), ("cart", 8443), ("web", 0), ("", 0), ("", 0)
        ]  # fmt: skip


def test_a_url_that_is_new_each_time_is_the_same_host_and_takes_no_memory():
    read = reader()
    told = {read.read([encoded("url.full", f"http://cart:8080/items/{number}")], False) for number in range(5000)}
    assert [(one.host, one.port) for one in told] == [("cart", 8080)]
    assert len(read._known) <= 2


def test_what_is_different_each_time_does_not_make_the_question_new():
    read = reader(SERVER)
    about = [
        [encoded("http.route", "/a"), encoded("net.peer.port", number), encoded("url.path", f"/a/{number}")]
        for number in range(5000)
    ]
    assert len({read.read(one, False) for one in about}) == 1


def test_user_agents_that_are_new_each_time_are_the_same_caller():
    read = reader(SERVER)
    told = {
        read.read([encoded("http.route", "/a"), encoded("user_agent.original", f"{agent}/{number}")], False)
        for agent in ("kube-probe", "curl")
        for number in range(5000)
    }
    assert sorted(one.caller for one in told) == ["", "probe:kube-probe"]
    assert len(read._known) <= 2000


@pytest.mark.parametrize(
    ("older", "newer", "word"),
    [
        ({"http.method": "GET", "http.route": "/a"}, {"http.request.method": "PUT"}, {"operation": "PUT /a"}),
        ({"http.status_code": "200"}, {"http.response.status_code": "503"}, {"code": "503"}),
        ({"net.peer.name": "a", "net.peer.port": "1"}, {"server.address": "b", "server.port": "2"}, {"host": "b"}),
        ({"peer.service": "a"}, {"service.peer.name": "b"}, {"peer": "b"}),
        ({"peer.service": "a", "service.peer.name": "b"}, {"server.service.name": "c"}, {"peer": "c"}),
        ({"db.system": "mysql"}, {"db.system.name": "mariadb"}, {"system": "mariadb"}),
        ({"messaging.destination": "a"}, {"messaging.destination.name": "b"}, {"queue": "b"}),
        ({"rpc.grpc.status_code": "0"}, {"rpc.response.status_code": "UNAVAILABLE"}, {"status": "14"}),
        ({"rpc.system": "thrift"}, {"rpc.system.name": "grpc"}, {"grpc": True}),
        ({"rpc.service": "shop.Cart"}, {"rpc.method": "shop.Cart/Add"}, {"operation": "shop.Cart/Add"}),
        ({"rpc.service": "shop.Cart", "rpc.method": "Add"}, {}, {"operation": "shop.Cart/Add"}),
        ({"messaging.destination.name": "amq.gen-1"}, {"messaging.destination.temporary": "true"}, {"queue": "(temporary)"}),
        ({"http.host": "shop:8080"}, {}, {"host": "shop", "port": 8080}),
    ],
)  # fmt: skip
def test_every_spelling_is_read_and_the_newest_counts(older, newer, word):
    told = told_of(older | newer)
    assert {name: getattr(told, name) for name in word} == word
    if newer:
        assert words_of(told_of(older)) != words_of(told)


@pytest.mark.parametrize(
    ("state", "weight"),
    [
        ("", 1),
        ("ot=th:0", 1),
        ("ot=th:8", 2),
        ("ot=th:c", 4),
        ("rojo=1, ot=rv:0123456789abcd;th:fd70a4", 100),
        ("ot=th:ffffff", 2**24),
        ("ot=th:ffffffffffffff", 1),
        ("ot=th:-1", 1),
        ("ot=p:62", 1),
        ("ot=p:3;r:5", 8),
        ("ot=p:63", 1),
        ("ot=th:xyz", 1),
        ("ot=th:000000000000000", 1),
        ("other=th:8", 1),
        ("ot", 1),
        ("=,;:=", 1),
    ],
)
def test_a_sampled_span_stands_for_those_that_were_left_out(state, weight):
    one = span("client", 1, db__system="redis")
    one.trace_state = state
    [row] = decode(request((resource("web"), [one]))).spans
    assert row.weight == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize(
    ("attributes", "weight"),
    [
        ({"sampling.probability": 0.1}, 10),
        ({"sampling.probability": "0.25"}, 4),
        ({"sampling.probability": 0.0}, 1),
        ({"sampling.probability": 7}, 1),
        ({"sampling.probability": "nan"}, 1),
        ({"SampleRate": 20}, 20),
        ({"SampleRate": "inf"}, 1),
        ({"SampleRate": -3}, 1),
    ],
)
def test_attributes_say_how_much_was_sampled(attributes, weight):
    one = span("client", 1)
    one.attributes.extend(pairs(attributes))
    [row] = decode(request((resource("web"), [one]))).spans
    assert row.weight == pytest.approx(weight)
