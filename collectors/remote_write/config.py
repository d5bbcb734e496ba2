"""What a user can say about samples that are pushed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from collectors.errors import CollectorError
from collectors.loopback import is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWriteConfig:
    """Where Prometheus servers and agents send samples: ``remote_write: [{url: http://HOST:PORT/api/v1/write}]``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    listen: str = "127.0.0.1"
    """Address to listen on. Any other than a loopback one needs a token."""
    port: int | None = None
    """Path ``/api/v1/write``; 0 takes a free one; unset: none."""
    token: str = ""
    """What senders must present: ``authorization: {credentials: …}`` of Prometheus' ``remote_write``. Empty: nothing."""
    cluster: str = "Kubernetes"
    """The cluster that is meant where a mesh's series name none."""
    cluster_label: str = "cluster"
    """The external label that names the cluster of a series. Empty: none."""
    dialects: tuple[str, ...] = ()
    """Whose metrics to read: ``istio``, ``linkerd`` … Empty: found out by what is sent."""
    dialect_files: tuple[str, ...] = ()
    """TOML files with dialects of one's own; see :mod:`collectors.dialects.from_toml`."""
    replica_labels: tuple[str, ...] = ()
    """Further labels that tell the replicas of one Prometheus apart."""
    most_series: int = 200_000
    """Of more series of a mesh the rest is refused, and told."""
    most_bytes: int = 8 * 1024 * 1024
    """Largest request as it comes over the wire."""
    most_decompressed: int = 64 * 1024 * 1024
    """Largest request after decompression."""

    def __post_init__(self) -> None:
        """Refuse what would let anybody write."""
        if self.port is not None and not self.token and not is_loopback(self.listen):
            raise CollectorError(f"remote_write.token: listening on {self.listen} needs a token")

    def __repr__(self) -> str:
        """Show the address only: the token is secret."""
        return f"RemoteWriteConfig(listen={self.listen!r}, port={self.port!r})"
