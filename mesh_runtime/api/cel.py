"""CEL expressions over Envoy's attributes: read as Envoy reads them, so that what is accepted is never rejected later.

What is read can be written again with Istio's own words replaced by what Envoy has instead (:func:`translated`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from mesh_runtime.api import regex

MAX_LENGTH: Final = 1024
MAX_DEPTH: Final = 24

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>0x[0-9A-Fa-f]+u?|[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|[0-9]+u?)
    |(?P<text>"(?:[^"\\\n\r]|\\(?:["'`?\\abfnrtv]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[0-3][0-7]{2}))*"
       |'(?:[^'\\\n\r]|\\(?:["'`?\\abfnrtv]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[0-3][0-7]{2}))*')
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>&&|\|\||[<>=!]=|[][(){}.,?:<>!+*/%-])
    )""",
    re.VERBOSE,
)
_WORDS = "as break const continue else for function if import let loop package namespace return var void while"
_RESERVED = frozenset(_WORDS.split())
_RELATIONS = frozenset({"<", "<=", ">", ">=", "==", "!=", "in"})
_FUNCTIONS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("size", "int", "uint", "double", "bool", "bytes", "timestamp", "duration", "dyn", "type"), (1,)),
    **dict.fromkeys(("matches", "startsWith", "endsWith", "contains"), (2,)),
    "has": (1,),
    "string": (1,),
}
_PARTS_OF_TIME = "FullYear Month Date DayOfMonth DayOfWeek DayOfYear Hours Minutes Seconds Milliseconds"
_METHODS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("matches", "startsWith", "endsWith", "contains"), (1,)),
    **{f"get{part}": (0, 1) for part in _PARTS_OF_TIME.split()},
    "size": (0,),
}
_PEER = (
    "tls_version subject_local_certificate subject_peer_certificate dns_san_local_certificate "
    "dns_san_peer_certificate uri_san_local_certificate uri_san_peer_certificate sha256_peer_certificate_digest "
    "transport_failure_reason"
)
ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "request": "path url_path host scheme method headers referer useragent time id protocol query duration size "
        "total_size",
        "response": "code code_details flags grpc_status headers trailers size total_size backend_latency",
        "source": "address port",
        "destination": "address port",
        "connection": f"id mtls requested_server_name termination_details {_PEER}",
        "upstream": f"address port local_address request_attempt_count cx_pool_ready_duration {_PEER}",
        "xds": "node cluster_name cluster_metadata listener_direction listener_metadata route_name route_metadata "
        "upstream_host_metadata upstream_host_locality_metadata filter_chain_name virtual_host_name "
        "virtual_host_metadata",
        "upstream_peer": "workload namespace cluster service revision app version",
        "metadata": "",
        "filter_state": "",
        "upstream_filter_state": "",
    }.items()
}
"""Envoy's attributes and their fields, with Istio's ``upstream_peer``; none: whatever is there."""
_PEER_FIELDS = {"service": "app", "revision": "version"}
"""Names in the endpoints' metadata where they are not Istio's."""


class _Node(NamedTuple):
    """A part of an expression."""

    kind: str
    start: int
    end: int
    parts: tuple[_Node, ...] = ()
    name: str = ""


class _BadExpressionError(Exception):
    def __init__(self, message: str, at: int) -> None:
        super().__init__(f"{message} at character {at + 1}")


def complaint(expression: str) -> str | None:
    """Say why an expression cannot be used; ``None``: it can."""
    if not expression.strip():
        return "is empty"
    if len(expression) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    try:
        _check(expression, _Reader(expression).read(), tail=True)
    except _BadExpressionError as error:
        return f"is not a CEL expression that Envoy takes: {error}"
    return None


def translated(expression: str) -> str:
    """Return a valid expression in the words of Envoy's own attributes.

    ``string()`` around a result goes: every result is written as text. Facts of an ``upstream_peer`` come from the
    endpoint's metadata.
    """
    out = expression
    for start, end, new in sorted(_edits(expression, _Reader(expression).read(), tail=True), reverse=True):
        out = out[:start] + new + out[end:]
    return out


