"""What a server's own configuration takes away from a mesh's series, and how it would leave them. Pure.

Prometheus tells its configuration at ``/api/v1/status/config``. Of a scrape job's ``metric_relabel_configs`` those rules
are read that take away labels (``labeldrop``, ``labelkeep``) or metrics by name (``drop``, ``keep``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from collectors.dialects import Dialect

Rule = Mapping[str, Any]
SECTION = "metric_relabel_configs"
BY_NAME = ["__name__"]
PLAIN = re.compile(r"[\w:|]+")
"""A regular expression that is a list of names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one rule of a scrape job takes away, and the job's rules as they would not."""

    job: str
    rule: str
    """As it is written in the configuration."""
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    mended: str
    """The job's ``metric_relabel_configs``, as YAML to paste."""


def losses(configuration: str, dialect: Dialect, jobs: Collection[str]) -> tuple[Loss, ...]:
    """Find what is taken away from a dialect's series in the jobs that scrape it; any job, where none is known."""
    return tuple(loss for job in _jobs(configuration, jobs) for loss in _of_job(job, dialect))


def _of_job(job: Mapping[str, Any], dialect: Dialect) -> Iterator[Loss]:
    rules = [rule for rule in job.get(SECTION) or () if isinstance(rule, dict)]
    mended = _section([kept for rule in rules for kept in _mended(rule, dialect)])
    for rule in rules:
        labels = tuple(label for label in dialect.labels if _takes_label(rule, label))
        metrics = tuple(metric for metric in dialect.metrics if _takes_metric(rule, metric))
        if labels or metrics:
            yield Loss(
                job=str(job.get("job_name", "")),
                rule=_written(rule),
                labels=labels,
                metrics=metrics,
                mended=mended,
            )


def _jobs(configuration: str, wanted: Collection[str]) -> Sequence[Mapping[str, Any]]:
    try:
        tree = yaml.safe_load(configuration) or {}
    except yaml.YAMLError:
        return ()
    found = tree.get("scrape_configs") or () if isinstance(tree, dict) else ()
    every = [job for job in found if isinstance(job, dict)]
    return [job for job in every if job.get("job_name") in wanted] or every


def _takes_label(rule: Rule, label: str) -> bool:
    match rule.get("action"):
        case "labeldrop":
            return _matches(rule, label)
        case "labelkeep":
            return not _matches(rule, label)
    return False


def _takes_metric(rule: Rule, metric: str) -> bool:
    if rule.get("source_labels") != BY_NAME:
        return False
    match rule.get("action"):
        case "drop":
            return _matches(rule, metric)
        case "keep":
            return not _matches(rule, metric)
    return False


def _matches(rule: Rule, text: str) -> bool:
    try:
        return re.fullmatch(str(rule.get("regex", "(.*)")), text) is not None
    except re.error:  # what RE2 knows and Python does not
        return False


def _mended(rule: Rule, dialect: Dialect) -> Iterator[Rule]:
    """Yield what of a rule may stay: all that it does to what the dialect does not read."""
    regex = str(rule.get("regex", "(.*)"))
    taken = [
        *(label for label in dialect.labels if _takes_label(rule, label)),
        *(metric for metric in dialect.metrics if _takes_metric(rule, metric)),
    ]
    if not taken:
        yield rule
    elif rule["action"] in {"labelkeep", "keep"}:
        yield {**rule, "regex": "|".join([regex, *taken])}
    elif PLAIN.fullmatch(regex) and (harmless := [name for name in regex.split("|") if name not in taken]):
        yield {**rule, "regex": "|".join(harmless)}


def _section(rules: Sequence[Rule]) -> str:
    return f"{SECTION}:\n" + "".join(f"  - {_written(rule)}\n" for rule in rules) if rules else f"{SECTION}: []\n"


def _written(rule: Rule) -> str:
    """Write a rule as one line, without what Prometheus adds as defaults."""
    defaults = {"separator": ";", "replacement": "$1"}
    told = {name: value for name, value in rule.items() if defaults.get(name) != value}
    return yaml.safe_dump(told, default_flow_style=True, width=100_000, sort_keys=False).strip()
