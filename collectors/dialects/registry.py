"""Which dialects there are, and which of them a Prometheus holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path

from collectors.dialects import (
    appmesh,
    consul,
    envoy,
    hubble,
    istio,
    kuma,
    linkerd,
    nginx_sm,
    osm,
    service_graph,
    traefik,
)
from collectors.dialects.dialect import Dialect, Labels
from collectors.dialects.from_toml import read_file
from collectors.errors import CollectorError

GROUP = "meshscope.dialects"
BUILT_IN: tuple[Dialect, ...] = (
    istio.DIALECT,
    linkerd.CLASSIC,
    linkerd.ROUTES,
    consul.DIALECT,
    kuma.KUMA2,
    kuma.KUMA3,
    hubble.HTTP_V2,
    hubble.HTTP_V1,
    appmesh.COUNTED,
    appmesh.PLAIN,
    nginx_sm.DIALECT,
    osm.DIALECT,
    traefik.DIALECT,
    envoy.DIALECT,
    service_graph.DIALECT,
)


def known(paths: Iterable[Path] = ()) -> Mapping[str, Dialect]:
    """All dialects by name: built in, of installed packages, of TOML files; a later one replaces its namesake.

    A package or file that does not give a dialect is a :class:`CollectorError` that names it.
    """
    return {one.name: one for one in (*BUILT_IN, *_installed(), *map(read_file, paths))}


def candidates(
    metric_names: Collection[str], dialects: Mapping[str, Dialect] | None = None
) -> Mapping[str, tuple[str, ...]]:
    """Name the dialects whose metrics there are, and which metrics :func:`detect` wants series of to be sure.

    Of other meshes' series there may be many more: ask for those that the dialect's ``selector`` selects.
    """
    found = {
        one.name: tuple(_probed(one, metric_names)) for one in (known() if dialects is None else dialects).values()
    }
    return {name: metrics for name, metrics in found.items() if metrics}


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
    present = [one for one in candidates.values() if _present(one, metric_names, by_metric)]
    names = {one.name for one in present}
    return tuple(one.name for one in present if names.isdisjoint(one.covered_by))


def _present(dialect: Dialect, names: Collection[str], samples: Mapping[str, Collection[Labels]]) -> bool:
    return any(
        any(dialect.read(name, labels, "") for labels in samples[name]) if name in samples else not dialect.sample_tells
        for name in _probed(dialect, names)
    )


def _probed(dialect: Dialect, names: Collection[str]) -> Iterable[str]:
    pattern = re.compile(dialect.metric_pattern) if dialect.metric_pattern else None
    probe = set(dialect.probe or dialect.metrics)
    return [name for name in names if name in probe or (pattern and pattern.fullmatch(name))]


def _installed() -> Iterable[Dialect]:
    for entry in entry_points(group=GROUP):
        found = entry.load()
        if not isinstance(found, Dialect):
            raise CollectorError(
                f"entry point {entry.name!r} of group {GROUP} is {type(found).__name__}, not a Dialect"
            )
        yield found
