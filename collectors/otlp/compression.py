"""Gzip, with a bound on what comes out."""

from __future__ import annotations

import zlib

from collectors.otlp.limits import MalformedError, TooLargeError

MAGIC = b"\x1f\x8b"
GZIP_FORMAT = 31


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
