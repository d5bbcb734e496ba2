"""Health in words and tones; colour never stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from graph.model import Health

WORDS: Mapping[Health, str] = MappingProxyType(
    {
        Health.FAILURE: "Failing",
        Health.DEGRADED: "Degraded",
        Health.NOT_READY: "Not ready",
        Health.HEALTHY: "Healthy",
        Health.IDLE: "No traffic",
    }
)
TONES: Mapping[Health, str] = MappingProxyType(
    {
        Health.FAILURE: "error",
        Health.DEGRADED: "warn",
        Health.NOT_READY: "warn",
        Health.HEALTHY: "ok",
        Health.IDLE: "idle",
    }
)
