"""What stands in the way of a server on this machine, whether it runs or not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from console.datadir import DataDir
from console.doctor import machine, ports
from console.doctor.elsewhere import elsewhere
from console.settings import Settings
from console.signals.signal import Signal


def of_machine(settings: Settings, data: DataDir, *, serving: bool) -> Iterator[Signal]:
    """Check what a server stands on. *serving*: it runs, so that its ports are taken by itself."""
    yield machine.envoy()
    yield machine.directory(data)
    yield machine.disk(data, settings)
    yield from machine.limits()
    if not serving:
        yield from ports.ports(settings)


async def of_settings(settings: Settings) -> AsyncIterator[Signal]:
    """Ask everybody whom the settings name, as a server would."""
    async for signal in elsewhere(settings):
        yield signal
