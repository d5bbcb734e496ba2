"""Comparing what a node or an edge shows with what a user wrote."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from graph.patterns import pattern_test
from graph.query.operands import Number, Text

ABSENT = "nan"

ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
LIKE: Mapping[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "*=": operator.contains,
    "^=": str.startswith,
    "$=": str.endswith,
}
PATTERNS = {"=~", "!~"}
"""Compare with a regular expression, which must match the whole text, as in Prometheus."""


def number_test(sign: str, value: str) -> Callable[[Number], bool]:
    """Compare numbers by a sign of :data:`ORDER`; what is not measured matches nothing but ``= NaN``.

    Raises ``ValueError``, saying what is wrong with the value.
    """
    if value.lower() == ABSENT and sign in {"=", "!="}:
        return lambda found: (found is None) == (sign == "=")
    wanted = as_number(value)
    if wanted is None:
        raise ValueError(f"{sign} compares numbers, and {value!r} is none")
    return lambda found: found is not None and ORDER[sign](found, wanted)


def text_test(sign: str, value: str) -> Callable[[Text], bool]:
    """Compare texts without regard to case; of several one must do, and with ``!`` none may.

    Texts that are numbers can be put in order, too: ``code >= 500``. Raises as :func:`number_test`.
    """
    if sign in PATTERNS:
        matches = pattern_test(f"(?i)^(?:{value})$")
        return lambda found: any(map(matches, _each(found))) != (sign == "!~")
    wanted = value.lower()
    negative, bare = sign.startswith("!"), sign.removeprefix("!")
    if wanted == ABSENT and bare == "=":
        return lambda found: (not found) != negative
    if bare in LIKE:
        return lambda found: any(LIKE[bare](one.lower(), wanted) for one in _each(found)) != negative
    in_order = number_test(sign, value)
    return lambda found: any(in_order(as_number(one)) for one in _each(found))


def as_number(text: str) -> Number:
    """Read ``5``, ``5%`` or ``5ms``; ``None``: it is no number."""
    try:
        return float(text.removesuffix("ms").removesuffix("%"))
    except ValueError:
        return None


def _each(found: Text) -> tuple[str, ...]:
    return (found,) if isinstance(found, str) else found
