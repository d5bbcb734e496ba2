"""Clients outside the mesh: one request over TLS of their own, or bytes."""

import asyncio
import ssl
from dataclasses import dataclass

from xds_mesh import PATIENCE_S


@dataclass
class Visit:
    status: int
    headers: dict
    text: str
    certificate: dict
    alpn: str | None


async def visit(address, port, name, context, *, path="/", host="", headers=()):
    """Send one request over TLS, naming *name* by SNI; an answer in HTTP/1.1."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
        try:
            wire = writer.get_extra_info("ssl_object")
            lines = [f"GET {path} HTTP/1.1", f"Host: {host or name}", "Connection: close", *headers, "", ""]
            writer.write("\r\n".join(lines).encode())
            text = (await reader.read()).decode()
            if not text:
                raise ConnectionResetError("closed without an answer")
            head, _, body = text.partition("\r\n\r\n")
            first, *fields = head.split("\r\n")
            found = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in fields)}
            return Visit(int(first.split()[1]), found, body, wire.getpeercert(), wire.selected_alpn_protocol())
        finally:
            writer.close()


async def echoed(address, port, data, context=None, name=None):
    """Send bytes, over TLS if there is a context, and return what comes back."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
        try:
            writer.write(data)
            return await reader.read(len(data))
        finally:
            writer.close()


REFUSED = (ssl.SSLError, ConnectionError, EOFError)
"""How a client learns that nobody serves it."""


async def is_refused(going):
    """Tell whether a visit, still to be awaited, fails as that of somebody who is not let in."""
    try:
        answer = await going
    except REFUSED:
        return True
    return answer == b""
