"""What a user can say about a Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from collectors.errors import CollectorError


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusConfig:
    """One ``[[sources]]`` table with ``type = "prometheus"``: Prometheus, Thanos, Mimir or VictoriaMetrics."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

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
    username: str = ""
    """For basic authentication."""
    password: str = ""
    """For basic authentication; better in ``password_file`` or in the environment."""
    password_file: str = ""
    """A file with the password; read again at each request, so that it may be rotated."""
    bearer_token: str = ""
    """Sent as ``Authorization: Bearer``; better in ``bearer_token_file`` or in the environment."""
    bearer_token_file: str = ""
    """A file with the token; read again at each request, so that it may be rotated."""
    headers: dict[str, str] = field(default_factory=dict)
    """Further headers of each request: ``{ X-Scope-OrgID = "tenant" }``."""
    ca_file: str = ""
    """Authorities that may have signed its certificate, instead of the system's."""
    cert_file: str = ""
    """Our own certificate, where it asks for one."""
    key_file: str = ""
    """The key of our certificate, where it is not in the same file."""
    server_name: str = ""
    """The name that its certificate must carry, where that is not the address's host."""
    insecure_skip_verify: bool = False
    """Take any certificate. Whoever is between can read and change everything."""

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
        ways = [bool(self.username), bool(self.bearer_token), bool(self.bearer_token_file)]
        if sum(ways) > 1:
            raise CollectorError(
                f"source {self.name}: give one of username, bearer_token and bearer_token_file, not several"
            )
        if self.password and self.password_file:
            raise CollectorError(f"source {self.name}: give password or password_file, not both")
        if self.key_file and not self.cert_file:
            raise CollectorError(f"source {self.name}: key_file needs cert_file")
        for name in ("interval_s", "timeout_s", "at_once", "most_series", "most_bytes"):
            if getattr(self, name) <= 0:
                raise CollectorError(f"source {self.name}: {name} must be above 0")
        if self.scrape_interval_s < 0:
            raise CollectorError(f"source {self.name}: scrape_interval_s must not be below 0")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        values = (self.password, self.bearer_token, *self.headers.values())
        return tuple(value for value in values if value)

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
