"""Whether a server holds what a dialect cannot do without."""

from __future__ import annotations

import re

from collectors.dialects import Dialect, Need
from collectors.errors import CollectorError
from collectors.prometheus.catalogue import Contents
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.queries import select
from collectors.prometheus.samples import LOOKBACK_MS


async def unmet(client: PrometheusClient, dialect: Dialect, contents: Contents, at_ms: int) -> tuple[Need, ...]:
    """Return the needs that are not met; what cannot be found out is taken for met."""
    return tuple([need for need in dialect.requires if not await _met(client, need, contents, at_ms)])


async def _met(client: PrometheusClient, need: Need, contents: Contents, at_ms: int) -> bool:
    metrics = sorted(name for name in contents.names if re.fullmatch(need.metric, name))
    if not metrics or not need.labels:
        return bool(metrics)
    for label in need.labels:
        selector = select(metrics, client.config.selector, f'{label}!=""')
        try:
            if await client.series(selector, from_ms=at_ms - LOOKBACK_MS, at_ms=at_ms, limit=1):
                return True
        except CollectorError:
            return True
    return False
