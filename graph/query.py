"""The find/hide language: ``namespace = shop and !healthy``, ``%err > 5 or (rt > 1000 and http > 1)``.

Kiali's operands, operators and filler words, with ordinary precedence (not, and, or) and parentheses. A term speaks
of nodes or of edges, never of both; so ``and`` joins terms of one sort only.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from graph import figures
from graph.model import OUTSIDE, STRANGERS, Edge, Health, Node, NodeKind, Presence, Protocol

Value = str | float | None
NodeReader = Callable[[Node], tuple[str, ...] | Value]
EdgeReader = Callable[[Edge], tuple[str, ...] | Value]

MAX_LENGTH = 2_000
MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class QueryError:
    """What is wrong, and at which character (from 0)."""

    position: int
    message: str


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed expression. An empty one matches nothing."""

    text: str
    _tree: Tree | None

    def matches_node(self, node: Node) -> bool:
        """Whether the expression speaks of this node."""
        return self._tree is not None and bool(_holds(self._tree, node))

    def matches_edge(self, edge: Edge) -> bool:
        """Whether the expression speaks of this edge."""
        return self._tree is not None and bool(_holds(self._tree, edge))


class Term(NamedTuple):
    """A test of nodes or of edges."""

    subject: type[Node | Edge]
    test: Callable[[Node | Edge], bool]


class Not(NamedTuple):
    """Everything of the same sort that the inner one does not match."""

    inner: Tree


class Both(NamedTuple):
    """And."""

    left: Tree
    right: Tree


class Either(NamedTuple):
    """Or."""

    left: Tree
    right: Tree


Tree = Term | Not | Both | Either


def parse(text: str) -> Query | QueryError:
    """Read an expression; an error says where and what to write instead."""
    if len(text) > MAX_LENGTH:
        return QueryError(MAX_LENGTH, f"an expression has at most {MAX_LENGTH} characters")
    if not text.strip():
        return Query(text, None)
    try:
        return Query(text, _Parser(text).whole())
    except _Wrong as wrong:
        return QueryError(wrong.position, wrong.message)


def _rate(protocol: Protocol) -> EdgeReader:
    return lambda edge: figures.rate(edge.signals) if edge.protocol is protocol else None


def _error_percent(protocol: Protocol) -> EdgeReader:
    return lambda edge: figures.error_percent(edge.signals) if edge.protocol is protocol else None


def _throughput(edge: Edge) -> float:
    return figures.sent(edge.signals) + figures.received(edge.signals)


