"""Pages to observations: each page shows by itself whose words it is in, unless that was told."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from collectors.dialects import Dialect, Labels, candidates, detect
from collectors.errors import CollectorError
from collectors.exposition import Exposition, read_series
from collectors.scrape.process import began_ms
from collectors.scrape.targets import Target
from graph.model import Observation

NAME = re.compile(r"^[ \t]*([a-zA-Z_:][\w:]*)", re.MULTILINE)
LOOK_AGAIN_MS = 300_000
SAMPLES = 200
"""Series of one metric that are looked at to find a dialect."""


@dataclass(slots=True)
class _Known:
    """What the last pages of one target told."""

    dialects: tuple[str, ...] = ()
    lines: int = -1
    looked_ms: int = 0
    began_ms: int = 0
    """When the process began, as it says."""
    empty_ms: int = 0
    """When it was last seen to have counted nothing yet: whatever it counts began later."""
    counts: bool = False

    @property
    def epoch(self) -> int:
        """When it began to count."""
        return max(self.began_ms, self.empty_ms)


class Reading:
    """Reads pages of any number of targets. Not for several threads at once."""

    def __init__(
        self,
        name: str,
        dialects: Callable[[], Mapping[str, Dialect]],
        *,
        named: Sequence[str] = (),
        cluster: str,
    ) -> None:
        self._name = name
        self._dialects = dialects
        self._named = tuple(named)
        self._cluster = cluster
        self._expositions: dict[tuple[str, str], Exposition] = {}
        self._known: dict[str, _Known] = {}
        if unknown := [one for one in named if one not in dialects()]:
            raise CollectorError(
                f"source {name}: there is no dialect {', '.join(unknown)}; there are {', '.join(dialects())}"
            )

    def instance(self, target: Target) -> str:
        """Name the process behind a target as observations do."""
        return f"{self._name}/{target.instance}"

    def dialects(self, target: Target) -> tuple[str, ...]:
        """In whose words its last page was; none: it has nothing of a mesh."""
        known = self._known.get(self.instance(target))
        return known.dialects if known else ()

    def retain(self, targets: Iterable[Target]) -> None:
        """Forget all others."""
        wanted = {self.instance(one) for one in targets}
        self._known = {name: known for name, known in self._known.items() if name in wanted}
        for exposition in self._expositions.values():
            exposition.retain(wanted)

    def read(self, page: str, target: Target, at_ms: int) -> list[Observation]:
        """Read a page that was asked for at an instant. A broken one is a :class:`CollectorError`."""
        try:
            return self._read(page, target, at_ms)
        except ValueError as wrong:
            raise CollectorError(f"{target.url} has a series that cannot be read: {wrong}") from wrong

    def _read(self, page: str, target: Target, at_ms: int) -> list[Observation]:
        instance, labels = self.instance(target), dict(target.labels)
        known = self._known.setdefault(instance, _Known())
        lines = page.count("\n")
        if lines != known.lines or at_ms - known.looked_ms >= LOOK_AGAIN_MS:
            known.dialects, known.lines, known.looked_ms = self._look(page, labels), lines, at_ms
        known.began_ms = began_ms(page, at_ms, known.began_ms)
        observations = [
            seen
            for dialect in known.dialects
            for seen in self._exposition(dialect, labels.get("cluster") or self._cluster).read(
                page, instance=instance, epoch=known.epoch, at_ms=at_ms, origin=target.url, target=labels
            )
        ]
        known.counts = known.counts or bool(observations)
        known.empty_ms = known.empty_ms if known.counts else at_ms
        return observations

    def _look(self, page: str, labels: Labels) -> tuple[str, ...]:
        if self._named:
            return self._named
        dialects = self._dialects()
        names = set(NAME.findall(page))
        probed = {metric for metrics in candidates(names, dialects).values() for metric in metrics}
        return detect(names, list(_samples(page, probed, labels)), dialects)

    def _exposition(self, dialect: str, cluster: str) -> Exposition:
        key = (dialect, cluster)
        if key not in self._expositions:
            self._expositions[key] = Exposition(self._dialects()[dialect], cluster=cluster)
        return self._expositions[key]


def _samples(page: str, metrics: Collection[str], labels: Labels) -> Iterable[Labels]:
    for metric in metrics:
        series = re.finditer(rf"^[ \t]*{re.escape(metric)}[ \t]*\{{.*\}}", page, re.MULTILINE)
        for one, _ in zip(series, range(SAMPLES), strict=False):
            yield {**labels, **read_series(one[0])[1], "__name__": metric}
