"""Reading an expression: tokens, recursive descent, and the tree that an item is held against."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from graph.model import Edge, Node
from graph.query.comparing import ORDER, number_test, text_test
from graph.query.operands import ALIASES, LABEL, OPERANDS, Operand, operand
from graph.query.whole import Whole

MAX_LENGTH = 2_000
MAX_DEPTH = 50

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[()])
    | (?P<operator>!?[*^$]=|=~|!~|!=|>=|<=|==|[=<>])
    | (?P<bang>!)
    | "(?P<quoted>[^"]*)"
    | '(?P<single>[^']*)'
    | (?P<word>[^\s()=!<>*^$"]+|[*^$]))""",
    re.VERBOSE,
)
_WORDS = {"contains": "*=", "startswith": "^=", "endswith": "$="}
"""Operators that can be said in words, also after ``not`` or ``!``."""
_FILLERS = {"is", "has"}
_JOINTS = {"and", "or"}


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

    def matches_node(self, node: Node, whole: Whole) -> bool:
        """Whether the expression speaks of this node of a graph."""
        return self._tree is not None and bool(_holds(self._tree, node, whole))

    def matches_edge(self, edge: Edge, whole: Whole) -> bool:
        """Whether the expression speaks of this edge of a graph."""
        return self._tree is not None and bool(_holds(self._tree, edge, whole))


class Term(NamedTuple):
    """A test of nodes or of edges."""

    subject: type[Node | Edge]
    test: Callable[[Node | Edge, Whole], bool]


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
        self._tokens = list(_worded(_tokens(text)))
        self._next = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._either()
        if self._peek().kind != "end":
            blanks = "; a text with blanks stands in quotes" if self._peek().kind == "word" else ""
            raise _Wrong(self._peek().position, f"expected 'and' or 'or' before {self._peek().text!r}{blanks}")
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
            if _is_not(token):
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
        if token.kind != "word" or token.text.lower() in _JOINTS:
            raise _Wrong(
                token.position,
                "expected an operand such as 'name' or 'rate'"
                if token.kind == "end"
                else f"expected an operand, not {token.text!r}",
            )
        self._next += 1
        sign = self._peek()
        if sign.kind != "operator":
            return _flag(token)
        self._next += 1
        value = self._peek()
        if value.kind not in {"word", "quoted"}:
            raise _Wrong(value.position, f"expected a value after {sign.text!r}")
        self._next += 1
        return _comparison(token, sign, value)

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
        group = str(match.lastgroup)
        quoted = group in {"quoted", "single"}
        tokens.append(_Token("quoted" if quoted else group, match[group], match.start(group) - quoted))
        position = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


def _worded(tokens: list[_Token]) -> Iterator[_Token]:
    """Put signs in the place of operators in words: ``contains``, ``not startswith``, ``! endswith``."""
    position = 0
    after_operand = False
    while position < len(tokens):
        token = tokens[position]
        negated = _is_not(token) and position + 1 < len(tokens)
        word = tokens[position + 1] if negated else token
        if after_operand and word.kind == "word" and word.text.lower() in _WORDS:
            sign = ("!" if negated else "") + _WORDS[word.text.lower()]
            token = _Token("operator", sign, token.position)
            position += int(negated)
        after_operand = token.kind == "word" and token.text.lower() not in {"and", "or", "not", *_FILLERS}
        yield token
        position += 1


def _is_not(token: _Token) -> bool:
    return token.kind == "bang" or (token.kind == "word" and token.text.lower() == "not")


def _flag(token: _Token) -> Term:
    found = _operand(token)
    if found.type is not bool and not token.text.lower().startswith(LABEL):
        raise _Wrong(
            token.position + len(token.text), f"{token.text} needs an operator and a value, as in '{token.text} = …'"
        )
    return _term(found, bool)


def _comparison(token: _Token, sign: _Token, value: _Token) -> Term:
    found = _operand(token)
    if found.type is bool:
        raise _Wrong(sign.position, f"{token.text} is yes or no: write '{token.text}' or '!{token.text}'")
    if found.values and value.text.lower() not in found.values and sign.text in {"=", "==", "!="}:
        known = ", ".join(sorted(found.values))
        raise _Wrong(value.position, f"{token.text} is never {value.text!r}; it is one of {known}")
    bare = "=" if sign.text == "==" else sign.text
    if found.type is float and bare not in ORDER:
        raise _Wrong(sign.position, f"{sign.text} compares texts, and {token.text} is a number")
    try:
        return _term(
            found, number_test(bare, value.text, found.unit) if found.type is float else text_test(bare, value.text)
        )
    except ValueError as trouble:
        raise _Wrong(value.position, str(trouble)) from trouble


def _term(found: Operand, test: Callable[..., bool]) -> Term:
    return Term(found.subject, lambda item, whole: test(found.read(item, whole)))


def _operand(token: _Token) -> Operand:
    if token.text.lower() == LABEL:
        raise _Wrong(token.position + len(LABEL), f"expected a label's key after {LABEL!r}, as in '{LABEL}app'")
    found = operand(token.text)
    if found is None:
        similar = get_close_matches(token.text.lower(), [*OPERANDS, *ALIASES], 3)
        known = sorted([*OPERANDS, f"{LABEL}…"])
        way_out = f"did you mean {' or '.join(similar)}?" if similar else f"there are {', '.join(known)}"
        raise _Wrong(token.position, f"no operand {token.text!r}; {way_out}")
    return found


def _subjects(tree: Tree) -> set[type[Node | Edge]]:
    if isinstance(tree, Term):
        return {tree.subject}
    if isinstance(tree, Not):
        return _subjects(tree.inner)
    return _subjects(tree.left) | _subjects(tree.right)


def _holds(tree: Tree, item: Node | Edge, whole: Whole) -> bool | None:
    """Whether the item matches; ``None``: the tree does not speak of items of its sort."""
    if isinstance(tree, Term):
        return tree.test(item, whole) if isinstance(item, tree.subject) else None
    if isinstance(tree, Not):
        inner = _holds(tree.inner, item, whole)
        return None if inner is None else not inner
    left, right = _holds(tree.left, item, whole), _holds(tree.right, item, whole)
    if isinstance(tree, Both):
        return None if left is None or right is None else left and right
    return bool(left) or bool(right) if left is not None or right is not None else None