def _edits(source: str, node: _Node, *, tail: bool) -> Iterator[tuple[int, int, str]]:
    if node.kind == "call" and node.name == "string" and tail:
        yield node.start, node.parts[0].start, "("
        yield node.parts[0].end, node.end, ")"
    if node.kind == "select" and node.parts[0].kind == "name" and node.parts[0].name == "upstream_peer":
        field = _PEER_FIELDS.get(node.name, node.name)
        yield node.start, node.end, f"xds.upstream_host_metadata.filter_metadata.istio.{field}"
        return
    for part, result in _with_tail(node, tail=tail):
        yield from _edits(source, part, tail=result)


def _with_tail(node: _Node, *, tail: bool) -> Iterator[tuple[_Node, bool]]:
    """Yield a node's parts, and of each whether its value can become the whole expression's."""
    for index, part in enumerate(node.parts):
        is_result = node.kind == "group" or (node.kind == "choice" and index > 0) or node.name == "string"
        yield part, tail and is_result


def _check(source: str, node: _Node, *, tail: bool) -> None:
    match node.kind:
        case "name" if node.name not in ATTRIBUTES:
            known = ", ".join(sorted(ATTRIBUTES))
            raise _BadExpressionError(f"{node.name[:40]} is not an attribute ({known})", node.start)
        case "select" | "index" if node.parts[0].kind == "name":
            _check_field(source, node)
        case "call" | "method":
            _check_call(source, node, tail=tail)
    for part, result in _with_tail(node, tail=tail):
        _check(source, part, tail=result)


def _check_field(source: str, node: _Node) -> None:
    owner = node.parts[0].name
    fields = ATTRIBUTES.get(owner, frozenset())
    name = node.name if node.kind == "select" else source[node.parts[1].start : node.parts[1].end].strip("'\"")
    if fields and name not in fields:
        raise _BadExpressionError(f"{owner} has no {name[:40]}; it has {', '.join(sorted(fields))}", node.start)
    if owner == "upstream_peer" and node.kind != "select":
        raise _BadExpressionError("upstream_peer is read as upstream_peer.name", node.start)


def _check_call(source: str, node: _Node, *, tail: bool) -> None:
    arguments = node.parts if node.kind == "call" else node.parts[1:]
    counts = (_FUNCTIONS if node.kind == "call" else _METHODS).get(node.name)
    if counts is None or len(arguments) not in counts:
        raise _BadExpressionError(f"there is no function {node.name[:40]} with {len(arguments)} arguments", node.start)
    if node.name == "has" and arguments[0].kind != "select":
        raise _BadExpressionError("has() takes a field, such as request.headers.name", node.start)
    if node.name == "string" and not tail:
        raise _BadExpressionError("Envoy's string() is switched off, except around a result", node.start)
    if node.name == "matches" and arguments[-1].kind == "text":
        written = source[arguments[-1].start + 1 : arguments[-1].end - 1]
        if "\\" in written.replace("\\\\", ""):
            raise _BadExpressionError("of escapes, a pattern may have \\\\ only", arguments[-1].start)
        if wrong := regex.complaint(written.replace("\\\\", "\\")):
            raise _BadExpressionError(f"the pattern {wrong}", arguments[-1].start)


