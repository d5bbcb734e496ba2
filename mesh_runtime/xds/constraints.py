"""What Envoy checks of a message beyond its fields' types: the rules that its API's files carry, and some more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from mesh_runtime.xds import protos, semantics

Steps = tuple[str | int, ...]
Complaint = tuple[Steps, str]

_MAX_DEPTH: Final = 48
_WRAPPERS: Final = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)


def complaints(message: Any, at: Steps = ()) -> Iterator[Complaint]:
    """Yield each place of a message, and of what its ``Any`` s hold, that Envoy would refuse, and why."""
    if len(at) > _MAX_DEPTH:
        return
    for inside, complaint in semantics.complaints(message):
        yield (*at, *inside), complaint
    rules = _rules(message.DESCRIPTOR.full_name)
    for name in rules.needed:
        if message.WhichOneof(name) is None:
            choices = ", ".join(field.name for field in message.DESCRIPTOR.oneofs_by_name[name].fields)
            yield at, f"needs one of {choices}"
    for field, rule in rules.fields:
        yield from _field(message, field, rule, (*at, field.name))


class _Rules(NamedTuple):
    needed: tuple[str, ...]
    """Choices of which one must be made."""
    fields: tuple[tuple[Any, Any], ...]
    """Fields to look at, with their rules (or ``None``)."""


@cache
def _rules(full_name: str) -> _Rules:
    descriptor = protos.message_class(full_name).DESCRIPTOR
    needed = [one.name for one in descriptor.oneofs if protos.option(one, "OneofOptions", "validate.required")]
    fields = [(field, protos.option(field, "FieldOptions", "validate.rules")) for field in descriptor.fields]
    return _Rules(
        needed=tuple(needed), fields=tuple(pair for pair in fields if pair[1] is not None or pair[0].message_type)
    )


def _field(message: Any, field: Any, rule: Any, at: Steps) -> Iterator[Complaint]:
    value = getattr(message, field.name)
    if field.is_repeated:
        entry = field.message_type is not None and field.message_type.GetOptions().map_entry
        yield from _map(value, rule, at) if entry else _list(value, rule, at)
    elif field.has_presence and not message.HasField(field.name):
        needed = rule is not None and (rule.message.required or rule.duration.required or rule.any.required)
        if needed and field.containing_oneof is None:
            yield at, "is required"
    else:
        yield from _value(value, rule, at)


def _list(values: Any, rule: Any, at: Steps) -> Iterator[Complaint]:
    inner = None
    if rule is not None and rule.HasField("repeated"):
        limits = rule.repeated
        inner = limits.items if limits.HasField("items") else None
        if len(values) or not limits.ignore_empty:
            yield from _size(len(values), limits, "items", at)
    for index, value in enumerate(values):
        yield from _value(value, inner, (*at, index))


def _map(values: Any, rule: Any, at: Steps) -> Iterator[Complaint]:
    limits = rule.map if rule is not None and rule.HasField("map") else None
    if limits is not None:
        yield from _size(len(values), limits, "pairs", at)
    for key, value in values.items():
        if limits is not None and limits.HasField("keys"):
            yield from _value(key, limits.keys, (*at, str(key)))
        yield from _value(value, limits.values if limits is not None else None, (*at, str(key)))


def _size(count: int, limits: Any, unit: str, at: Steps) -> Iterator[Complaint]:
    least, most = f"min_{unit}", f"max_{unit}"
    if limits.HasField(least) and count < getattr(limits, least):
        yield at, f"needs at least {getattr(limits, least)} {unit}"
    if limits.HasField(most) and count > getattr(limits, most):
        yield at, f"may have at most {getattr(limits, most)} {unit}"


def _value(value: Any, rule: Any, at: Steps) -> Iterator[Complaint]:
    descriptor = getattr(value, "DESCRIPTOR", None)
    if descriptor is None:
        yield from _scalar(value, rule, at)
    elif descriptor.full_name in _WRAPPERS:
        yield from _scalar(value.value, rule, at)
    elif descriptor.full_name == protos.DURATION:
        yield from _scalar(value.seconds + value.nanos / 1e9, rule, at)
    elif descriptor.full_name == protos.ANY:
        held = protos.content(value)
        if held is not None:
            yield from complaints(held, at)
    else:
        yield from complaints(value, at)


def _scalar(value: Any, rule: Any, at: Steps) -> Iterator[Complaint]:
    kind = rule.WhichOneof("type") if rule is not None else None
    if kind is None or kind in {"message", "any", "repeated", "map"}:
        return
    limits = getattr(rule, kind)
    if not value and getattr(limits, "ignore_empty", False):
        return
    lax = kind == "string" and limits.well_known_regex and not limits.strict
    for limit, given in limits.ListFields():
        check = _is_lax_header if lax and limit.name == "well_known_regex" else _CHECKS.get(limit.name)
        if check is not None and not check(value, _seconds(given)):
            yield at, _WORDS[limit.name].format(_shown(given))
    if "in" in limits.DESCRIPTOR.fields_by_name and len(getattr(limits, "in")) and value not in getattr(limits, "in"):
        yield at, f"must be one of {', '.join(map(str, getattr(limits, 'in')))}"


def _seconds(given: Any) -> Any:
    full_name = getattr(getattr(given, "DESCRIPTOR", None), "full_name", "")
    return given.seconds + given.nanos / 1e9 if full_name == protos.DURATION else given


def _shown(given: Any) -> str:
    seconds = _seconds(given)
    return f"{seconds:g}s" if seconds is not given else str(given)


_HEADER: Final = {1: re.compile(r":?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+"), 2: re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")}
_LAX_HEADER: Final = re.compile(r"[^\x00\n\r]*")


def _is_lax_header(value: Any, _given: Any) -> bool:
    return _LAX_HEADER.fullmatch(value) is not None


def _length(value: Any) -> int:
    return len(value.encode()) if isinstance(value, str) else len(value)


_CHECKS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "const": lambda value, given: bool(value == given),
    "lt": lambda value, given: bool(value < given),
    "lte": lambda value, given: bool(value <= given),
    "gt": lambda value, given: bool(value > given),
    "gte": lambda value, given: bool(value >= given),
    "len": lambda value, given: len(value) == given,
    "min_len": lambda value, given: len(value) >= given,
    "max_len": lambda value, given: len(value) <= given,
    "min_bytes": lambda value, given: _length(value) >= given,
    "max_bytes": lambda value, given: _length(value) <= given,
    "prefix": lambda value, given: bool(value.startswith(given)),
    "suffix": lambda value, given: bool(value.endswith(given)),
    "pattern": lambda value, given: re.search(given, value) is not None,
    "not_in": lambda value, given: value not in given,
    "well_known_regex": lambda value, given: given not in _HEADER or bool(_HEADER[given].fullmatch(value)),
}
_WORDS: Final = {
    "const": "must be {}",
    "lt": "must be below {}",
    "lte": "must be at most {}",
    "gt": "must be above {}",
    "gte": "must be at least {}",
    "len": "must have {} characters",
    "min_len": "must have at least {} characters",
    "max_len": "must have at most {} characters",
    "min_bytes": "must have at least {} bytes",
    "max_bytes": "must have at most {} bytes",
    "prefix": "must begin with {}",
    "suffix": "must end with {}",
    "pattern": "must match {}",
    "not_in": "must not be one of {}",
    "well_known_regex": "has characters that HTTP does not allow there",
}
