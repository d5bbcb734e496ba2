"""Answers with raw samples, taken apart into series that are known by their text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from collectors.dialects import Labels
from collectors.prometheus.answers import END, VALUES, compact
from collectors.prometheus.processes import Series

CLOSING = ord("}")

Told = tuple[Series | None, Sequence[Sequence[Any]]]
"""A series, ``None`` where it is not about edges, and its samples as the server writes them: instants and values."""


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

    def read(self, answer: bytes) -> Iterable[Told]:
        """The series of an answer, as :func:`answers.read_samples` gives it, and their samples as pairs.

        Raises ``ValueError`` where it is none.
        """
        try:
            return self._read(answer)
        except ValueError:
            # Native histograms stand among the samples.
            return self._read(compact(orjson.loads(b"[%b]" % answer)))

    def _read(self, answer: bytes) -> Iterable[Told]:
        """Take an answer without native histograms apart. Each series mostly has the same neighbour as ever."""
        found: list[Series | None] = []
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
            found.append(line.series)
            samples.append(answer[begin:end])
            before, at = line, end + len(b"},")
        return zip(found, orjson.loads(b"[%b]" % b",".join(samples)), strict=True)

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
