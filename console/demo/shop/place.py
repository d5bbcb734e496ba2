"""Where one program of the shop runs: what its environment tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The part of the environment that the shop's programs read."""

    port: int = 8000
    version: str = ""
    namespace: str = "shop"
    db_host: str = "127.0.0.1"
    db_port: int = 6379

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Place:
        """Read ``PORT``, ``DB_HOST``, ``DB_PORT``, and version and namespace from the OpenTelemetry resource."""
        resource = _attributes(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
        return cls(
            port=int(environ.get("PORT", "8000")),
            version=resource.get("service.version", ""),
            namespace=resource.get("service.namespace") or resource.get("k8s.namespace.name") or "shop",
            db_host=environ.get("DB_HOST", "127.0.0.1"),
            db_port=int(environ.get("DB_PORT", "6379")),
        )


def _attributes(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {key.strip(): value.strip() for key, _, value in pairs}
