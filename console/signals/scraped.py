"""Pages that are scraped: each source as a whole, and every target that does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from collectors.poll import PollState
from collectors.scrape import ScrapeSource, ScrapeState, TargetState
from console.signals.signal import Advice, Area, Presence, Signal, numbers

DOWN_TOLD = 20
"""So many targets that are down are told one by one."""


def of_scrape(source: ScrapeSource, poll: PollState, now_ms: int) -> Iterator[Signal]:
    """Tell of a source, then of its targets that are down."""
    state = source.state
    down = [one for one in state.targets if one.error]
    yield _whole(source.name, poll, state, down)
    for one in down[:DOWN_TOLD]:
        yield _down(source.name, one, now_ms)


def _whole(name: str, poll: PollState, state: ScrapeState, down: list[TargetState]) -> Signal:
    total = len(state.targets)
    dialects = dict.fromkeys(name for one in state.targets for name in one.dialects)
    facts = [f"{total - len(down)} of {total} targets answer, read every {poll.interval_s:g} s"]
    if dialects:
        facts[0] += f": {', '.join(dialects)}"
    elif len(down) < total:
        facts.append("their pages have nothing of a mesh that is known; if they do, name it in this source's dialects")
    if state.unread:
        facts.append(f"{state.unread} more targets are not read: raise most_targets")
    facts += state.discovery
    if poll.error:
        facts.insert(0, poll.error)
    broken = bool(poll.error or state.discovery or (total and len(down) == total))
    wanting = down or state.unread or not dialects
    return Signal(
        area=Area.METRICS,
        name=f"scrape {name}",
        text="; ".join(facts),
        presence=Presence.FAILING if broken else Presence.MISSING if wanting else Presence.PRESENT,
        advice=()
        if total or state.discovery
        else (Advice(text="Nobody lists a target: give targets, file_sd or http_sd"),),
        counters=numbers(asdict(poll) | {"targets": total, "down": len(down), "unread": state.unread}),
    )


def _down(name: str, target: TargetState, now_ms: int) -> Signal:
    silent = (
        f"silent for {(now_ms - target.last_success_ms) // 1000} s"
        if target.last_success_ms
        else f"never answered in {target.failures} attempts"
    )
    return Signal(
        area=Area.METRICS,
        name=f"scrape {name}: {target.url}",
        text=f"{target.error}; {silent}",
        presence=Presence.FAILING,
        counters=numbers({"failures": target.failures, "last_success_ms": target.last_success_ms}),
    )
