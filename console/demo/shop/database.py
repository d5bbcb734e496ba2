"""The shop's Redis, reached through the sidecar like everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from console.demo.shop.place import Place

TIMEOUT_S = 3.0


class Database:
    """One connection pool, open for as long as the application runs."""

    def __init__(self, place: Place) -> None:
        self.redis: Redis = Redis(
            host=place.db_host,
            port=place.db_port,
            decode_responses=True,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 4),
        )

    async def opened(self, _app: web.Application) -> AsyncIterator[None]:
        """Close the pool at the end (``app.cleanup_ctx``)."""
        try:
            yield
        finally:
            await self.redis.aclose()
