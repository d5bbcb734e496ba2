"""What a span's attributes tell of a call: who the other side is, what was asked, and how it ended.

Most spans tell what others have told before, so an answer is looked up by the encoded attributes themselves, and only
those that matter are part of the question: a user's id or a caller's port would make every question new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import grpc

from collectors.otlp import wire
from collectors.otlp.memo import Memo
from collectors.otlp.sampling import weight_of_attributes
from graph.strangers import caller_of

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5

# Newest spelling first: semantic conventions move, and senders move at different times.
PEERS = ("server.service.name", "service.peer.name", "peer.service")
HOSTS = ("server.address", "net.peer.name")
PORTS = ("server.port", "net.peer.port")
URLS = ("url.full", "http.url")
SYSTEMS = ("db.system.name", "db.system")
QUEUES = ("messaging.destination.template", "messaging.destination.name", "messaging.destination")
TEMPORARY = ("messaging.destination.temporary", "messaging.temp_destination")
CODES = ("http.response.status_code", "http.status_code")
METHODS = ("http.request.method", "http.method")
RPC_SYSTEMS = ("rpc.system.name", "rpc.system")
STATUSES = ("rpc.response.status_code", "rpc.grpc.status_code", "grpc.status_code")
USER_AGENTS = ("user_agent.original", "http.user_agent")
SAMPLED = ("sampling.probability", "SampleRate")

OF_ANY = (*CODES, *METHODS, *RPC_SYSTEMS, *STATUSES, *SAMPLED, "rpc.service", "rpc.method", "response_flags")
OF_CALLEES = (*OF_ANY, *USER_AGENTS, "http.route")
OF_CALLERS = (
    *(*OF_ANY, *PEERS, *HOSTS, *PORTS, *SYSTEMS, "net.sock.peer.addr", "http.host", "url.template"),
)  # fmt: skip
OF_MESSAGES = (*OF_ANY, *QUEUES, *TEMPORARY)

PREFIX = 10
"""Bytes of an encoded attribute that tell whether it matters: the tag, the key's length, and eight characters of it."""
HEAD = slice(PREFIX)
KEY_FIRST, VALUE_FIRST = 0x0A, b"\x12"
PLACE = re.compile(r"[^/?#]*//[^/?#]+")
"""A URL up to its path."""
VALUE_CHARS = 256
REMEMBERED_BYTES = 1024
NO_FLAGS = "-"

