"""TCP bytes while connections last: a proxy's count per listener, shared among the edges behind it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.dialects import Identity, Measure, Tcp

OPENED, CLOSED = Tcp("opened"), Tcp("closed")
Sums = dict[Measure, float]


class LiveBytes:
    """Turns one proxy's bytes per listener into bytes per identity, which only ever grow while the proxy runs.

    Mostly there is one identity behind a listener, and the shares are exact. Where there are several (two versions
    of a database, say) what flowed since the last page is shared by their open connections: the sum stays exact.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._last: dict[tuple[str, str], float] = {}
        self._shares: dict[tuple[Identity, str], float] = {}

    def share(self, sums: Mapping[Identity, Sums], flowing: Mapping[tuple[str, str], float]) -> None:
        """Replace the bytes in *sums*, known of ended connections only, wherever a listener counts them live.

        What listeners count never falls.
        """
        for (listener, field), now in flowing.items():
            behind = [identity for identity in sums if identity.listener == listener]
            if not behind:
                continue
            before = self._last.get((listener, field), 0.0)
            self._last[listener, field] = now
            for identity, weight in zip(behind, _weights([sums[one] for one in behind]), strict=True):
                share = self._shares.get((identity, field), 0.0) + (now - before) * weight
                self._shares[identity, field] = sums[identity][Tcp(field)] = share


def _weights(sums: list[Sums]) -> list[float]:
    opened = [one.get(OPENED, 0.0) for one in sums]
    still_open = [max(0.0, all_ - one.get(CLOSED, 0.0)) for all_, one in zip(opened, sums, strict=True)]
    weights = still_open if any(still_open) else opened
    total = sum(weights)
    return [weight / total for weight in weights] if total else [1 / len(sums)] * len(sums)
