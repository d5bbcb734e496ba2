"""Samples that Prometheus servers push: whether they come, and what of them was refused."""

from __future__ import annotations

from collectors.remote_write.receiver import RemoteWriteReceiver
from console.signals.signal import Advice, Area, Presence, Signal, numbers

SILENT_MS = 90_000
"""Longer than the longest usual scrape interval, and a sender's pause."""


def of_remote_write(one: RemoteWriteReceiver, now_ms: int) -> Signal:
    """Tell how it goes."""
    state = one.intake.state
    advice: tuple[Advice, ...] = ()
    presence = Presence.FAILING if one.error else Presence.PRESENT
    text = f"{state.series} series of {', '.join(state.dialects) or 'no mesh yet'}; listens on port {one.port}"
    if not state.last_ms:
        presence, text = Presence.MISSING, f"nobody has written yet; listens on port {one.port}"
        paste = f"remote_write:\n  - url: http://{one.intake.config.listen}:{one.port}/api/v1/write"
        advice = (Advice(text="Set in the Prometheus that scrapes the mesh:", paste=paste),)
    elif now_ms - state.last_ms > SILENT_MS:
        presence, text = Presence.STALE, f"nobody has written for {(now_ms - state.last_ms) // 1000} s; {text}"
    refused = {f"refused_{reason.name.lower()}": count for reason, count in state.refused.items()}
    counted = {name: getattr(state, name) for name in ("requests", "samples", "series", "last_ms")}
    return Signal(
        area=Area.METRICS,
        name=one.name,
        text=f"{one.error}; {text}" if one.error else text,
        presence=presence,
        advice=advice,
        counters=numbers(counted | refused),
    )
