"""A dialect's queries: one set per tick, for all namespaces at once. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from collectors.dialects import COLLECTED_BY, Dialect

LE = "le"
NOT_OURS = ",".join(f'{name}!="{value}"' for name, value in COLLECTED_BY.items())
"""What meshscope publishes, and a Prometheus collects, must not come back as if it were another mesh's."""


def present(dialect: Dialect, names: Collection[str]) -> tuple[str, ...]:
    """Name the metrics of the dialect that there are; with an unknown catalogue all that it names."""
    if not names:
        return dialect.metrics
    pattern = re.compile(dialect.metric_pattern) if dialect.metric_pattern else None
    made_up = sorted(name for name in names if pattern and pattern.fullmatch(name) and name not in dialect.metrics)
    return (*(name for name in dialect.metrics if name in names), *made_up)


def select(metrics: Collection[str], *matchers: str) -> str:
    """Select series of these metrics."""
    further = [matcher.strip().strip(",") for matcher in (*matchers, NOT_OURS) if matcher.strip()]
    if len(metrics) == 1:
        return f"{next(iter(metrics))}{{{','.join(further)}}}"
    names = "|".join(map(re.escape, metrics))
    return "{" + ",".join([f"__name__=~{_quoted(names)}", *further]) + "}"


def probe(dialect: Dialect, metrics: Collection[str], *matchers: str) -> str:
    """Select the series by which a dialect is known; names that are made up as traffic flows by their pattern."""
    if not dialect.metric_pattern:
        return select(metrics, dialect.selector, *matchers)
    further = ",".join(one for one in (dialect.selector, *matchers, NOT_OURS) if one)
    return f"{{__name__=~{_quoted(dialect.metric_pattern)},{further}}}"


def _quoted(text: str) -> str:
    """A string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def exactly(labels: Mapping[str, str]) -> str:
    """Select one series."""
    return "{" + ",".join(f"{name}={_quoted(value)}" for name, value in labels.items()) + "}"


def sample_queries(metrics: Collection[str], range_ms: int, *matchers: str) -> list[str]:
    """Select raw samples of a range, in up to two queries: a server evaluates them side by side."""
    buckets = [name for name in metrics if name.endswith("_bucket")]
    others = [name for name in metrics if not name.endswith("_bucket")]
    return [f"{select(group, *matchers)}[{range_ms}ms]" for group in (others, buckets) if group]


def count_query(metrics: Collection[str], *matchers: str) -> str:
    """How many series there are."""
    return f"count({select(metrics, *matchers)})"


def jobs_query(metrics: Collection[str], *matchers: str) -> str:
    """Which scrape jobs they come from."""
    return f"group by (job) ({select(metrics, *matchers)})"


def increase_query(metric: str, labels: Iterable[str], replicas: Collection[str], range_ms: int, *matchers: str) -> str:
    """What one metric counted in a range: replicas of one count once, then summed up over all instances."""
    increase = f"increase({select([metric], *matchers)}[{range_ms}ms])"
    if replicas:
        increase = f"max without ({', '.join(sorted(replicas))}) ({increase})"
    kept = [label for label in labels if label != LE or metric.endswith("_bucket")]
    return f"sum by ({', '.join(kept)}) ({increase})"


def starts_query(addresses: Iterable[str], range_ms: int, *matchers: str) -> str:
    """When the processes behind these scraped addresses started; of those that started again, the first time."""
    alternatives = "|".join(map(re.escape, addresses))
    scope = ",".join([f"instance=~{_quoted(alternatives)}", *(matcher for matcher in matchers if matcher)])
    first = f"min_over_time(process_start_time_seconds{{{scope}}}[{range_ms}ms])"
    return f"{first} or (time() - envoy_server_uptime{{{scope}}})"
