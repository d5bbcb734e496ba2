"""Messages that are built fast are those of protobuf's own parser, whatever JSON they are built from."""

import os
import random

import pytest
from google.protobuf.descriptor import FieldDescriptor as Field

from mesh_runtime.xds import protos
from mesh_runtime.xds.building import UnusualError, build

MESSAGES = 20_000 if os.environ.get("SOAK") else 1_000
ODD = 0.02
"""The share of values that are not written plainly, or are wrong."""
ODDITIES = (None, True, 1, -1, 1.5, 2**80, "1", "x", "-1s", "1.5", "NaN", [], {}, [None], {"@type": "x"}, {"no": 1})
TYPES = (protos.CLUSTER, protos.ENDPOINTS, protos.SECRET, protos.LISTENER, protos.ROUTES, protos.MANAGER)


def any_message(rng, depth):
    name = rng.choice(TYPES)
    kind = protos.message_class(name).DESCRIPTOR
    return {"@type": protos.TYPE_PREFIX + name, **message(rng, kind, depth - 1)} if depth > 0 else {}


FORMS = {
    "google.protobuf.Any": any_message,
    "google.protobuf.Duration": lambda rng, _: rng.choice(["0s", "1s", "0.250s", "1.000000001s", "315576000000s"]),
    "google.protobuf.Timestamp": lambda *_: "2026-11-21T10:00:00Z",
    "google.protobuf.FieldMask": lambda *_: "one,two",
    "google.protobuf.Struct": lambda rng, _: rng.choice([{}, {"a": [1, None, "b", {"c": True}]}]),
    "google.protobuf.Value": lambda rng, _: rng.choice([1.5, "a", True, [1], {"a": 1}]),
    "google.protobuf.ListValue": lambda *_: [1, "a"],
}
SCALARS = {
    Field.CPPTYPE_STRING: ["", "a", "ü", "x" * 50],
    Field.CPPTYPE_BOOL: [True, False],
    Field.CPPTYPE_FLOAT: [0, 1, 0.5],
    Field.CPPTYPE_DOUBLE: [0, 1, 0.5],
    Field.CPPTYPE_INT32: [0, 1, 70_000],
    Field.CPPTYPE_INT64: [0, 1, 70_000],
    Field.CPPTYPE_UINT32: [0, 1, 70_000],
    Field.CPPTYPE_UINT64: [0, 1, 70_000],
}


def message(rng, kind, depth):
    if kind.full_name in FORMS:
        return FORMS[kind.full_name](rng, depth)
    if kind.full_name.startswith("google.protobuf.") and kind.full_name.endswith("Value"):
        return one(rng, kind.fields_by_name["value"], depth)
    fields = rng.sample(list(kind.fields), min(len(kind.fields), rng.randint(0, 4))) if depth > 0 else []
    return {rng.choice([field.name] * 50 + [field.json_name]): value(rng, field, depth) for field in fields}


def value(rng, field, depth):
    if rng.random() < ODD:
        return rng.choice(ODDITIES)
    if field.message_type and field.message_type.GetOptions().map_entry:
        # The order of a map inside an Any is any.
        entry = field.message_type.fields_by_name
        return {str(one(rng, entry["key"], depth)): one(rng, entry["value"], depth)}
    if field.is_repeated:
        return [one(rng, field, depth) for _ in range(rng.randint(0, 2))]
    return one(rng, field, depth)


def one(rng, field, depth):
    if field.message_type:
        return message(rng, field.message_type, depth - 1)
    if field.enum_type:
        found = rng.choice(field.enum_type.values)
        return rng.choice([found.name, found.number])
    return rng.choice(["aGk=", ""]) if field.type == Field.TYPE_BYTES else rng.choice(SCALARS[field.cpp_type])


def outcome(make, refusal):
    try:
        return make().SerializeToString(deterministic=True)
    except refusal:
        return None


@pytest.mark.parametrize("name", TYPES)
def test_a_message_that_is_built_fast_is_the_one_that_protobuf_would_parse(name):
    kind, rng, fast = protos.message_class(name), random.Random(name), 0
    for _ in range(MESSAGES // len(TYPES)):
        fields = message(rng, kind.DESCRIPTOR, 6)
        built = outcome(lambda: build(kind, fields), UnusualError)  # noqa: B023 - called at once
        if built is not None:
            assert built == outcome(lambda: protos.message(name, fields), protos.ParseError), fields  # noqa: B023
            fast += 1
    assert fast > MESSAGES // len(TYPES) / 4
