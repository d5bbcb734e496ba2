"""What a user can say about a Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from collectors.credentials import Credentials
from collectors.errors import CollectorError


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusConfig(Credentials):
    """One ``[[sources]]`` table with ``type = "prometheus"``: Prometheus, Thanos, Mimir or VictoriaMetrics."""

    type: Literal["prometheus"] = "prometheus"
    url: str
    """Its address with the path before ``/api/v1``, if any: Mimir's ends with ``/prometheus``, that of
    VictoriaMetrics' cluster with ``/select/0/prometheus``."""
    name: str = ""
    """What it is called in the graph's provenance and on the Signals page. Empty: the address's host and port."""
    cluster: str = "Kubernetes"
    """The cluster that is meant where a mesh's series name none."""
    cluster_label: str = "cluster"
    """The external label that names the cluster of a series, where one server holds several clusters'. Empty: none."""
    dialects: tuple[str, ...] = ()
    """Whose metrics to read: ``istio``, ``linkerd`` … Empty: found out, and looked up again now and then."""
    dialect_files: tuple[str, ...] = ()
    """TOML files with dialects of one's own; see :mod:`collectors.dialects.from_toml`."""
    selector: str = ""
    """Matchers of PromQL that go into every query: ``cluster="prod",env="eu"``. Empty: everything is read."""
    replica_labels: tuple[str, ...] = ()
    """Further labels that tell the replicas of one Prometheus apart; those of its operator, Mimir and Thanos are known."""
    interval_s: float = 5.0
    """Pause between two ticks. Shorter than a few seconds buys little: the samples are as old as the last scrape."""
    scrape_interval_s: float = 0.0
    """How often the proxies are scraped. 0: measured by the samples."""
    most_series: int = 20_000
    """Above so many series in one dialect, increases are asked for instead of samples: cheaper, and no longer exact."""
    timeout_s: float = 10.0
    """Time for one query, the answer's transfer included."""
    at_once: int = 4
    """Most queries at the same time."""
    most_bytes: int = 128 * 1024 * 1024
    """Larger answers are refused."""

    def __post_init__(self) -> None:
        """Move what an address holds of a user into the fields meant for it; refuse what cannot work."""
        object.__setattr__(self, "url", self.url.rstrip("/"))
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not _has_port(parts):
            raise CollectorError(f"sources.url: {_without_user(self.url)!r} is no http:// or https:// address")
        if parts.query or parts.fragment:
            raise CollectorError(f"sources.url: {_without_user(self.url)!r} must end with its path, without ? and #")
        if parts.username is not None:
            object.__setattr__(self, "username", self.username or unquote(parts.username))
            object.__setattr__(self, "password", self.password or unquote(parts.password or ""))
            object.__setattr__(self, "url", _without_user(self.url))
        if not self.name:
            object.__setattr__(self, "name", urlsplit(self.url).netloc)
        self._check()

    def _check(self) -> None:
        self.check_credentials(f"source {self.name}")
        for name in ("interval_s", "timeout_s", "at_once", "most_series", "most_bytes"):
            if getattr(self, name) <= 0:
                raise CollectorError(f"source {self.name}: {name} must be above 0")
        if self.scrape_interval_s < 0:
            raise CollectorError(f"source {self.name}: scrape_interval_s must not be below 0")

    def __repr__(self) -> str:
        """Show the address only: everything else may be secret."""
        return f"PrometheusConfig(name={self.name!r}, url={self.url!r})"


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is one, or there is none."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
