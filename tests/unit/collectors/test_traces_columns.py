"""Requests taken apart side by side are what a plain decode of them says."""

import random

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.otlp.wire import attributes
from collectors.traces.columns import Tables, chunk_of, owner_parts
from collectors.traces.interning import Interner
from collectors.traces.walk import Buffer


def request(rng, resources, scopes, spans):
    message = ExportTraceServiceRequest()
    for number in range(resources):
        of = message.resource_spans.add(schema_url="https://opentelemetry.io")
        of.resource.attributes.add(key="service.name").value.string_value = f"service-{number % 7}" * rng.randint(1, 30)
        for library in range(rng.randint(0, scopes)):
            scope = of.scope_spans.add()
            scope.scope.name = f"library-{library}"
            for _ in range(rng.randint(0, spans)):
                span = scope.spans.add(
                    trace_id=rng.randbytes(16), span_id=rng.randbytes(8), name="x" * rng.randint(0, 300)
                )
                for key in range(rng.randint(0, 5)):
                    span.attributes.add(key=f"key-{key}").value.string_value = "y" * rng.randint(0, 150)
    return message


@pytest.mark.parametrize(
    ("resources", "scopes", "spans"), [(1, 1, 1), (1, 3, 400), (400, 1, 2), (150, 5, 20), (2, 300, 1)]
)
def test_every_span_keeps_its_name_its_attributes_and_its_sender(resources, scopes, spans):
    rng = random.Random(7)
    messages = [request(rng, resources, scopes, spans) for _ in range(3)]
    tables = Tables()
    columns = chunk_of(Buffer([one.SerializeToString() for one in messages]), tables).columns
    owners = [owner_parts(key) for key in tables.owners]
    encoded = iter(columns["attribute"].tolist())
    found = [
        (
            *owners[owner],
            tables.names.strings[name].decode(),
            attributes([tables.attributes.strings[next(encoded)] for _ in range(count)]),
        )
        for owner, name, count in zip(*(columns[one].tolist() for one in ("owner", "name", "count")), strict=True)
    ]
    assert found == [
        (
            of.resource.SerializeToString(),
            scope.scope.SerializeToString(),
            span.name,
            {pair.key: pair.value.string_value for pair in span.attributes},
        )
        for message in messages
        for of in message.resource_spans
        for scope in of.scope_spans
        for span in scope.spans
    ]


def test_strings_are_numbered_in_the_order_in_which_they_first_came():
    rng = random.Random(8)
    strings = [rng.randbytes(rng.randint(0, 20)) * rng.choice((1, 1, 1, 12)) for _ in range(5000)]
    interner, numbers = Interner(), {}
    for start in range(0, 20_000, 2000):
        buffer = Buffer(rng.choices(strings[: start // 2 + 500], k=2000))
        expected = [numbers.setdefault(one, len(numbers)) for one in buffer.strings(buffer.messages)]
        assert interner.numbers(buffer, buffer.messages).tolist() == expected
    assert interner.strings == list(numbers)