_SHORT_KINDS: Mapping[NodeKind, str] = {NodeKind.WORKLOAD: "wl", NodeKind.SERVICE: "svc"}
NODE_VALUES: Mapping[str, NodeReader] = {
    "name": lambda node: (node.label, node.app, node.workload, node.service),
    "namespace": lambda node: node.namespace,
    "cluster": lambda node: node.cluster,
    "app": lambda node: node.app,
    "version": lambda node: node.version,
    "workload": lambda node: node.workload,
    "service": lambda node: node.service,
    "node": lambda node: (node.kind, _SHORT_KINDS.get(node.kind, node.kind)),
    "health": lambda node: node.health,
    "principal": lambda node: node.principals,
    "replicas": lambda node: node.replicas,
    "in": lambda node: figures.rate(node.inbound) if node.inbound else None,
    "out": lambda node: figures.rate(node.outbound) if node.outbound else None,
}
NODE_FLAGS: Mapping[str, Callable[[Node], bool]] = {
    "healthy": lambda node: node.health in {Health.HEALTHY, Health.IDLE, Health.NOT_READY},
    "degraded": lambda node: node.health is Health.DEGRADED,
    "failure": lambda node: node.health is Health.FAILURE,
    "idle": lambda node: node.inbound is None and node.outbound is None,
    "unknown": lambda node: node.kind in STRANGERS,
    "external": lambda node: node.kind in OUTSIDE,
    "database": lambda node: node.kind is NodeKind.DATABASE,
    "gateway": lambda node: node.kind is NodeKind.GATEWAY,
    "trafficsource": lambda node: node.outbound is not None and node.inbound is None,
    "virtualservice": lambda node: "virtual-service" in node.badges,
    "trafficshifting": lambda node: "traffic-shifting" in node.badges,
    "circuitbreaker": lambda node: "circuit-breaker" in node.badges,
    "faultinjection": lambda node: "fault-injection" in node.badges,
    "requesttimeout": lambda node: "timeout" in node.badges,
    "mirroring": lambda node: "mirroring" in node.badges,
    "outofmesh": lambda node: "no-sidecar" in node.badges,
}
EDGE_VALUES: Mapping[str, EdgeReader] = {
    "rate": lambda edge: figures.rate(edge.signals),
    "http": _rate(Protocol.HTTP),
    "grpc": _rate(Protocol.GRPC),
    "tcp": lambda edge: _throughput(edge) if edge.protocol is Protocol.TCP else None,
    "%err": lambda edge: figures.error_percent(edge.signals),
    "%httperr": _error_percent(Protocol.HTTP),
    "%grpcerr": _error_percent(Protocol.GRPC),
    "p50": lambda edge: figures.thousandths(edge.signals.p50_ms),
    "p95": lambda edge: figures.thousandths(edge.signals.p95_ms),
    "p99": lambda edge: figures.thousandths(edge.signals.p99_ms),
    "throughput": _throughput,
    "protocol": lambda edge: edge.protocol,
    "flags": lambda edge: tuple({outcome.flags for outcome in edge.signals.outcomes}),
    "code": lambda edge: tuple({outcome.code for outcome in edge.signals.outcomes}),
}
EDGE_FLAGS: Mapping[str, Callable[[Edge], bool]] = {
    "mtls": lambda edge: bool(figures.thousandths(edge.signals.mtls)),
    "traffic": lambda edge: edge.presence is not Presence.IDLE,
    "stale": lambda edge: edge.presence is Presence.STALE,
    "unhealthy": lambda edge: edge.health in {Health.DEGRADED, Health.FAILURE},
}
ALIASES: Mapping[str, str] = {
    "ns": "namespace",
    "wl": "workload",
    "svc": "service",
    "rps": "rate",
    "err": "%err",
    "%error": "%err",
    "rt": "p95",
    "responsetime": "p95",
    "httpin": "in",
    "httpout": "out",
    "root": "trafficsource",
    "vs": "virtualservice",
    "ts": "trafficshifting",
    "cb": "circuitbreaker",
    "fi": "faultinjection",
    "rto": "requesttimeout",
    "om": "outofmesh",
    "sidecar": "outofmesh",
    "sc": "outofmesh",
    "se": "external",
    "serviceentry": "external",
    "db": "database",
}

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[()])
    | (?P<operator>!?[*^$]=|!=|>=|<=|==|[=<>])
    | (?P<bang>!)
    | "(?P<quoted>[^"]*)"
    | (?P<word>[^\s()=!<>*^$"]+|[*^$]))""",
    re.VERBOSE,
)
_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_LIKE: Mapping[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "*=": lambda text, part: part in text,
    "^=": lambda text, part: text.startswith(part),
    "$=": lambda text, part: text.endswith(part),
}
_FILLERS = {"is", "has"}


class _Wrong(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.message = message


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


class _Parser:
    """Recursive descent: or, and, not, parentheses, terms."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._either()
        if self._peek().kind != "end":
            raise _Wrong(self._peek().position, f"expected 'and' or 'or' before {self._peek().text!r}")
        return tree

    def _either(self) -> Tree:
        tree = self._both()
        while self._take_word("or"):
            tree = Either(tree, self._both())
        return tree

    def _both(self) -> Tree:
        tree = self._one()
        while True:
            position = self._peek().position
            if not self._take_word("and"):
                return tree
            right = self._one()
            if _subjects(tree) | _subjects(right) == {Node, Edge}:
                raise _Wrong(position, "a node term and an edge term cannot both hold: join them with 'or'")
            tree = Both(tree, right)

    def _one(self) -> Tree:
        token = self._peek()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Wrong(token.position, f"nested more than {MAX_DEPTH} deep")
        try:
            if token.kind == "bang" or (token.kind == "word" and token.text.lower() == "not"):
                self._next += 1
                return Not(self._one())
            if token.text == "(" and token.kind == "mark":
                self._next += 1
                tree = self._either()
                if self._peek().text != ")":
                    raise _Wrong(self._peek().position, "expected ')'")
                self._next += 1
                return tree
            return self._term()
        finally:
            self._depth -= 1

    def _term(self) -> Tree:
        token = self._peek()
        if token.kind != "word":
            raise _Wrong(
                token.position,
                "expected an operand such as 'name' or 'rate'"
                if token.kind == "end"
                else f"expected an operand, not {token.text!r}",
            )
        self._next += 1
        name = ALIASES.get(token.text.lower(), token.text.lower())
        if self._peek().kind != "operator":
            return _flag(name, token)
        sign = self._peek()
        self._next += 1
        value = self._peek()
        if value.kind not in {"word", "quoted"}:
            raise _Wrong(value.position, f"expected a value after {sign.text!r}")
        self._next += 1
        return _comparison(name, token, sign, value)

    def _peek(self) -> _Token:
        while (
            (token := self._tokens[self._next]).kind == "word" and token.text.lower() in _FILLERS and self._is_filler()
        ):
            self._next += 1
        return self._tokens[self._next]

    def _is_filler(self) -> bool:
        return self._next == 0 or self._tokens[self._next - 1].kind != "operator"

    def _take_word(self, word: str) -> bool:
        token = self._peek()
        if token.kind == "word" and token.text.lower() == word:
            self._next += 1
            return True
        return False


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise _Wrong(start, f"cannot read {text[start : start + 10]!r}")
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind) - (kind == "quoted")))
        position = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


def _flag(name: str, token: _Token) -> Term:
    if name in NODE_FLAGS:
        of_node = NODE_FLAGS[name]
        return Term(Node, lambda item: isinstance(item, Node) and of_node(item))
    if name in EDGE_FLAGS:
        of_edge = EDGE_FLAGS[name]
        return Term(Edge, lambda item: isinstance(item, Edge) and of_edge(item))
    if name in NODE_VALUES or name in EDGE_VALUES:
        raise _Wrong(
            token.position + len(token.text), f"{token.text} needs an operator and a value, as in '{token.text} = …'"
        )
    raise _unknown(token)


def _comparison(name: str, token: _Token, sign: _Token, value: _Token) -> Term:
    test = _test(sign, value)
    if name in NODE_VALUES:
        of_node = NODE_VALUES[name]
        return Term(Node, lambda item: isinstance(item, Node) and test(of_node(item)))
    if name in EDGE_VALUES:
        of_edge = EDGE_VALUES[name]
        return Term(Edge, lambda item: isinstance(item, Edge) and test(of_edge(item)))
    if name in NODE_FLAGS or name in EDGE_FLAGS:
        raise _Wrong(sign.position, f"{token.text} is yes or no: write '{token.text}' or '!{token.text}'")
    raise _unknown(token)


def _unknown(token: _Token) -> _Wrong:
    known = sorted({*NODE_VALUES, *NODE_FLAGS, *EDGE_VALUES, *EDGE_FLAGS})
    return _Wrong(token.position, f"no operand {token.text!r}; there are {', '.join(known)}")


def _test(sign: _Token, value: _Token) -> Callable[[tuple[str, ...] | Value], bool]:
    """Compare numbers as numbers and texts without regard to case; ``NaN`` stands for absence."""
    negative = sign.text.startswith("!")
    bare = {"==": "="}.get(sign.text, sign.text.removeprefix("!"))
    wanted = value.text.lower()
    number = _number(wanted)
    if wanted == "nan" and bare == "=":
        return lambda found: (found is None or found in ("", ())) != negative
    if bare in _ORDER and bare != "=" and number is None:
        raise _Wrong(value.position, f"{sign.text} compares numbers, and {value.text!r} is none")

    def test(found: tuple[str, ...] | Value) -> bool:
        if found is None:
            return False
        if isinstance(found, tuple):
            return any(_alike(one) for one in found) != negative
        if isinstance(found, (int, float)):
            return number is not None and bare in _ORDER and _ORDER[bare](found, number) != negative
        return _alike(found) != negative

    def _alike(text: str) -> bool:
        if bare in _LIKE:
            return _LIKE[bare](text.lower(), wanted)
        own = _number(text)
        return own is not None and number is not None and _ORDER[bare](own, number)

    return test


def _number(text: str) -> float | None:
    try:
        return float(text.removesuffix("ms").removesuffix("%"))
    except ValueError:
        return None


def _subjects(tree: Tree) -> set[type[Node | Edge]]:
    if isinstance(tree, Term):
        return {tree.subject}
    if isinstance(tree, Not):
        return _subjects(tree.inner)
    return _subjects(tree.left) | _subjects(tree.right)


def _holds(tree: Tree, item: Node | Edge) -> bool | None:
    """Whether the item matches; ``None``: the tree does not speak of items of its sort."""
    if isinstance(tree, Term):
        return tree.test(item) if isinstance(item, tree.subject) else None
    if isinstance(tree, Not):
        inner = _holds(tree.inner, item)
        return None if inner is None else not inner
    left, right = _holds(tree.left, item), _holds(tree.right, item)
    if isinstance(tree, Both):
        return None if left is None or right is None else left and right
    return bool(left) or bool(right) if left is not None or right is not None else None