class _Reader:
    """Reads by CEL's grammar, without macros and messages, which Envoy does not have."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.depth = 0
        self.tokens = list(self._tokens())
        self.at = 0

    def _tokens(self) -> Iterator[tuple[str, str, int, int]]:
        at = 0
        while self.source[at:].strip():
            token = _TOKEN.match(self.source, at)
            if token is None:
                raise _BadExpressionError("this cannot be read", at)
            kind = token.lastgroup or ""
            yield kind, token[kind], token.start(kind), token.end(kind)
            at = token.end()
        yield "end", "", at, at

    def read(self) -> _Node:
        node = self._choice()
        if self._kind != "end":
            raise self._bad("this does not belong here")
        return node

    @property
    def _kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def _next(self) -> str:
        kind, value, *_ = self.tokens[self.at]
        return "" if kind == "text" else value

    def _bad(self, message: str) -> _BadExpressionError:
        return _BadExpressionError(message, self.tokens[self.at][2])

    def _start(self) -> int:
        return self.tokens[self.at][2]

    def _end(self) -> int:
        return self.tokens[self.at - 1][3]

    def _take(self, sign: str) -> None:
        if self._next != sign:
            raise self._bad(f"a {sign} is missing")
        self.at += 1

    def _choice(self) -> _Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._bad("it is nested too deep")
        start, node = self._start(), self._operators(0)
        if self._next == "?":
            self.at += 1
            yes = self._operators(0)
            self._take(":")
            node = _Node("choice", start, 0, (node, yes, self._choice()))
            node = node._replace(end=self._end())
        self.depth -= 1
        return node

    _LEVELS = (frozenset({"||"}), frozenset({"&&"}), _RELATIONS, frozenset("+-"), frozenset("*/%"))

    def _operators(self, level: int) -> _Node:
        """Read operands joined by a level's operators, which bind looser than the next one's."""
        if level == len(self._LEVELS):
            return self._unary()
        start, parts = self._start(), [self._operators(level + 1)]
        while self._next in self._LEVELS[level]:
            self.at += 1
            parts.append(self._operators(level + 1))
        return parts[0] if len(parts) == 1 else _Node("operation", start, self._end(), tuple(parts))

    def _unary(self) -> _Node:
        start, sign = self._start(), self._next
        if sign not in ("!", "-"):
            return self._member()
        while self._next == sign:
            self.at += 1
        return _Node("operation", start, self._end(), (self._member(),))

    def _member(self) -> _Node:
        start, node = self._start(), self._primary()
        while self._next in (".", "["):
            if self._next == "[":
                self.at += 1
                key = self._choice()
                self._take("]")
                node = _Node("index", start, self._end(), (node, key))
                continue
            self.at += 1
            name = self._word()
            if self._next == "(":
                arguments = self._list("(", ")")
                node = _Node("method", start, self._end(), (node, *arguments), name)
            else:
                node = _Node("select", start, self._end(), (node,), name)
        return node

    def _word(self) -> str:
        word = self._next
        if self._kind != "word" or word in ("in", "true", "false", "null"):
            raise self._bad("a name is missing")
        self.at += 1
        return word

    def _primary(self) -> _Node:
        start, kind, value = self._start(), self._kind, self._next
        if kind in ("number", "text") or value in ("true", "false", "null"):
            self._check_number(value)
            self.at += 1
            return _Node(kind, start, self._end())
        if value == "(":
            self.at += 1
            inner = self._choice()
            self._take(")")
            return _Node("group", start, self._end(), (inner,))
        if value in ("[", "{"):
            parts = self._list(value, {"[": "]", "{": "}"}[value])
            return _Node("list", start, self._end(), parts)
        if value in _RESERVED:
            raise self._bad(f"{value} is a reserved word")
        name = self._word()
        if self._next == "(":
            parts = self._list("(", ")")
            return _Node("call", start, self._end(), parts, name)
        return _Node("name", start, self._end(), (), name)

    def _check_number(self, value: str) -> None:
        if self._kind != "number" or not value.rstrip("u").isdigit():
            if value.startswith("0x") and len(value.rstrip("u")) > 17:
                raise self._bad("the number is too big")
            return
        if int(value.rstrip("u")) >= 2**63:
            raise self._bad("the number is too big")

    def _list(self, opened: str, closed: str) -> tuple[_Node, ...]:
        """Read what stands between brackets; of a map's entries, keys and values in turn."""
        self._take(opened)
        parts: list[_Node] = []
        while self._next != closed:
            parts.append(self._choice())
            if opened == "{":
                self._take(":")
                parts.append(self._choice())
            if self._next != closed:
                self._take(",")
        self._take(closed)
        return tuple(parts)
