"""Reading pages over HTTP, within bounds, from servers that may want to know who asks."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from collectors.credentials import Credentials
from collectors.errors import CollectorError

CHUNK_BYTES = 1 << 18


class Page(NamedTuple):
    """An answer, whatever its status."""

    status: int
    text: str
    headers: Mapping[str, str]
    """By name, in whatever case."""


class Http:
    """Asks any number of servers, with the same credentials. What goes wrong is a :class:`CollectorError`, without secrets."""

    def __init__(self, credentials: Credentials, *, who: str, timeout_s: float, at_once: int, most_bytes: int) -> None:
        self._credentials = credentials
        self._who = who
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._at_once = asyncio.Semaphore(at_once)
        self._tls = credentials.tls(who)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, accept: str) -> Page:
        """Fetch a page. Redirects are not followed: they would carry the credentials along."""
        headers = self._credentials.request_headers(self._who)
        try:
            async with self._at_once, asyncio.timeout(self._timeout_s):
                return await self._get(url, headers | {"Accept": accept})
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as trouble:
            why = unreachable(trouble, self._timeout_s)
            raise CollectorError(self._credentials.without_secrets(f"{url} {why}")) from None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, url: str, headers: Mapping[str, str]) -> Page:
        async with self._connected().get(
            url,
            headers=headers,
            allow_redirects=False,
            ssl=self._tls,
            server_hostname=self._credentials.server_name or None,
        ) as answer:
            return Page(answer.status, await read_text(answer, url, self._most_bytes), answer.headers)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=2),
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": "meshscope"},
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=CHUNK_BYTES,
            )
        return self._session


async def read_text(answer: aiohttp.ClientResponse, who: str, most_bytes: int) -> str:
    """Read an answer to its end, if it is not too large."""
    chunks, size = [], 0
    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > most_bytes:
            raise CollectorError(f"{who} sent more than {most_bytes} bytes; its labels must be too many")
    try:
        return b"".join(chunks).decode()
    except UnicodeDecodeError:
        raise CollectorError(f"{who} sent {answer.content_type}, which is no text in UTF-8") from None


def unreachable(trouble: Exception, timeout_s: float) -> str:
    """Say what went wrong with a server, and the setting that may mend it."""
    if isinstance(trouble, TimeoutError):
        return f"did not answer within {timeout_s:g} s (timeout_s)"
    if isinstance(trouble, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return f"cannot be trusted: {_of_tls(trouble)}; set ca_file, or server_name"
    if isinstance(trouble, aiohttp.ClientSSLError | ssl.SSLError):
        why = _of_tls(trouble)
        return f"speaks no TLS, or wants a certificate of ours: {why}; set http instead of https, or cert_file and key_file"
    if isinstance(trouble, aiohttp.ClientConnectorError):
        return f"cannot be reached: {_cause(trouble.os_error)}; is it up, and is that its address as seen from here?"
    if isinstance(trouble, aiohttp.ServerDisconnectedError) or getattr(trouble, "errno", 0) == errno.ECONNRESET:
        return "hung up without an answer; does it speak https only, or want a certificate of ours (cert_file)?"
    if isinstance(trouble, aiohttp.ClientPayloadError):
        return "broke off in the middle of its answer"
    return f"broke off: {trouble or type(trouble).__name__}"


def _of_tls(trouble: Exception) -> str:
    """Say it in OpenSSL's words, without those of who called it."""
    if isinstance(trouble, aiohttp.ClientConnectorCertificateError):
        trouble = trouble.certificate_error
    elif isinstance(trouble, aiohttp.ClientConnectorError):
        trouble = trouble.os_error
    if isinstance(trouble, ssl.SSLCertVerificationError):
        return trouble.verify_message
    return str(getattr(trouble, "reason", None) or trouble).lower().replace("_", " ")


def _cause(trouble: OSError) -> str:
    """Say it in the system's words; names that are not found have numbers of their own."""
    if trouble.errno and trouble.errno > 0:
        return os.strerror(trouble.errno)
    return trouble.strerror or str(trouble)
