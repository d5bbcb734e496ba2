"""Gzip and zstd, with a bound on what comes out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Protocol

import zstandard

from collectors.otlp.limits import MalformedError, TooLargeError

MAGIC = b"\x1f\x8b"
GZIP_FORMAT = 31
ZSTD_WINDOW = 8 * 1024 * 1024
"""The largest window that every decoder has to know (RFC 8878); a larger one is a way to spend our memory."""

ZSTD_PIECE = 256
"""So many bytes are decompressed at a time. A block of 4 bytes may become 128 KiB, so this is 8 MiB at worst."""


def gunzip(data: bytes, *, most: int) -> bytes:
    """Decompress; raises :class:`TooLargeError` before more than *most* bytes are in memory."""
    parts: list[bytes] = []
    room = most
    try:
        while data:
            member = zlib.decompressobj(GZIP_FORMAT)
            part = member.decompress(data, room + 1)
            room -= len(part)
            if room < 0:
                raise TooLargeError(f"more than {most} bytes after gunzip")
            parts.append(part)
            if not member.eof:
                raise MalformedError("gzip: the body ends too early")
            data = member.unused_data
    except zlib.error as trouble:
        raise MalformedError(f"gzip: {trouble}") from trouble
    return b"".join(parts)


def unzstd(data: bytes, *, most: int) -> bytes:
    """Decompress one or several frames; raises as :func:`gunzip` does."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    frame = decompressor.decompressobj()
    parts: list[bytes] = []
    room = most
    try:
        for start in range(0, len(data), ZSTD_PIECE):
            piece = data[start : start + ZSTD_PIECE]
            while piece:
                if frame.eof:
                    frame = decompressor.decompressobj()
                part = frame.decompress(piece)
                piece = frame.unused_data if frame.eof else b""
                room -= len(part)
                if room < 0:
                    raise TooLargeError(f"more than {most} bytes after unzstd")
                parts.append(part)
    except zstandard.ZstdError as trouble:
        raise MalformedError(f"zstd: {trouble}") from trouble
    if not frame.eof:
        raise MalformedError("zstd: the body ends too early")
    return b"".join(parts)


class Decompress(Protocol):
    """What undoes one content encoding."""

    def __call__(self, data: bytes, *, most: int) -> bytes:
        """Decompress to *most* bytes at most."""
        ...


DECOMPRESS: Mapping[str, Decompress] = {"gzip": gunzip, "zstd": unzstd}
"""By content encoding."""
