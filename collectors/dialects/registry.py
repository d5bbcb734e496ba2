"""Which dialects there are, and which of them a Prometheus holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path

from collectors.dialects import istio
from collectors.dialects.dialect import Dialect, Labels
from collectors.errors import CollectorError

GROUP = "meshscope.dialects"
BUILT_IN: tuple[Dialect, ...] = (istio.DIALECT,)


def known(paths: Iterable[Path] = ()) -> Mapping[str, Dialect]:
    """All dialects by name: built in, of installed packages, of TOML files; a later one replaces its namesake.

    A package or file that does not give a dialect is a :class:`CollectorError` that names it.
    """
    if files := list(paths):
        raise CollectorError(f"{files[0]}: dialects cannot be read from files yet")
    return {one.name: one for one in (*BUILT_IN, *_installed())}


def detect(
    metric_names: Collection[str],
    samples: Iterable[Labels] = (),
    dialects: Mapping[str, Dialect] | None = None,
) -> tuple[str, ...]:
    """Name the dialects whose metrics are there, in the order of *dialects*.

    *samples* are label sets with ``__name__``, as Prometheus' ``/api/v1/series`` gives them: where there are some of
    a metric, a dialect must be able to read one of them. Several meshes share Envoy's names, and differ by labels.
    """
    by_metric: dict[str, list[Labels]] = {}
    for labels in samples:
        by_metric.setdefault(labels.get("__name__", ""), []).append(labels)
    candidates = known() if dialects is None else dialects
    return tuple(name for name, one in candidates.items() if _present(one, metric_names, by_metric))


def _present(dialect: Dialect, names: Collection[str], samples: Mapping[str, Collection[Labels]]) -> bool:
    pattern = re.compile(dialect.metric_pattern) if dialect.metric_pattern else None
    probe = set(dialect.probe or dialect.metrics)
    there = [name for name in names if name in probe or (pattern and pattern.fullmatch(name))]
    return any(
        any(dialect.read(name, labels, "") for labels in samples[name]) if name in samples else True for name in there
    )


def _installed() -> Iterable[Dialect]:
    for entry in entry_points(group=GROUP):
        found = entry.load()
        if not isinstance(found, Dialect):
            raise CollectorError(
                f"entry point {entry.name!r} of group {GROUP} is {type(found).__name__}, not a Dialect"
            )
        yield found
