"""Targets: which pages there are, and what is known of those who publish them. Pure, but for the port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode, urlsplit

from collectors.errors import CollectorError
from collectors.scrape.config import ScrapeConfig, TargetGroup

HIDDEN = "__"
"""Labels that begin like this are for finding the page; they say nothing of whose it is."""
PARAM = "__param_"
RUN_HEADER = "Meshscope-Run"
"""Which process of meshscope publishes a page: none reads what it has counted already."""
PATH = "/metrics"
ENVOY_PATH = "/stats/prometheus"


class Target(NamedTuple):
    """A page."""

    url: str
    instance: str
    """Names the process that counts."""
    labels: tuple[tuple[str, str], ...]
    """What its page does not tell of it."""
    elsewhere: str = ""
    """Where the page is if it is not there."""


class Discovery(Protocol):
    """Somebody who knows targets."""

    @property
    def error(self) -> str:
        """Why the last look failed, or a part of it; ``""`` when it did not."""
        ...

    async def groups(self) -> Sequence[TargetGroup]:
        """Say which targets there are now; while a look fails, those that were found before."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class Listed:
    """Targets that the settings list."""

    error = ""

    def __init__(self, config: ScrapeConfig) -> None:
        self._groups = (TargetGroup(targets=config.targets), *config.static_configs)

    async def groups(self) -> Sequence[TargetGroup]:
        """Say which."""
        return self._groups

    async def close(self) -> None:
        """Nothing is held."""


def read_groups(document: Any, where: str) -> list[TargetGroup]:
    """Read what Prometheus' file and HTTP service discovery are told: a list of groups of targets."""
    if not isinstance(document, list):
        raise CollectorError(f"{where}: expected a list of groups like {{targets: [host:port], labels: {{…}}}}")
    return [_group(one, f"{where}: group {number}") for number, one in enumerate(document)]


def targets_of(groups: Iterable[TargetGroup], config: ScrapeConfig) -> list[Target]:
    """Make targets. One that is listed twice is one; several that share an instance are told apart by their addresses."""
    found = dict.fromkeys(
        _target(address, {**config.labels, **group.labels}, config) for group in groups for address in group.targets
    )
    shared = Counter(one.instance for one in found)
    return [one if shared[one.instance] == 1 else one._replace(instance=one.url) for one in found]


def _group(document: Any, where: str) -> TargetGroup:
    if not isinstance(document, dict):
        raise CollectorError(f"{where} is no object with targets and labels")
    targets, labels = document.get("targets") or [], document.get("labels") or {}
    if not isinstance(targets, list) or not all(isinstance(one, str) for one in targets):
        raise CollectorError(f"{where}: targets must be a list of texts")
    if not isinstance(labels, dict) or not all(isinstance(one, str) for pair in labels.items() for one in pair):
        raise CollectorError(f"{where}: labels must be texts by name; quote numbers")
    try:
        return TargetGroup(targets=tuple(targets), labels=labels)
    except CollectorError as trouble:
        raise CollectorError(f"{where}: {trouble}") from None


def _target(address: str, labels: Mapping[str, str], config: ScrapeConfig) -> Target:
    told = {name: value for name, value in labels.items() if not name.startswith(HIDDEN)}
    if "://" in address:
        parts = urlsplit(address)
        found = f"{address}{PATH}" if parts.path in {"", "/"} and not parts.query else address
        url, netloc, fixed = found, parts.netloc, found == address
    else:
        path = labels.get("__metrics_path__") or config.metrics_path
        params = {name.removeprefix(PARAM): value for name, value in labels.items() if name.startswith(PARAM)}
        query = f"?{urlencode(params)}" if params else ""
        netloc, fixed = address, bool(path)
        url = f"{labels.get('__scheme__') or config.scheme}://{address}{path or PATH}{query}"
    elsewhere = "" if fixed else url.replace(f"{netloc}{PATH}", f"{netloc}{ENVOY_PATH}", 1)
    instance = told.get("instance") or netloc
    return Target(url, instance, tuple(sorted({**told, "instance": instance}.items())), elsewhere)
