"""A trace's critical path: at each instant the one span that the answer waited for.

As defined by Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures" (USENIX ATC
2022): from the root's end backwards, the child that finished last is waited for, before its start the child that had
finished last by then, and so on; where no child is waited for, the span itself works. Jaeger draws the same path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graph.ports import Span


class Segment(NamedTuple):
    """A time in which the trace waited for one span's own work; Unix nanoseconds."""

    span_id: str
    start_ns: int
    end_ns: int


class OnPath(NamedTuple):
    """What one span adds."""

    span: Span
    self_ns: int
    """Of its duration, the time in which none of its children ran."""
    critical_ns: int
    """Of its own work, what the answer waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePath:
    """The critical path of one trace."""

    root: Span
    segments: tuple[Segment, ...]
    """In order of time; together exactly the root's duration."""
    spans: tuple[OnPath, ...]
    """Every span below the root, with the root; what the answer waited for most comes first."""
    apart: int
    """Spans that do not hang on the root: their parents are missing."""


class _Stay(NamedTuple):
    """A span as its parent sees it: cut to the parent's time, for clocks differ, and work may go on after the answer."""

    span_id: str
    start_ns: int
    end_ns: int


def critical_path(spans: Sequence[Span]) -> TracePath | None:
    """Find the path below the longest root; ``None``: no span is a root.

    A root is a span without a parent or, where parents are missing, one whose parent is not here.
    """
    known = {span.span_id: span for span in spans}
    roots = [span for span in spans if span.parent_id not in known]
    if not roots:
        return None
    root = max(roots, key=lambda span: (not span.parent_id, span.end_ns - span.start_ns, -span.start_ns))
    children: defaultdict[str, list[Span]] = defaultdict(list)
    for span in known.values():
        children[span.parent_id].append(span)
    below = list(_below(root, children))
    segments = sorted(
        _segments(_Stay(root.span_id, root.start_ns, max(root.start_ns, root.end_ns)), children),
        key=lambda one: one.start_ns,
    )
    waited: defaultdict[str, int] = defaultdict(int)
    for segment in segments:
        waited[segment.span_id] += segment.end_ns - segment.start_ns
    found = (OnPath(span, self_ns(span, children[span.span_id]), waited[span.span_id]) for span in below)
    return TracePath(
        root=root,
        segments=tuple(segments),
        spans=tuple(sorted(found, key=lambda one: (-one.critical_ns, -one.self_ns, one.span.start_ns))),
        apart=len(spans) - len(below),
    )


def self_ns(span: Span, children: Sequence[Span]) -> int:
    """Return the time in which the span ran and none of its children did."""
    own, reached = 0, span.start_ns
    for start, end in sorted((child.start_ns, child.end_ns) for child in children):
        own += max(0, min(start, span.end_ns) - reached)
        reached = max(reached, end)
    return own + max(0, span.end_ns - reached)


def _below(root: Span, children: Mapping[str, Sequence[Span]]) -> Iterator[Span]:
    waiting = [root]
    while waiting:
        span = waiting.pop()
        yield span
        waiting += children.get(span.span_id, ())


def _segments(root: _Stay, children: Mapping[str, Sequence[Span]]) -> Iterator[Segment]:
    """Walk back from the root's end; a stack instead of recursion, for traces may be deep."""
    waiting = [root]
    while waiting:
        stay = waiting.pop()
        until = stay.end_ns
        for child in sorted(_inside(stay, children.get(stay.span_id, ())), key=lambda one: (-one.end_ns, one.start_ns)):
            if child.end_ns > until:
                continue
            if child.end_ns < until:
                yield Segment(stay.span_id, child.end_ns, until)
            waiting.append(child)
            until = child.start_ns
        if stay.start_ns < until:
            yield Segment(stay.span_id, stay.start_ns, until)


def _inside(stay: _Stay, children: Sequence[Span]) -> Iterator[_Stay]:
    """Cut children to the time in which their parent waited; those wholly outside were not waited for."""
    for child in children:
        start, end = max(child.start_ns, stay.start_ns), min(child.end_ns, stay.end_ns)
        if start < end:
            yield _Stay(child.span_id, start, end)