GRPC_STATUS = {code.name: str(code.value[0]) for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Told:
    """One span's own word on its call; empty where it says nothing. The same words are the same object."""

    failed: bool = False
    host: str = ""
    port: int = 0
    peer: str = ""
    """The other side's name, where the span knows it."""
    system: str = ""
    """Which database is called."""
    queue: str = ""
    grpc: bool = False
    code: str = ""
    """HTTP's status, three digits."""
    status: str = ""
    """gRPC's status as a number."""
    flags: str = NO_FLAGS
    """Envoy's response flags."""
    operation: str = ""
    """What was asked, as far as the attributes tell: ``GET /cart/{id}``, ``shop.Cart/Add``."""
    weight: float = 1.0
    """How many spans this one stands for."""
    caller: str = ""
    """Of who was called: what the caller is by how it introduced itself, as :func:`graph.strangers.caller_of` says it."""


NOTHING = Told()
FAILURE = Told(failed=True)


def told_of(attributes: Mapping[str, str], *, failed: bool = False) -> Told:
    """Read attributes: the meaning of all the spellings, whatever wrote the span."""

    def said(*names: str) -> str:
        return next((attributes[name][:VALUE_CHARS] for name in names if attributes.get(name)), "")

    host, port = _address(attributes)
    grpc = said(*RPC_SYSTEMS) == "grpc"
    code, status = said(*CODES), said(*STATUSES)
    status = GRPC_STATUS.get(status, status)
    temporary = said(*TEMPORARY) == "true"
    return Told(
        failed=failed,
        host=host[:VALUE_CHARS],
        port=port,
        peer=said(*PEERS),
        system=said(*SYSTEMS),
        queue="(temporary)" if temporary and said(*QUEUES) else said(*QUEUES),
        grpc=grpc,
        code=code if len(code) == 3 and code.isdecimal() else "",
        status=status if status.isdecimal() and len(status) <= 2 else "",
        flags=said("response_flags") or NO_FLAGS,
        operation=_operation(said("rpc.service"), said("rpc.method"))
        or _request(said(*METHODS), said("http.route", "url.template")),
        weight=weight_of_attributes(attributes),
        caller=caller_of(said(*USER_AGENTS)),
    )


class Reader:
    """Reads the encoded attributes of spans of one kind; from several threads at once."""

    def __init__(self, kind: int, *, most: int, remembered: int) -> None:
        names = OF_CALLERS if kind == CLIENT else OF_CALLEES if kind == SERVER else OF_MESSAGES
        self._wanted = frozenset(_prefix(name) for name in names)
        self._names = frozenset(names)
        self._agents = self._wanted & {_prefix(name) for name in USER_AGENTS}
        self._urls = frozenset(_prefix(name) for name in URLS) if kind == CLIENT else frozenset()
        self._most = most
        self._known: Memo[tuple[object, ...], Told | Literal[False]] = Memo(remembered)
        """False: only a URL says who was called."""

    def read(self, attributes: Sequence[bytes], failed: bool) -> Told:
        """Say what the attributes of a span tell, given whether it failed; one that is malformed tells nothing."""
        wanted, head = self._wanted, HEAD
        found: list[Any] = []
        for one in attributes[:]:  # a comprehension would cost a call more
            if one[head] in wanted:
                found.append(one)  # noqa: PERF401
        if not found:  # whoever writes values before keys, which is allowed, does so always
            found = [one for one in attributes if one[:1] == VALUE_FIRST]
        if failed:
            found.append(True)
        question = tuple(found)
        return self._known.young.get(question) or self._learn(question, attributes, failed=failed)

    def _learn(self, question: tuple[Any, ...], attributes: Sequence[bytes], *, failed: bool) -> Told:
        known = self._known.recall(question)
        if known is None:
            told = self._introduced(question, self._tell(question, failed=failed))
            known = False if self._urls and not told.host else told
            self._keep(question, known)
        return known or self._with_url(question, attributes, failed=failed)

    def _introduced(self, question: tuple[Any, ...], told: Told) -> Told:
        """Return one object for all user agents that make the same of a caller."""
        others = tuple(one for one in question if one is True or one[HEAD] not in self._agents)
        if len(others) == len(question):
            return told
        if known := self._known.recall((*others, told.caller)):
            return known
        self._keep((*others, told.caller), told)
        return told

    def _with_url(self, question: tuple[Any, ...], attributes: Sequence[bytes], *, failed: bool) -> Told:
        """Take the host from a URL, of which only what is before its path is remembered."""
        pairs = (wire.key_value(one) for one in attributes if one[HEAD] in self._urls)
        urls = dict(pair for pair in pairs if pair)
        place = next((found[0] for name in URLS if (found := PLACE.match(urls.get(name, "")))), "")
        if known := self._known.recall((*question, place)):
            return known
        told = self._tell(question, failed=failed, authority=_authority(place))
        self._keep((*question, place), told)
        return told

    def _tell(self, encoded: Sequence[Any], *, failed: bool, authority: str = "") -> Told:
        pairs = (wire.key_value(one) for one in encoded[: self._most] if one is not True)
        attributes = {pair[0]: pair[1] for pair in pairs if pair and pair[0] in self._names}
        if authority:
            attributes["http.host"] = authority[:VALUE_CHARS]
        if not attributes:
            return FAILURE if failed else NOTHING
        return told_of(attributes, failed=failed)

    def _keep(self, question: tuple[Any, ...], told: Told | Literal[False]) -> None:
        if sum(len(one) for one in question if one is not True) <= REMEMBERED_BYTES:
            self._known.keep(question, told)


def _prefix(name: str) -> bytes:
    return bytes((KEY_FIRST, len(name))) + name.encode()[: PREFIX - 2]


def _operation(service: str, method: str) -> str:
    if not method or "/" in method:
        return method
    return f"{service}/{method}" if service else method


def _request(method: str, route: str) -> str:
    return f"{method} {route}".lstrip() if route else ""


def _address(attributes: Mapping[str, str]) -> tuple[str, int]:
    """Find host and port of the other side, the newest conventions first; port 0 when it is not told."""
    host = next((attributes[name] for name in HOSTS if attributes.get(name)), "")
    port = next((attributes[name] for name in PORTS if attributes.get(name)), "")
    if not host and (authority := attributes.get("http.host") or _authority(*map(attributes.get, URLS))):
        host, port = _split(f"//{authority}")
    host = host or attributes.get("net.sock.peer.addr", "")
    return host, int(port) if port.isdecimal() and len(port) <= 5 else 0


def _authority(*urls: str | None) -> str:
    """Take host and port out of the first URL that has them."""
    try:
        return next((found for url in urls if url and (found := urlsplit(url).netloc.rpartition("@")[2])), "")
    except ValueError:
        return ""


def _split(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        return parts.hostname or "", str(parts.port or "")
    except ValueError:
        return "", ""
