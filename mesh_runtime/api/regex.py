"""What Envoy's regular expressions (RE2) accept: checked by reading the pattern, not by trying it."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 1024
MAX_REPEAT = 1000
MAX_SIZE = 30_000
MAX_DEPTH = 100

_REPEAT = re.compile(r"\{([0-9]{1,9})(?:,([0-9]{0,9}))?\}")
_GROUP = re.compile(r"\(\?(?:P?<(?P<name>[A-Za-z0-9_]+)>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))")
_HEX = re.compile(r"\\x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})")
_OCTAL = re.compile(r"\\(?:[1-7][0-7]{1,2}|0[0-7]{0,2})")
_CATEGORY = "C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?"
_SCRIPT = "Any|Arabic|Armenian|Cyrillic|Devanagari|Georgian|Greek|Han|Hangul|Hebrew|Hiragana|Katakana|Latin|Thai"
_PROPERTY = re.compile(rf"\\[pP](?:\{{\^?(?:{_CATEGORY}|{_SCRIPT})\}}|[CLMNPSZ])")
_POSIX_NAME = "alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit"
_POSIX = re.compile(rf"\[:\^?(?:({_POSIX_NAME})|[a-z]+):\]")
_SETS = frozenset("dDsSwW")
_EDGES = frozenset("AbBz")
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}


def complaint(pattern: str) -> str | None:
    """Say why RE2 would refuse a pattern; ``None``: it would not."""
    if not pattern:
        return "is empty"
    if len(pattern) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    try:
        _Reader(pattern).read()
    except _BadPatternError as error:
        return f"is not a regular expression of RE2: {error} at character {error.at + 1}"
    return None


def rewrite_complaint(pattern: str, rewrite: str) -> str | None:
    r"""Say why RE2 could not put *rewrite*, with its groups such as ``\1``, in place of what *pattern* finds."""
    reader = _Reader(pattern)
    reader.read()
    for escape in re.findall(r"\\(.?)", rewrite, re.DOTALL):
        if escape != "\\" and not (escape.isascii() and escape.isdecimal()):
            return "a \\ is followed by neither a digit nor a \\"
        if escape.isdecimal() and int(escape) > reader.captures:
            return f"\\{escape} is a group that the regular expression does not have"
    return None


class _BadPatternError(Exception):
    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(slots=True)
class _Part:
    """A part of the pattern: how big its program is, and how often its innermost part is repeated."""

    size: int = 0
    repeats: int = 1

    def add(self, other: _Part) -> None:
        self.size += other.size
        self.repeats = max(self.repeats, other.repeats)


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.groups = [_Part()]
        self.last: _Part | None = None
        """What a repetition would repeat; not yet added to its group."""
        self.repeated = False
        self.names: set[str] = set()
        self.captures = 0

    def read(self) -> None:
        while self.at < len(self.pattern):
            match self.pattern[self.at]:
                case "(":
                    self._open()
                case ")":
                    self._close()
                case "|":
                    self._put(None, 1)
                case "*" | "+" | "?":
                    self._repeat(1, 1)
                case "{" if bounds := _REPEAT.match(self.pattern, self.at):
                    self._repeat(self._times(bounds), len(bounds[0]))
                case "[":
                    self._class()
                case "\\":
                    self._escape()
                case ".":
                    self._put(_Part(10), 1)
                case _:
                    self._put(_Part(1), 1)
        if len(self.groups) > 1:
            raise self._bad("a ( is not closed")
        self._put(None, 0)
        if self.groups[0].size > MAX_SIZE:
            raise self._bad("it is too big", 0)

    def _bad(self, message: str, at: int | None = None) -> _BadPatternError:
        return _BadPatternError(message, self.at if at is None else at)

    def _put(self, part: _Part | None, length: int) -> None:
        if self.last is not None:
            self.groups[-1].add(self.last)
        self.last, self.repeated = part, False
        self.at += length

    def _open(self) -> None:
        if len(self.groups) > MAX_DEPTH:
            raise self._bad("it is nested too deep")
        if not self.pattern.startswith("(?", self.at):
            self.captures += 1
            self._put(None, 1)
            self.groups.append(_Part(2))
            return
        head = _GROUP.match(self.pattern, self.at)
        if head is None:
            raise self._bad("(? is not followed by what RE2 knows; it has no lookaround")
        if head["name"] and head["name"] in self.names:
            raise self._bad(f"the name {head['name']} is there twice")
        if head["name"]:
            self.captures += 1
            self.names.add(head["name"])
        self._put(None, len(head[0]))
        if head["end"] != ")":
            self.groups.append(_Part(2))

    def _close(self) -> None:
        if len(self.groups) == 1:
            raise self._bad("a ) has no (")
        self._put(None, 1)
        self.last = self.groups.pop()

    def _times(self, bounds: re.Match[str]) -> int:
        low = int(bounds[1])
        high = int(bounds[2]) if bounds[2] else low
        if high < low or high > MAX_REPEAT:
            raise self._bad(f"{bounds[0]} is not a repetition RE2 allows (at most {MAX_REPEAT})")
        return max(high, 1)

    def _repeat(self, times: int, length: int) -> None:
        if self.last is None:
            raise self._bad("there is nothing to repeat")
        if self.repeated:
            raise self._bad("a repetition is repeated")
        self.last = _Part((self.last.size + 1) * times, self.last.repeats * times)
        if self.last.repeats > MAX_REPEAT or self.last.size > MAX_SIZE:
            raise self._bad("it repeats too much")
        self.repeated = True
        self.at += length
        if self.pattern.startswith("?", self.at):
            self.at += 1

    def _escape(self) -> None:
        if self.pattern.startswith("\\Q", self.at):
            end = self.pattern.find("\\E", self.at + 2)
            end = len(self.pattern) if end < 0 else end
            length = end - self.at - 2
            self._put(_Part(length) if length else None, min(end + 2, len(self.pattern)) - self.at)
        elif self.pattern[self.at + 1 : self.at + 2] in (*_EDGES, "C"):
            self._put(_Part(1), 2)
        else:
            size = 500 if self.pattern[self.at + 1 : self.at + 2] in ("p", "P") else 10
            length, code = self._character()
            self._put(_Part(1 if code is not None else size), length)

    def _character(self) -> tuple[int, int | None]:
        """Length and code point of an escape; of a set of characters, no code point."""
        following = self.pattern[self.at + 1 : self.at + 2]
        if not following:
            raise self._bad("a \\ is the last character")
        if following in _SETS:
            return 2, None
        if following in _CONTROLS:
            return 2, _CONTROLS[following]
        if following in "pP":
            found = _PROPERTY.match(self.pattern, self.at)
            if found is None:
                raise self._bad(f"\\{following} is not followed by a known class of characters")
            return len(found[0]), None
        if found := _HEX.match(self.pattern, self.at):
            code = int(found[1] or found[2], 16)
            if code > 0x10FFFF:
                raise self._bad("there is no such character")
            return len(found[0]), code
        if found := _OCTAL.match(self.pattern, self.at):
            return len(found[0]), int(found[0][1:], 8)
        if following.isdigit():
            raise self._bad("RE2 has no backreferences")
        if following.isalpha() or ord(following) > 127:
            raise self._bad(f"\\{following} is not known")
        return 2, ord(following)

    def _class(self) -> None:
        start = self.at
        self.at += 2 if self.pattern.startswith("[^", self.at) else 1
        size, first = 1, True
        while first or not self.pattern.startswith("]", self.at):
            if self.at >= len(self.pattern):
                raise self._bad("a [ is not closed", start)
            size += self._member(start)
            first = False
        self.at += 1
        self._put(_Part(min(size, 600)), 0)

    def _member(self, start: int) -> int:
        if posix := _POSIX.match(self.pattern, self.at):
            if posix[1] is None:
                raise self._bad(f"{posix[0]} is not known")
            self.at += len(posix[0])
            return 10
        low = self._end(start)
        if low is None:
            return 100
        if self.pattern[self.at : self.at + 1] == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
            at = self.at
            self.at += 1
            high = self._end(start)
            if high is None or high < low:
                raise self._bad("a range goes backwards or ends in a set", at)
        return 2

    def _end(self, start: int) -> int | None:
        """One end of a range."""
        if self.at >= len(self.pattern):
            raise self._bad("a [ is not closed", start)
        if self.pattern[self.at] == "\\":
            length, code = self._character()
        else:
            length, code = 1, ord(self.pattern[self.at])
        self.at += length
        return code
