"""Messages from their JSON form, several times as fast as by protobuf's own parser.

A message's class takes its fields as dictionaries and lists, and makes all of it at once. What JSON writes in another
way (durations, wrappers, bytes, what an ``Any`` holds) is rewritten before, by what is known of each type's fields.
Only what is written plainly is taken: whatever else JSON allows, or is wrong, is left to protobuf's parser.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

Rewrite = Callable[[Any], Any]
"""From JSON to what a message's class takes for it."""


class UnusualError(Exception):
    """JSON that only protobuf's parser can judge."""


def build(kind: type[Message], fields: Mapping[str, Any]) -> Message:
    """Return the message that protobuf's parser would, or raise :class:`UnusualError`."""
    try:
        return kind(**_rewriting(kind.DESCRIPTOR)(fields))
    except (AttributeError, KeyError, TypeError, ValueError, json_format.ParseError) as error:
        raise UnusualError from error


@cache
def _rewriting(kind: Descriptor) -> Rewrite:
    """Return how the JSON of a message of this type is rewritten."""
    if kind.full_name in _OWN_FORMS:
        return _OWN_FORMS[kind.full_name](kind)
    fields = {field.name: (_of_field(field), _oneof(field)) for field in kind.fields}

    def rewrite(value: Any) -> dict[str, Any]:
        rewritten, chosen = {}, []
        for name, inner in value.items():
            of_field, oneof = fields[name]
            rewritten[name] = of_field(inner)
            if oneof:
                chosen.append(oneof)
        if len(set(chosen)) < len(chosen):
            raise UnusualError
        return rewritten

    return rewrite


def _oneof(field: FieldDescriptor) -> str:
    return field.containing_oneof.name if field.containing_oneof else ""


def _of_field(field: FieldDescriptor) -> Rewrite:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _of_map(kind)
    one = _SCALARS[field.cpp_type, field.type == field.TYPE_BYTES] if kind is None else _later(kind)
    return _of_list(one) if field.is_repeated else one


def _later(kind: Descriptor) -> Rewrite:
    """Look a type up only when it is met: types contain themselves."""

    def rewrite(value: Any) -> Any:
        return _rewriting(kind)(value)

    return rewrite


def _of_list(one: Rewrite) -> Rewrite:
    def rewrite(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise UnusualError
        return [one(item) for item in value]

    return rewrite


def _of_map(entry: Descriptor) -> Rewrite:
    key, value = (entry.fields_by_name[name] for name in ("key", "value"))
    name, one = _of_field(key), _of_field(value)
    make = GetMessageClass(value.message_type) if value.message_type else None

    def whole(inner: Any) -> Any:
        rewritten = one(inner)
        return make(**rewritten) if make and isinstance(rewritten, dict) else rewritten

    return lambda entries: {name(written): whole(inner) for written, inner in entries.items()}


def _only(*types: type) -> Rewrite:
    def rewrite(value: Any) -> Any:
        # Not by isinstance: true is no number.
        if type(value) not in types:
            raise UnusualError
        return value

    return rewrite


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UnusualError
    return value


def _bytes(value: Any) -> bytes:
    return base64.b64decode(value, validate=True)


def _name_or_number(value: Any) -> Any:
    return value if isinstance(value, str) else _whole(value)


_whole: Final = _only(int)
_number: Final = _only(int, float)
_SCALARS: Final[Mapping[tuple[int, bool], Rewrite]] = {
    (FieldDescriptor.CPPTYPE_STRING, False): _text,
    (FieldDescriptor.CPPTYPE_STRING, True): _bytes,
    (FieldDescriptor.CPPTYPE_BOOL, False): _only(bool),
    (FieldDescriptor.CPPTYPE_ENUM, False): _name_or_number,
    **{
        (kind, False): _whole
        for kind in (
            FieldDescriptor.CPPTYPE_INT32,
            FieldDescriptor.CPPTYPE_INT64,
            FieldDescriptor.CPPTYPE_UINT32,
            FieldDescriptor.CPPTYPE_UINT64,
        )
    },
    **{(kind, False): _number for kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)},
}


def _wrapper(kind: Descriptor) -> Rewrite:
    one = _of_field(kind.fields_by_name["value"])
    return lambda value: {"value": one(value)}


def _duration(_: Descriptor) -> Rewrite:
    def rewrite(value: Any) -> dict[str, int]:
        whole, _, part = value.removesuffix("s").partition(".")
        written = f"{whole}.{part}s" if part else f"{whole}s"
        # Above ten digits it may be more than protobuf allows.
        if written != value or not f"{whole}{part or 0}".isdecimal() or len(whole) > 10 or len(part) > 9:
            raise UnusualError
        return {"seconds": int(whole), "nanos": int(part.ljust(9, "0"))}

    return rewrite


def _any(kind: Descriptor) -> Rewrite:
    def rewrite(value: Any) -> dict[str, Any]:
        if value == {}:
            return {}
        name = value["@type"].rpartition("/")[2]
        if name.startswith(_BUILT_IN):  # these are written as ``value`` of their own forms
            raise UnusualError
        held = GetMessageClass(kind.file.pool.FindMessageTypeByName(name))
        built = build(held, {name: inner for name, inner in value.items() if name != "@type"})
        return {"type_url": value["@type"], "value": built.SerializeToString(deterministic=True)}

    return rewrite


def _by_protobuf(kind: Descriptor) -> Rewrite:
    return lambda value: json_format.ParseDict(value, GetMessageClass(kind)())


_BUILT_IN: Final = "google.protobuf."
_WRAPPED: Final = ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
_OWN_FORMS: Final[Mapping[str, Callable[[Descriptor], Rewrite]]] = {
    f"{_BUILT_IN}Any": _any,
    f"{_BUILT_IN}Duration": _duration,
    **{f"{_BUILT_IN}{name}": _by_protobuf for name in ("FieldMask", "ListValue", "Struct", "Timestamp", "Value")},
    **{f"{_BUILT_IN}{name}Value": _wrapper for name in _WRAPPED},
}
