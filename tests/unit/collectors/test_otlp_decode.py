import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_fakes import request, resource, span

from collectors.otlp.decode import FACT_NAMES, Decoder, FactReader
from collectors.otlp.limits import Limits, MalformedError, TooLargeError
from collectors.otlp.wire import text
from graph.model import WorkloadRef


def decode(data: bytes, **limits):
    return Decoder(Limits(**limits), cluster="Kubernetes").decode(data)


words = st.text(max_size=200)
values = st.one_of(
    st.builds(lambda one: AnyValue(string_value=one), words),
    st.builds(lambda one: AnyValue(int_value=one), st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda one: AnyValue(bool_value=one), st.booleans()),
    st.builds(lambda one: AnyValue(double_value=one), st.floats(allow_nan=False)),
    st.just(AnyValue()),
)
attributes = st.lists(
    st.builds(lambda key, of: KeyValue(key=key, value=of), st.one_of(st.sampled_from(FACT_NAMES), words), values),
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


@given(requests())
def test_the_slim_decoder_reads_what_the_plain_one_reads(message):
    plain = [
        (one.trace_id, one.span_id, one.parent_span_id, one.kind, one.start_time_unix_nano, one.end_time_unix_nano,
         one.status.code == 2, {pair.key: text(pair.value) for pair in one.attributes if pair.key in FACT_NAMES})
        for of in message.resource_spans for scope in of.scope_spans for one in scope.spans
    ]  # fmt: skip
    slim = decode(message.SerializeToString()).spans
    assert len(slim) == len(plain)
    for ours, theirs in zip(slim, plain, strict=True):
        assert (
            ours.trace_id,
            ours.span_id,
            ours.parent_id,
            ours.kind,
            ours.start_ns,
            ours.end_ns,
            ours.failed,
        ) == theirs[:7]
        if ours.kind > 1:
            assert ours.facts == theirs[7]


def test_a_workload_is_named_by_kubernetes_else_by_service_attributes():
    def workload(attributes):
        return decode(request((attributes, [span("server", 1)]))).spans[0].workload

    assert workload(resource("cart", version="v2")) == WorkloadRef("Kubernetes", "shop", "cart-v2", "cart", "v2")
    assert workload({"service.name": "cart"}) == WorkloadRef("Kubernetes", "unknown", "cart", "cart", "")
    assert workload(
        {"k8s.deployment.name": "cart-blue", "k8s.namespace.name": "prod", "k8s.cluster.name": "eu"}
        | resource("cart", version="7")
    ) == WorkloadRef("eu", "prod", "cart-blue", "cart", "7")
    assert workload({}) == WorkloadRef("Kubernetes", "unknown", "unknown", "unknown", "")


def test_spans_without_a_valid_id_are_rejected_and_the_others_are_kept():
    bad = Span(trace_id=b"short", span_id=bytes(8), kind=2)
    zero = Span(trace_id=bytes(16), span_id=b"12345678", kind=2)
    batch = decode(request((resource("web"), [bad, span("server", 5), zero])))
    assert (len(batch.spans), batch.rejected) == (1, 2)


def test_a_span_that_ends_before_it_starts_takes_no_time():
    [row] = decode(request((resource("web"), [span("server", 1, ms=-5)]))).spans
    assert row.end_ns == row.start_ns


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05abc", b"\x0a\x02\x12\x09", b"hello", b"\x0a\x04\x12\x02\x12\x7f"])
def test_what_is_not_otlp_is_malformed(data):
    with pytest.raises(MalformedError):
        decode(data)


@pytest.mark.parametrize(
    "data", [b"\x0a\x00" * 2000, b"\x0a\xa0\x1f" + b"\x12\x00" * 2000, b"\x0a\xa3\x1f\x12\xa0\x1f" + b"\x12\x00" * 2000]
)
def test_a_small_request_cannot_become_millions_of_spans(data):
    with pytest.raises(TooLargeError):
        decode(data, request_spans=1000)


def test_an_attribute_that_is_broken_inside_does_not_cost_the_span():
    broken = b"\x0a\x0bserver.port\x12\xff\xff"
    fine = KeyValue(key="server.address", value=AnyValue(string_value="db")).SerializeToString()
    assert FactReader(most=256).read([b"", b"\x0a", broken, fine]) == {"server.address": "db"}


def test_an_attribute_with_its_value_before_its_key_is_read():
    swapped = b"\x12\x04\x0a\x02db" + b"\x0a\x0eserver.address"
    assert FactReader(most=256).read([swapped]) == {"server.address": "db"}


def test_facts_that_wait_are_cut_to_a_bounded_size():
    facts = FactReader(most=256)
    encoded = [KeyValue(key=name, value=AnyValue(string_value="x" * 5000)).SerializeToString() for name in FACT_NAMES]
    assert sum(map(len, facts.read(encoded).values())) == 8 * 256
    assert facts.read(encoded * 1000) == facts.read(encoded)


def test_what_an_attribute_means_is_remembered_within_bounds():
    facts = FactReader(most=256)
    for number in range(60_000):
        assert facts.read([KeyValue(key="server.port", value=AnyValue(int_value=number)).SerializeToString()]) == {
            "server.port": str(number)
        }
    assert len(facts._known) <= 50_000
