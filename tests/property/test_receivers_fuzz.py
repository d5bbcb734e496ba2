"""Whatever is sent as logs, metrics, Zipkin's or Jaeger's spans or access logs is taken or refused, never a crash."""

import contextlib
import io
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mangled import json_values, mangled
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from thriftpy2 import load_fp
from thriftpy2.protocol import TBinaryProtocolFactory
from thriftpy2.utils import serialize

from collectors.als import entries
from collectors.errors import CollectorError
from collectors.jaeger.translate import of_thrift
from collectors.logs import access
from collectors.logs.lines import read
from collectors.otlp.decode import Decoder
from collectors.otlp.limits import Limits, RefusedError
from collectors.otlp.logs import Logs
from collectors.otlp.metrics import Metrics
from collectors.zipkin.translate import Zipkin
from console.clock import SystemClock

ROUNDS = 1500
LIMITS = Limits()
IDL = """
struct Tag { 1: string key, 2: i32 vType, 3: string vStr, 6: i64 vLong }
struct Span { 1: i64 low, 2: i64 high, 3: i64 id, 4: i64 parent, 5: string name, 8: i64 start, 9: i64 took, 10: list<Tag> tags }
struct Process { 1: string serviceName, 2: list<Tag> tags }
struct Batch { 1: Process process, 2: list<Span> spans }
"""
JSON_VALUES = json_values(
    ["traceId", "id", "kind", "timestamp", "duration", "tags", "annotations", "localEndpoint", "shared", "port", "ab"]
)


class Kept:
    retention_s = 10**9

    def __init__(self):
        self.lines = []

    def append(self, lines):
        self.lines = list(lines)
        return True

    def observe(self, batch):
        pass


def logs_request():
    request = ExportLogsServiceRequest()
    part = request.resource_logs.add()
    part.resource.attributes.add(key="service.name").value.string_value = "é"
    record = part.scope_logs.add().log_records.add(
        time_unix_nano=5, severity_number=9, trace_id=b"t" * 16, span_id=b"s" * 8
    )
    record.body.kvlist_value.values.add(key="a").value.array_value.values.add()
    record.attributes.add(key="response_code").value.int_value = 200
    record.attributes.add(key="upstream_cluster").value.string_value = "outbound|80||a"
    record.attributes.add(key="duration").value.string_value = "1e400"
    return request.SerializeToString()


def metrics_request():
    request = ExportMetricsServiceRequest()
    part = request.resource_metrics.add()
    part.resource.attributes.add(key="service.name").value.string_value = "web"
    metrics = part.scope_metrics.add().metrics
    one = metrics.add(name="http.client.request.duration", unit="s").histogram
    point = one.data_points.add(count=2, sum=1, bucket_counts=[1, 1], explicit_bounds=[1.0], time_unix_nano=5)
    point.attributes.add(key="server.address").value.string_value = "cart"
    two = metrics.add(name="http.client.request.duration", unit="s").exponential_histogram
    point = two.data_points.add(count=2, sum=1, scale=3, zero_count=1, time_unix_nano=6)
    point.positive.offset = -5
    point.positive.bucket_counts.append(1)
    metrics.add(name="istio_requests_total").sum.data_points.add(as_double=5).attributes.add(key="reporter")
    return request.SerializeToString()


def zipkin_request():
    return b"\x0a\x2c\x0a\x08tracetra\x1a\x08spanspan\x20\x02\x2a\x03get\x31\x00\x00\x00\x00\x00\x00\x00\x01\x5a\x06\x0a\x01a\x12\x01b"


def jaeger_request():
    idl = load_fp(io.StringIO(IDL), "fuzz_thrift")
    tag = idl.Tag(key="span.kind", vType=0, vStr="client")
    span = idl.Span(low=1, high=2, id=3, parent=4, name="a", start=5, took=6, tags=[tag])
    batch = idl.Batch(process=idl.Process(serviceName="web", tags=[tag]), spans=[span])
    return serialize(batch, TBinaryProtocolFactory())


def als_request():
    entry = b"\x0a\x10\x12\x0b\x0a\x09\x12\x04a.b.\x18\x05\x7a\x01a\x1a\x06\x08\x01\x2a\x02/a\x22\x04\x0a\x02\x08\x05"
    part = b"\x0a" + bytes([len(entry)]) + entry
    return b"\x0a\x06\x0a\x04\x0a\x02ab\x12" + bytes([len(part)]) + part


def decoded_als(body):
    message = entries.split(body)
    entries.reporter(message.identifier)
    for entry in message.http:
        entries.of_http(entry)
    for entry in message.tcp:
        entries.of_tcp(entry)


def as_spans(translate):
    decoder = Decoder(LIMITS, cluster="Kubernetes")
    return lambda body: decoder.decode(translate(body, LIMITS)[0])


CASES = {
    "logs": (logs_request, lambda: Logs(Kept(), SystemClock()).take),
    "metrics": (metrics_request, lambda: taken_and_read(Metrics(Kept(), SystemClock()))),
    "zipkin": (zipkin_request, lambda: as_spans(Zipkin().of_protobuf)),
    "jaeger": (jaeger_request, lambda: as_spans(of_thrift)),
    "als": (als_request, lambda: decoded_als),
}


def taken_and_read(metrics):
    def take(body):
        metrics.take(body)
        metrics.collect(SystemClock().now_ms())

    return take


@pytest.mark.parametrize("name", CASES)
def test_mutated_requests_are_taken_or_refused(name):
    request, make = CASES[name]
    rng, take, refused = random.Random(7), make(), 0
    valid = request()
    take(valid)
    for _ in range(ROUNDS):
        try:
            take(mangled(rng, valid))
        except CollectorError:
            refused += 1
    assert 0 < refused < ROUNDS


@settings(max_examples=100, deadline=None)
@given(JSON_VALUES)
def test_any_json_is_translated_or_refused(value):
    body = json.dumps(value).encode()
    for translate in (
        lambda: Zipkin().of_json(body, LIMITS),
        lambda: Logs(Kept(), SystemClock()).from_json(body),
        lambda: Metrics(Kept(), SystemClock()).from_json(body),
    ):
        with contextlib.suppress(RefusedError):
            translate()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | JSON_VALUES.map(json.dumps))
def test_any_line_is_read(text):
    told = read(text, 10**18)
    assert told.level in {"", "trace", "debug", "info", "warn", "error", "fatal"}
    access.level(access.of_line(text))
