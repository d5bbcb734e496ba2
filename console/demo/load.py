"""Requests at a rate that does not depend on the answers (an open loop), and what came of them.

``python -m console.demo.load --url http://127.0.0.1:8080`` browses the shop as people do, until stopped.
``--paths /a,/b --requests 5000 --rate 200 --json`` measures: each latency counts from the instant at which the
request was due, so an answer that is late does not hide those that had to wait behind it. A request that is due
while too many are still open is counted as dropped, never sent later.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from console.demo.shop.goods import SHELF

RATE = 20.0
TIMEOUT_S = 10.0
MOST_OPEN = 2000
KEPT_LATENCIES = 100_000
REPORT_EVERY_S = 10.0
WORDS = ("beans", "kettle", "grinder", "glass", "caramel", "filters", "tea")


class Ask(NamedTuple):
    """One request to make."""

    method: str
    path: str
    cookie: str = ""
    form: tuple[tuple[str, str], ...] = ()


@dataclass
class Report:
    """What was asked and what came back."""

    target_rate: float
    sent: int = 0
    completed: int = 0
    """Answered, whatever the status."""
    failed: int = 0
    """Not answered: no connection, a broken one, or too late."""
    dropped: int = 0
    """Not sent, because too many were open."""
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first answer."""
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))
    """Of the newest answers."""

    @property
    def errors(self) -> int:
        """Requests without an answer, or with one of 500 and above."""
        return self.failed + sum(count for status, count in self.statuses.items() if status >= 500)

    @property
    def rate(self) -> float:
        """Requests per second that were really sent."""
        return self.sent / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Give the latency that this share of the answered requests did not exceed, in milliseconds."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0

    def json(self) -> dict[str, Any]:
        """Plain, for ``--json``."""
        quantiles = {name: self.quantile(q) for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))}
        return {
            "sent": self.sent,
            "completed": self.completed,
            "failed": self.failed,
            "dropped": self.dropped,
            "errors": self.errors,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "reasons": dict(self.reasons),
            "seconds": round(self.seconds, 3),
            "target_rate": self.target_rate,
            "achieved_rate": round(self.rate, 2),
            "latency_ms": {name: round(value, 2) for name, value in quantiles.items()},
        }

    def line(self) -> str:
        """Sum up in one line."""
        return (
            f"{self.rate:.1f} of {self.target_rate:g} requests/s, {self.sent} sent, {self.errors} errors,"
            f" {self.dropped} dropped, p50 {self.quantile(0.5):.0f} ms, p99 {self.quantile(0.99):.0f} ms"
        )


def browse(chance: random.Random) -> Iterator[Ask]:
    """Make requests as visitors would, without end: mostly looking, sometimes buying."""
    while True:
        skus = [product.sku for product in SHELF]
        match chance.choices(["home", "look", "search", "basket", "buy"], [28, 40, 15, 11, 6])[0]:
            case "home":
                yield Ask("GET", "/")
            case "look":
                yield Ask("GET", f"/products/{chance.choice(skus)}")
            case "search":
                yield Ask("GET", f"/search?q={chance.choice(WORDS)}")
            case "basket":
                sku = chance.choice(skus)
                yield Ask("POST", "/cart", form=(("sku", sku), ("quantity", "1")))
                yield Ask("GET", "/cart", cookie=f"cart={sku}:1")
            case "buy":
                lines = ".".join(f"{sku}:{chance.randint(1, 2)}" for sku in chance.sample(skus, chance.randint(1, 3)))
                yield Ask("GET", "/cart", cookie=f"cart={lines}")
                yield Ask("POST", "/checkout", cookie=f"cart={lines}")


def visit(paths: Iterable[str]) -> Iterator[Ask]:
    """Make GET requests to the paths in turn, without end."""
    asks = [Ask("GET", path) for path in paths]
    while True:
        yield from asks


def arrivals(rate: float, chance: random.Random | None) -> Iterator[float]:
    """Give the seconds at which requests are due: evenly, or as people come, by chance."""
    due = 0.0
    while True:
        yield due
        due += chance.expovariate(rate) if chance else 1 / rate


