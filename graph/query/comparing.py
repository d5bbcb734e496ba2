"""Comparing what a node or an edge shows with what a user wrote."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from graph.patterns import pattern_test
from graph.query.operands import Number, Text
from graph.query.units import COUNT, Unit

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


def number_test(sign: str, value: str, unit: Unit = COUNT) -> Callable[[Number], bool]:
    """Compare numbers by a sign of :data:`ORDER`; what is not measured matches nothing but ``= NaN``.

    Raises ``ValueError``, saying what is wrong with the value.
    """
    if value.lower() == ABSENT and sign in {"=", "!="}:
        return lambda found: (found is None) == (sign == "=")
    wanted = unit.read(value)
    if wanted is None:
        raise ValueError(f"{value!r} is not {unit.kind}")
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
    return lambda found: any(in_order(COUNT.read(one)) for one in _each(found))


def _each(found: Text) -> tuple[str, ...]:
    return (found,) if isinstance(found, str) else found
