"""Answers with raw samples, taken apart into series that are known by their text. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import orjson

from collectors.dialects import Labels
from collectors.prometheus.answers import END, VALUES, compact
from collectors.prometheus.processes import Series
from graph.arrays import Floats, Ints

CLOSING = ord("}")

NEXT = b"],["
"""What stands between two samples of a series."""
PUNCTUATION = b'[]"'
NO_NUMBER = re.compile(rb"[+-]?(?:NaN|Inf)")


class Told(NamedTuple):
    """The series of an answer that are about edges, and their samples, one after the other."""

    series: Sequence[Series]
    lengths: Ints
    """How many samples each has."""
    at_s: Floats
    values: Floats
    """-1: no number."""

    def some(self, wanted: Iterable[bool]) -> Iterator[tuple[Series, Sequence[tuple[float, float]]]]:
        """Give these series with their samples."""
        samples = list(zip(self.at_s.tolist(), self.values.tolist(), strict=True))
        ends = np.cumsum(self.lengths)
        for series, begin, end, is_wanted in zip(
            self.series, (ends - self.lengths).tolist(), ends.tolist(), wanted, strict=True
        ):
            if is_wanted:
                yield series, samples[begin:end]


class Lines:
    """Remembers how series are written: labels are nine tenths of an answer, and the same in every one."""

    def __init__(self, learn: Callable[[Labels], Series | None]) -> None:
        """``learn`` is told the labels of a series that is met for the first time."""
        self._learn = learn
        self._known: dict[bytes, _Line] = {}
        self._first = _Line(b"", None)

    def __len__(self) -> int:
        """How many series are followed."""
        return sum(line.series is not None for line in self._known.values())

    def read(self, answer: bytes) -> Told:
        """Take an answer apart, as :func:`answers.read_samples` gives it; ``ValueError`` where it is none."""
        try:
            return self._read(answer)
        except ValueError:
            # Native histograms stand among the samples.
            return self._read(compact(orjson.loads(b"[%b]" % answer)))

    def _read(self, answer: bytes) -> Told:
        """Take an answer without native histograms apart. Each series mostly has the same neighbour as ever."""
        found: list[Series] = []
        samples: list[bytes] = []
        before, at, end_of = self._first, 0, answer.index
        while at < len(answer):
            line = before.next
            if line is not None and answer.startswith(line.text, at):
                begin = at + line.size
            else:
                begin = end_of(VALUES, at) + len(VALUES)
                line = before.next = self._line(answer[at:begin])
            end = end_of(END, begin) + len(END)
            if answer[end] != CLOSING:
                raise ValueError("more than samples")
            if line.series is not None:
                found.append(line.series)
                samples.append(answer[begin:end])
            before, at = line, end + len(b"},")
        lengths = np.array([1 + one.count(NEXT) for one in samples], np.int64)
        numbers = _numbers(b",".join(samples)).reshape(int(lengths.sum()), 2)
        return Told(found, lengths, numbers[:, 0], numbers[:, 1])

    def keep(self, is_wanted: Callable[[Series], bool]) -> None:
        """Forget all series but these."""
        self._known = {text: line for text, line in self._known.items() if line.series and is_wanted(line.series)}
        for line in (self._first, *self._known.values()):
            line.next = None

    def _line(self, text: bytes) -> _Line:
        known = self._known.get(text)
        if known is None:
            labels = orjson.loads(text.removesuffix(b',"values":') + b"}")["metric"]
            known = self._known[text] = _Line(text, self._learn(labels))
        return known


def _numbers(samples: bytes) -> Floats:
    """The instants and values of samples, which are strings; decoded flat, that is a third of the time."""
    flat = samples.translate(None, PUNCTUATION)
    try:
        numbers = orjson.loads(b"[%b]" % flat)
    except orjson.JSONDecodeError:
        numbers = orjson.loads(b"[%b]" % NO_NUMBER.sub(b"-1", flat))
    return np.array(numbers, np.float64)


class _Line:
    """How a series is written in answers, up to its samples."""

    __slots__ = ("next", "series", "size", "text")

    def __init__(self, text: bytes, series: Series | None) -> None:
        self.text = text
        self.size = len(text)
        self.series = series
        """``None``: it is not about edges."""
        self.next: _Line | None = None
        """What followed it last time."""
