"""YAML as lines to draw: highlighted, or compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

LINE = re.compile(
    r"^(?P<lead>\s*(?:- )*)(?:(?P<key>[^\s:#'\"\-][^:#]*|\"[^\"]*\"|'[^']*')(?P<colon>:)(?=\s|$))?(?P<value>.*)$"
)
NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
CONTEXT = 5
"""Unchanged lines that are shown beside a change."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a line and what it is: ``key``, ``text``, ``number`` or plain ``""``."""

    text: str
    role: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line; ``mark`` is ``+``, ``-`` or ``" "``, ``number`` is ``0`` for lines that are going."""

    mark: str
    number: int
    tokens: tuple[Token, ...]


def lines(text: str) -> tuple[Line, ...]:
    """A document as it is."""
    return tuple(Line(" ", number, tokens(line)) for number, line in enumerate(text.splitlines(), 1))


def compared(old: str, new: str) -> tuple[Line, ...]:
    """Both versions in one, with what goes above what comes. Long unchanged runs are folded into one ``…`` line."""
    return tuple(_compared(old.splitlines(), new.splitlines()))


def _compared(old: list[str], new: list[str]) -> Iterator[Line]:
    for tag, start, end, new_start, new_end in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        same = tag == "equal"
        for line in () if same else old[start:end]:
            yield Line("-", 0, tokens(line))
        coming = [Line(" " if same else "+", n, tokens(new[n - 1])) for n in range(new_start + 1, new_end + 1)]
        yield from _folded(coming, new_start > 0, new_end < len(new)) if same else coming


def _folded(run: list[Line], after_change: bool, before_change: bool) -> Iterator[Line]:
    head, tail = CONTEXT * after_change, CONTEXT * before_change
    hidden = len(run) - head - tail
    if hidden < 3:
        yield from run
        return
    yield from run[:head]
    yield Line("…", 0, (Token(f"{hidden} unchanged lines"),))
    yield from run[len(run) - tail :]


def tokens(line: str) -> tuple[Token, ...]:
    """Split a line of block YAML into key and value."""
    match = LINE.match(line)
    if match is None:
        return (Token(line),)
    value = match["value"]
    bare = value.strip()
    role = "" if not bare else "number" if NUMBER.match(bare) or bare in {"true", "false", "null"} else "text"
    parts = (Token(match["lead"]), Token(match["key"] or "", "key"), Token(match["colon"] or ""), Token(value, role))
    return tuple(part for part in parts if part.text)
