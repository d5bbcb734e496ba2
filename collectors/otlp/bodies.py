"""Bodies of HTTP requests: read within bounds of size and time, plain or compressed."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aiohttp import web

from collectors.otlp.compression import DECOMPRESS
from collectors.otlp.limits import Limits, MalformedError, TooLargeError

BODY_S = 30.0
"""How long a sender may take for one body."""
PLAIN = "identity"


class Body(NamedTuple):
    """A body as it came."""

    data: bytes
    encoding: str

    def plain(self, limits: Limits) -> bytes:
        """Decompress; raises :class:`MalformedError` or :class:`TooLargeError`. Takes a while: not for a loop."""
        if self.encoding == PLAIN:
            return self.data
        return DECOMPRESS[self.encoding](self.data, most=limits.decompressed_bytes)


async def body_of(request: web.Request, limits: Limits) -> Body:
    """Read a request's body.

    Raises :class:`MalformedError` or :class:`TooLargeError`, and ``web.HTTPUnsupportedMediaType`` or
    ``web.HTTPRequestTimeout`` with the reason in words.
    """
    encoding = request.headers.get("Content-Encoding", PLAIN).lower()
    if encoding not in {PLAIN, *DECOMPRESS}:
        raise web.HTTPUnsupportedMediaType(
            reason=f"content encoding {encoding!r}: {', '.join(DECOMPRESS)} and {PLAIN} are taken"
        )
    try:
        async with asyncio.timeout(BODY_S):
            return Body(await request.read(), encoding)
    except web.HTTPRequestEntityTooLarge:
        raise TooLargeError(f"more than {limits.body_bytes} bytes; send smaller batches") from None
    except web.RequestPayloadError as trouble:
        raise MalformedError(f"the body is broken: {trouble}") from trouble
    except TimeoutError:
        raise web.HTTPRequestTimeout(reason=f"the body did not come within {BODY_S:.0f} s") from None
