"""What can be looked for in a block, as bytes, and the filter that says in no time that it is not there. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

BITS_PER_TOKEN = 10
PROBES = 4
"""With ten bits per token one block in a hundred is opened in vain."""
SCALARS = (0x0A, 0x10, 0x18, 0x21)
"""How an ``AnyValue`` starts that holds a string, a boolean, an integer or a float."""


class Tag(NamedTuple):
    """``key`` or ``key=value``."""

    key: str
    value: str | None

    @classmethod
    def of(cls, text: str) -> Tag:
        """Read what a user wrote."""
        key, valued, value = text.partition("=")
        return cls(key, value if valued else None)


def app_token(name: str) -> bytes:
    """Stand for spans of an app."""
    return b"a" + name.encode()


def namespace_token(name: str) -> bytes:
    """Stand for spans of a namespace."""
    return b"n" + name.encode()


def operation_token(name: bytes) -> bytes:
    """Stand for spans of a name."""
    return b"o" + name


def key_token(key: bytes) -> bytes:
    """Stand for spans with a tag, whatever its value."""
    return b"k" + key


def text_token(key: str, text: str) -> bytes:
    """Stand for a tag by its text: what the tag would be as a string attribute."""
    return bytes(KeyValue(key=key, value=AnyValue(string_value=text)).SerializeToString())


def tag_tokens(tag: Tag) -> tuple[bytes, ...]:
    """Say which tokens a block has at least one of when it has the tag."""
    return (key_token(tag.key.encode()),) if tag.value is None else forms(tag.key, tag.value)


def forms(key: str, text: str) -> tuple[bytes, ...]:
    """Encode every scalar attribute that reads as *text*, as all encoders in use write them."""
    values = [AnyValue(string_value=text)]
    if text in {"true", "false"}:
        values.append(AnyValue(bool_value=text == "true"))
    if (number := _integer(text)) is not None:
        values.append(AnyValue(int_value=number))
    if (real := _real(text)) is not None:
        values.append(AnyValue(double_value=real))
    return tuple(bytes(KeyValue(key=key, value=value).SerializeToString()) for value in values)


def _integer(text: str) -> int | None:
    try:
        number = int(text[:20])
    except ValueError:
        return None
    return number if str(number) == text and -(2**63) <= number < 2**63 else None


def _real(text: str) -> float | None:
    try:
        number = float(text[:40])
    except ValueError:
        return None
    return number if repr(number) == text else None


def key_of(attribute: bytes) -> bytes | None:
    """Read the key of a scalar attribute that is encoded as :func:`forms` does; ``None`` for every other one."""
    if len(attribute) < 6 or attribute[0] != 0x0A:
        return None
    size, at = _varint(attribute, 1)
    after = at + size
    if after >= len(attribute) or attribute[after] != 0x12:
        return None
    value_size, value_at = _varint(attribute, after + 1)
    if value_size < 2 or value_at + value_size != len(attribute) or not _is_scalar(attribute, value_at):
        return None
    return attribute[at:after]


def _is_scalar(attribute: bytes, at: int) -> bool:
    kind = attribute[at]
    if kind == 0x0A:
        size, start = _varint(attribute, at + 1)
        return start + size == len(attribute)
    if kind == 0x21:
        return len(attribute) - at == struct.calcsize("<Bd")
    if kind == 0x10:
        return attribute[at + 1 :] in {b"\0", b"\1"}
    # The shortest form only: the last byte of a longer one says nothing.
    return kind == 0x18 and len(attribute) - at <= 11 and (len(attribute) - at == 2 or attribute[-1] != 0)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a length and where it ends; one that is cut off is longer than anything."""
    value = shift = 0
    for position in range(at, min(at + 5, len(data))):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    return 1 << 40, at


def filter_of(tokens: Collection[bytes]) -> bytes:
    """Build the Bloom filter of a block."""
    bits = np.zeros(max(64, -(-len(tokens) * BITS_PER_TOKEN // 8) * 8), np.bool_)
    bits[_probes(tokens, len(bits)).ravel()] = True
    return np.packbits(bits).tobytes()


def may_have(filter_: bytes, tokens: Iterable[bytes]) -> bool:
    """Whether one of the tokens may be in the block; a ``False`` is certain."""
    bits = np.frombuffer(filter_, np.uint8)
    probes = _probes(tuple(tokens), len(bits) * 8)
    hits: NDArray[np.uint8] = bits[probes >> 3] >> (7 - (probes & 7)).astype(np.uint8) & 1
    return bool(hits.all(axis=0).any())


def _probes(tokens: Collection[bytes], size: int) -> NDArray[np.int64]:
    hashes = np.fromiter(map(zlib.crc32, tokens), np.uint64, len(tokens))
    mixed = (hashes + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    first, step = mixed >> np.uint64(32), (mixed & np.uint64(0xFFFFFFFF)) | np.uint64(1)
    rounds = np.arange(PROBES, dtype=np.uint64)[:, None]
    spread = (first + rounds * step) & np.uint64(0xFFFFFFFF)
    return (spread * np.uint64(size) >> np.uint64(32)).astype(np.int64)
