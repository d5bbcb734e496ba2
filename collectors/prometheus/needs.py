"""What a dialect cannot do without, and what it cannot tell, in what a server holds."""

from __future__ import annotations

import re

from collectors.dialects import Dialect, Gap, Need, Sign
from collectors.errors import CollectorError
from collectors.prometheus.catalogue import Contents
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.queries import select
from collectors.prometheus.samples import LOOKBACK_MS


async def unmet(client: PrometheusClient, dialect: Dialect, contents: Contents, at_ms: int) -> tuple[Need, ...]:
    """Return the needs that are not met; what cannot be found out is taken for met."""
    return tuple(
        [
            need
            for need in dialect.requires
            if await _concerned(client, need.beside, contents, at_ms) and not await _met(client, need, contents, at_ms)
        ]
    )


async def gaps(client: PrometheusClient, dialect: Dialect, contents: Contents, at_ms: int) -> tuple[Gap, ...]:
    """Return what the mesh cannot tell in the modes that it runs in."""
    return tuple([gap for gap in dialect.gaps if await _concerned(client, gap.beside, contents, at_ms)])


async def _concerned(client: PrometheusClient, beside: Sign | None, contents: Contents, at_ms: int) -> bool:
    if beside is None:
        return True
    return beside.metric in contents.names and await _any(client, [beside.metric], beside.matcher, at_ms) is True


async def _met(client: PrometheusClient, need: Need, contents: Contents, at_ms: int) -> bool:
    metrics = sorted(name for name in contents.names if re.fullmatch(need.metric, name))
    if not metrics or not need.labels:
        return bool(metrics)
    for label in need.labels:
        if await _any(client, metrics, f'{label}!=""', at_ms) is not False:
            return True
    return False


async def _any(client: PrometheusClient, metrics: list[str], matcher: str, at_ms: int) -> bool | None:
    """Whether there are such series; ``None`` where the server does not say."""
    selector = select(metrics, client.config.selector, matcher)
    try:
        return bool(await client.series(selector, from_ms=at_ms - LOOKBACK_MS, at_ms=at_ms, limit=1))
    except CollectorError:
        return None