async def generate(
    url: str,
    asks: Iterable[Ask],
    *,
    rate: float = RATE,
    duration_s: float | None = None,
    requests: int | None = None,
    chance: random.Random | None = None,
    most_open: int = MOST_OPEN,
    timeout_s: float = TIMEOUT_S,
    report: Report | None = None,
    stopped: asyncio.Event | None = None,
    addresses: Mapping[str, Sequence[str]] | None = None,
    verify: bool = True,
) -> Report:
    """Send until the duration, the number or *stopped* ends it, then wait for what is open.

    With *chance* requests arrive as people do, else evenly. Redirects are not followed, so one request counts once.
    A name in *addresses* is not looked up: a connection is tried at each of its addresses until one takes it.
    """
    loop = asyncio.get_running_loop()
    report = report or Report(target_rate=rate)
    stopped = stopped or asyncio.Event()
    limits = aiohttp.ClientTimeout(total=timeout_s)
    resolver = _Known(addresses) if addresses else None
    connector = aiohttp.TCPConnector(limit=0, resolver=resolver, use_dns_cache=False, ssl=verify)
    async with aiohttp.ClientSession(
        url, timeout=limits, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        begun = loop.time()
        open_now = 0

        async def send(ask: Ask, due: float) -> None:
            nonlocal open_now
            open_now += 1
            try:
                await _send(session, ask, due, report)
            finally:
                open_now -= 1

        async with asyncio.TaskGroup() as group:
            for number, (after_s, ask) in enumerate(zip(arrivals(rate, chance), asks, strict=False)):
                if number == requests or (duration_s is not None and after_s >= duration_s):
                    break
                if await _waited(stopped, begun + after_s - loop.time()):
                    break
                report.seconds = max(loop.time() - begun, (report.sent + 1) / rate if chance is None else 0.0)
                if open_now >= most_open:
                    report.dropped += 1
                else:
                    report.sent += 1
                    group.create_task(send(ask, begun + after_s))
    return report


class _Known(AbstractResolver):
    """Knows the addresses of some names, each time in another order, and no other names."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self._addresses = {name: list(known) for name, known in addresses.items()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        known = self._addresses.get(host)
        if known is None:
            raise OSError(f"{host} is not among the names given by --resolve")
        known.append(known.pop(0))
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for one in known
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _waited(stopped: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until stopped; tell whether it was the latter. Always lets others run."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return stopped.is_set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopped.wait()
    return stopped.is_set()


async def _send(session: aiohttp.ClientSession, ask: Ask, due: float, report: Report) -> None:
    headers = {"cookie": ask.cookie} if ask.cookie else {}
    try:
        async with session.request(
            ask.method, ask.path, headers=headers, data=dict(ask.form) or None, allow_redirects=False
        ) as answer:
            await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        report.failed += 1
        report.reasons[type(error).__name__] += 1
        return
    report.completed += 1
    report.began.set()
    report.statuses[answer.status] += 1
    report.latencies_ms.append((asyncio.get_running_loop().time() - due) * 1000)


def _resolved(pair: str) -> tuple[str, list[str]]:
    name, _, known = pair.partition("=")
    return name, known.split(",")


async def _tell(report: Callable[[], Report], stopped: asyncio.Event) -> None:
    while not await _waited(stopped, REPORT_EVERY_S):
        print(report().line(), flush=True)  # noqa: T201


async def _touch_when(happened: asyncio.Event, path: Path) -> None:
    await happened.wait()
    path.touch()  # noqa: ASYNC240  one file, once


async def _main(options: argparse.Namespace) -> int:
    chance = None if options.paths or options.steady else random.Random(options.seed)  # noqa: S311 - visitors
    asks = visit(options.paths.split(",")) if options.paths else browse(random.Random(options.seed))  # noqa: S311
    report, stopped = Report(target_rate=options.rate), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with asyncio.TaskGroup() as group:
        teller = None if options.json else group.create_task(_tell(lambda: report, stopped))
        beginning = group.create_task(_touch_when(report.began, options.began)) if options.began else None
        await generate(
            options.url,
            asks,
            rate=options.rate,
            duration_s=options.duration,
            requests=options.requests,
            chance=chance,
            timeout_s=options.timeout,
            report=report,
            stopped=stopped,
            addresses=dict(_resolved(pair) for pair in options.resolve),
            verify=not options.insecure,
        )
        for task in (teller, beginning):
            if task:
                task.cancel()
    print(json.dumps(report.json()) if options.json else report.line(), flush=True)  # noqa: T201
    return 0 if report.completed else 1


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; exits 1 where nothing was answered."""
    parser = argparse.ArgumentParser(prog="python -m console.demo.load", description=__doc__.split("\n\n")[0])
    parser.add_argument("--url", required=True, help="the gateway, such as http://127.0.0.1:8080")
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second (default %(default)g)")
    parser.add_argument("--duration", type=float, help="seconds (default: until stopped)")
    parser.add_argument("--requests", type=int, help="stop after so many")
    parser.add_argument("--paths", default="", help="comma-separated paths to GET in turn instead of shopping")
    parser.add_argument("--steady", action="store_true", help="evenly, not as people come (always so with --paths)")
    parser.add_argument("--began", type=Path, help="create this file when the first answer has come")
    parser.add_argument("--insecure", action="store_true", help="take any certificate")
    parser.add_argument(
        "--resolve", action="append", default=[], metavar="NAME=IP,IP", help="where a name is; each address is tried"
    )
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds to wait for an answer")
    parser.add_argument("--seed", type=int, help="for the same visitors again")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, and nothing before")
    options = parser.parse_args(arguments)
    if options.rate <= 0:
        parser.error("--rate must be above 0")
    return asyncio.run(_main(options))


if __name__ == "__main__":
    sys.exit(main())
