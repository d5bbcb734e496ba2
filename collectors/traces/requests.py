"""OTLP's trace requests down to where their spans begin, and who sent each of them. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from collectors.traces.walk import Array, Buffer, Fields, Slices, parts, tag

FIRST, SECOND = 1, 2
"""Every level has what it is about in its first field, and what it consists of in its second; the outermost only that."""


class Sent(NamedTuple):
    """Spans, and of each the scope it is of; of each scope the resource it is of."""

    spans: Slices
    scope: Array
    scopes: Slices
    resource: Array
    resources: Slices


def sent(buffer: Buffer) -> Sent:
    """Find the spans of the requests in a buffer; what is malformed ends where it is."""
    _, outer = _numbered(parts(buffer, buffer.messages), FIRST)
    resources, resource, scopes_outer = _opened(buffer, outer)
    scopes, scope, spans = _opened(buffer, scopes_outer)
    return Sent(spans, scope, scopes, resource, resources)


def _opened(buffer: Buffer, messages: Slices) -> tuple[Slices, Array, Slices]:
    """Give what each message is about; and of which message each part is, and where."""
    fields = parts(buffer, messages)
    about = Slices(*np.zeros((2, len(messages.at)), np.int64))
    row, found = _numbered(fields, FIRST)
    # Of several the last one counts, as protobuf has it.
    about.at[row], about.size[row] = found
    return about, *_numbered(fields, SECOND)


def _numbered(fields: Fields, number: int) -> tuple[Array, Slices]:
    chosen = np.flatnonzero(fields.tag == tag(number))
    return fields.row[chosen], Slices(fields.at[chosen], fields.size[chosen])
