"""The journal: requests as they came, until they are in a block. What a killed process leaves can be read again."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import zstandard

RECORD = struct.Struct("<II")
"""How long the compressed requests are, and how many spans there are in them."""
MOST_BYTES = 1 << 30
LEVEL = -1
"""The journal is short-lived: speed counts."""


class Journal:
    """One file that grows. Its writes survive the process; a crash of the machine may cost the last ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self.bytes = path.stat().st_size
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)

    def record(self, requests: memoryview, spans: int) -> bytes:
        """Encode requests that are behind each other: so they are one, as protobuf has it."""
        body = self._compressor.compress(requests)
        return RECORD.pack(len(body), spans) + body

    def write(self, record: bytes) -> None:
        """Write a record, whole or not at all; raises :class:`OSError`."""
        try:
            written = self._file.write(record)
        except OSError:
            self._file.truncate(self.bytes)
            raise
        if written != len(record):
            self._file.truncate(self.bytes)
            raise OSError(f"only {written} of {len(record)} bytes were written")
        self.bytes += len(record)

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()


def recovered(path: Path) -> Iterator[tuple[bytes, int]]:
    """Read the requests and spans of every whole record, and cut off the one that was being written."""
    whole = 0
    with path.open("r+b") as file:
        while len(head := file.read(RECORD.size)) == RECORD.size:
            size, spans = RECORD.unpack(head)
            body = file.read(size) if size <= MOST_BYTES else b""
            if len(body) != size:
                break
            try:
                requests = zstandard.ZstdDecompressor().decompress(body, max_output_size=MOST_BYTES)
            except zstandard.ZstdError:
                break
            whole += RECORD.size + size
            yield requests, spans
        file.truncate(whole)
