"""Delivers what is queued, endpoint by endpoint, until it is taken or given up."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import random
from collections.abc import Callable, Mapping, Sequence

import aiohttp
from yarl import URL

from console.settings import Endpoint, Webhooks
from console.state.deliveries import Attempt, Delivery, DeliveryLog, State
from console.webhooks.signing import SecretError, key_of, sign
from console.webhooks.targets import GuardedResolver, TargetRefusedError, Targets
from graph.ports import Clock

log = logging.getLogger(__name__)

IDLE_S = 30.0
"""Longest sleep of an endpoint's sender when nothing wakes it."""
LONGEST_RETRY_AFTER_S = 86_400.0
GONE = 410
HOUR_MS = 3_600_000


class EndpointError(ValueError):
    """An endpoint's settings cannot work; says which and why."""


class WebhookSender:
    """A service. Every endpoint has its own course, so a slow one delays nobody else."""

    name = "webhooks"

    def __init__(self, deliveries: DeliveryLog, settings: Webhooks, clock: Clock) -> None:
        self._deliveries = deliveries
        self._settings = settings
        self._clock = clock
        self._targets = Targets(settings.allow_private)
        self._wakes = {endpoint.name: asyncio.Event() for endpoint in settings.endpoints}
        check(settings.endpoints)

    def wake(self) -> None:
        """Look at the queue now: something was added."""
        for event in self._wakes.values():
            event.set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Deliver until cancelled."""
        ready()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forget())
            for endpoint in self._settings.endpoints:
                group.create_task(self._serve(endpoint), name=f"webhook {endpoint.name}")

    async def _forget(self) -> None:
        async for now_ms in self._clock.every(3600):
            await self._deliveries.forget(now_ms - self._settings.keep_days * 24 * HOUR_MS)

    async def _serve(self, endpoint: Endpoint) -> None:
        url = URL(endpoint.url)
        resolver = GuardedResolver(self._targets, encrypted=url.scheme == "https")
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit=1)
        wake = self._wakes[endpoint.name]
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            while True:
                wake.clear()
                delivery = await self._deliveries.due(endpoint.name, self._clock.now_ms())
                if delivery is not None:
                    await self._deliver(session, endpoint, url, delivery)
                    continue
                await self._wait(wake, await self._deliveries.next_due_ms(endpoint.name))

    async def _wait(self, wake: asyncio.Event, due_ms: int | None) -> None:
        pause_s = IDLE_S if due_ms is None else min(IDLE_S, max(0.0, (due_ms - self._clock.now_ms()) / 1000))
        try:
            async with asyncio.timeout(pause_s):
                await wake.wait()
        except TimeoutError:
            return

    async def _deliver(self, session: aiohttp.ClientSession, endpoint: Endpoint, url: URL, delivery: Delivery) -> None:
        at_ms = self._clock.now_ms()
        status, problem, wish = 0, "", ""
        try:
            self._targets.judge_url(url)
            headers = _headers(endpoint, delivery, at_ms // 1000)
            body = delivery.message.body
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                status, wish = answer.status, answer.headers.get("Retry-After", "")
                problem = "" if 200 <= status < 300 else f"answered {status}"
        except TargetRefusedError as refused:
            problem = str(refused)
        except TimeoutError:
            problem = f"no answer within {self._settings.timeout_s:g} s"
        except (aiohttp.ClientError, OSError) as trouble:
            problem = str(_refusal_within(trouble) or trouble) or type(trouble).__name__
        took_ms = self._clock.now_ms() - at_ms
        attempt = Attempt(at_ms=at_ms, took_ms=took_ms, status=status, problem=problem[:500])
        await self._conclude(endpoint, delivery, attempt, wish)

    async def _conclude(self, endpoint: Endpoint, delivery: Delivery, attempt: Attempt, wish: str) -> None:
        pauses = self._settings.retry_after_s
        if not attempt.problem:
            await self._deliveries.record(delivery.number, attempt, State.DELIVERED)
        elif attempt.status == GONE:
            await self._deliveries.record(delivery.number, attempt, State.FAILED)
            await self._deliveries.disable(endpoint.name, "the endpoint answered 410: gone", attempt.at_ms)
        elif delivery.attempts >= len(pauses):
            await self._deliveries.record(delivery.number, attempt, State.FAILED)
        else:
            pause_s = pauses[delivery.attempts] * random.uniform(1.0, 1.1)  # noqa: S311  (spreads load, guards nothing)
            pause_s = max(pause_s, retry_after_s(wish, attempt.at_ms))
            await self._deliveries.record(delivery.number, attempt, State.PENDING, attempt.at_ms + int(pause_s * 1000))
        log.info(
            "webhook attempt",
            extra={
                "endpoint": endpoint.name,
                "id": delivery.message.id,
                "status": attempt.status,
                "problem": attempt.problem,
            },
        )


def check(endpoints: Sequence[Endpoint]) -> None:
    """Refuse endpoints that could never work."""
    names = [endpoint.name for endpoint in endpoints]
    for endpoint in endpoints:
        if names.count(endpoint.name) > 1:
            raise EndpointError(f"webhooks.endpoints: two are called {endpoint.name!r}; names must differ")
        if endpoint.format == "standard" and not endpoint.secrets:
            raise EndpointError(f"webhooks.endpoints {endpoint.name!r}: secrets is empty; Standard Webhooks are signed")
        for secret in endpoint.secrets:
            try:
                key_of(secret)
            except SecretError as trouble:
                raise EndpointError(f"webhooks.endpoints {endpoint.name!r}: {trouble}") from trouble


def retry_after_s(value: str, now_ms: int) -> float:
    """Read a Retry-After header, seconds or date; 0 where it says nothing, a day at most."""
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return min(max(0.0, at.timestamp() - now_ms / 1000), LONGEST_RETRY_AFTER_S)


def _headers(endpoint: Endpoint, delivery: Delivery, now_s: int) -> Mapping[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": "meshscope"}
    if endpoint.authorization:
        headers["Authorization"] = endpoint.authorization
    if endpoint.secrets:
        headers |= sign(delivery.message.id, now_s, delivery.message.body, endpoint.secrets)
    return headers


def _refusal_within(trouble: BaseException) -> TargetRefusedError | None:
    cause: BaseException | None = trouble
    while cause is not None:
        if isinstance(cause, TargetRefusedError):
            return cause
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    return None
