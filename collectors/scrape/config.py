"""What a user can say about pages that are to be scraped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from collectors.credentials import Credentials
from collectors.errors import CollectorError

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
HOST_PORT = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s/:@?#\[\]]+)(?::\d{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """Targets that share labels, as in Prometheus' ``static_configs`` and service discovery."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    targets: tuple[str, ...] = ()
    """``host:port``, or a whole address with scheme, path and query."""
    labels: dict[str, str] = field(default_factory=dict)
    """What the pages do not tell of whose they are: ``namespace``, ``app``, ``version``, ``pod``, ``cluster`` …
    ``__scheme__``, ``__metrics_path__`` and ``__param_<name>`` say where the page is, as in Prometheus."""

    def __post_init__(self) -> None:
        """Refuse what is no target and no label."""
        for target in self.targets:
            _check_target(target)
        if wrong := [name for name in self.labels if not LABEL_NAME.fullmatch(name)]:
            raise CollectorError(f"{wrong[0]!r} is no name of a label; it consists of letters, digits and _")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSd(Credentials):
    """A server that lists targets: Prometheus' HTTP service discovery."""

    url: str
    """Where the list is."""
    refresh_s: float = 30.0
    """Pause between two readings of the list."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        _check_address("http_sd.url", self.url)
        self.check_credentials(f"http_sd {self.url}")
        if self.refresh_s <= 0:
            raise CollectorError(f"http_sd {self.url}: refresh_s must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeConfig(Credentials):
    """One ``[[sources]]`` table with ``type = "scrape"``: an Envoy, a Linkerd proxy, a Traefik, an application."""

    type: Literal["scrape"] = "scrape"
    name: str = ""
    """What it is called in the graph's provenance and on the Signals page. Empty: its first target or list."""
    targets: tuple[str, ...] = ()
    """``host:port``, or a whole address such as ``http://10.0.0.7:9901/stats/prometheus``."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels of all targets, whoever lists them; a target's own count more."""
    static_configs: tuple[TargetGroup, ...] = ()
    """Further targets, with labels of their own."""
    file_sd: tuple[str, ...] = ()
    """Files of targets, JSON or YAML, in the form of Prometheus' ``file_sd_configs``; ``*`` may stand in the last part
    of a path. They are watched: a change counts from the next reading on."""
    http_sd: tuple[HttpSd, ...] = ()
    """Servers that list targets."""
    kubernetes: tuple[str, ...] = ()
    """Clusters of ``[[clusters]]``, by name or context, whose pods' proxies are read. Their addresses must be reachable
    from here, as they are within the cluster."""
    metrics_path: str = ""
    """Where targets given as ``host:port`` publish their page. Empty: ``/metrics``, or else Envoy's ``/stats/prometheus``."""
    scheme: Literal["http", "https"] = "http"
    """Of targets given as ``host:port``."""
    cluster: str = "Kubernetes"
    """The cluster that is meant where neither a page nor a target's label ``cluster`` names one."""
    dialects: tuple[str, ...] = ()
    """Whose metrics to read: ``istio``, ``linkerd`` … Empty: found out by each page."""
    dialect_files: tuple[str, ...] = ()
    """TOML files with dialects of one's own; see :mod:`collectors.dialects.from_toml`."""
    interval_s: float = 5.0
    """Pause between two readings."""
    timeout_s: float = 4.0
    """Time for one page."""
    at_once: int = 16
    """Most pages that are fetched at the same time."""
    most_bytes: int = 64 * 1024 * 1024
    """Larger pages are refused."""
    most_targets: int = 5_000
    """Of more targets the rest is not read, and told."""

    def __post_init__(self) -> None:
        """Give it a name; refuse what cannot work."""
        lists = (*self.targets, *(one for group in self.static_configs for one in group.targets), *self.file_sd)
        if not (lists or self.http_sd or self.static_configs or self.kubernetes):
            raise CollectorError(
                "a source of type scrape needs targets, static_configs, file_sd, http_sd or kubernetes"
            )
        TargetGroup(targets=self.targets, labels=self.labels)
        if not self.name:
            object.__setattr__(self, "name", _named([*lists, *(one.url for one in self.http_sd), *self.kubernetes]))
        if self.metrics_path and not self.metrics_path.startswith("/"):
            raise CollectorError(f"source {self.name}: metrics_path must begin with /")
        self.check_credentials(f"source {self.name}")
        for name in ("interval_s", "timeout_s", "at_once", "most_bytes", "most_targets"):
            if getattr(self, name) <= 0:
                raise CollectorError(f"source {self.name}: {name} must be above 0")

    def __repr__(self) -> str:
        """Show the name only: everything else may be secret."""
        return f"ScrapeConfig(name={self.name!r})"


def _named(lists: Iterable[str]) -> str:
    first = next(iter(lists), "scrape")
    return urlsplit(first).netloc if "://" in first else first


def _check_target(target: str) -> None:
    if "://" in target:
        _check_address("targets", target)
    elif not HOST_PORT.fullmatch(target):
        raise CollectorError(f"targets: {target!r} is neither host:port nor an http:// or https:// address")


def _check_address(setting: str, address: str) -> None:
    parts = urlsplit(address)
    if parts.username is not None:
        raise CollectorError(f"{setting}: give the user in username and password, not in the address")
    if parts.scheme not in {"http", "https"} or not HOST_PORT.fullmatch(parts.netloc):
        raise CollectorError(f"{setting}: {address!r} is no http:// or https:// address")
