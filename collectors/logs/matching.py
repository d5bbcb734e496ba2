"""Whether a line is what a user looks for. Pure."""

from __future__ import annotations

from collections.abc import Callable

from graph.patterns import pattern_test
from graph.ports import LOG_LEVELS, LogLine, LogQuery

Test = Callable[[LogLine], bool]


def matcher(query: LogQuery) -> Test:
    """Make the test for a query, times left out; raises ``ValueError`` when it cannot be meant."""
    tests = [*_identity_tests(query), *_content_tests(query)]
    return lambda line: all(test(line) for test in tests)


def encoded_text(query: LogQuery) -> bytes:
    """Return what must be in an encoded line, in lower case, for the query's text to be in it; empty: anything may."""
    wanted = query.text.lower()
    is_plain = wanted.isascii() and wanted.isprintable() and not {'"', "\\"} & set(wanted)
    return wanted.encode() if is_plain else b""


def severity(level: str) -> int:
    """Place a level in the order of :data:`LOG_LEVELS`, beginning with 1; 0: none."""
    return LOG_LEVELS.index(level) + 1 if level in LOG_LEVELS else 0


def _identity_tests(query: LogQuery) -> list[Test]:
    tests: list[Test] = []
    if query.namespace:
        tests.append(lambda line: line.workload.namespace == query.namespace)
    if query.workload:
        tests.append(lambda line: query.workload in (line.workload.workload, line.workload.app))
    if query.instance:
        tests.append(lambda line: line.instance == query.instance)
    if query.sources:
        tests.append(lambda line: line.source in query.sources)
    return tests


def _content_tests(query: LogQuery) -> list[Test]:
    tests: list[Test] = []
    if query.level:
        least = severity(query.level)
        if not least:
            raise ValueError(f"{query.level!r} is no level; there are {', '.join(LOG_LEVELS)}")
        tests.append(lambda line: severity(line.level) >= least)
    if query.trace_id:
        tests.append(lambda line: line.trace_id == query.trace_id)
    if query.text:
        wanted = query.text.lower()
        tests.append(lambda line: _any_text(line, lambda text: wanted in text.lower()))
    if query.pattern:
        found = pattern_test(query.pattern)
        tests.append(lambda line: _any_text(line, found))
    return tests


def _any_text(line: LogLine, test: Callable[[str], bool]) -> bool:
    return test(line.text) or any(test(value) for value in line.attributes.values())
