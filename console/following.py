"""Which proxies do not follow the config, told from those that a change is just reaching."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh_runtime.control import ProxyStatus

PATIENCE_MS = 5000
"""A change reaches a thousand proxies in less; whoever needs longer has a trouble of its own."""


class Following:
    """Remembers since when proxies have stood at the config that they have."""

    def __init__(self) -> None:
        self._since_ms: dict[tuple[str, int], int] = {}

    def astray(self, proxies: Iterable[ProxyStatus], steady_ms: int) -> Mapping[str, str]:
        """Say of instances why they do not follow: they refuse something, or have not moved for ``PATIENCE_MS``."""
        waiting = {(one.instance_id, one.revision_acked): one for one in proxies if not one.in_sync}
        self._since_ms = {key: self._since_ms.get(key, steady_ms) for key in waiting}
        late = {key for key, since_ms in self._since_ms.items() if steady_ms - since_ms >= PATIENCE_MS}
        reasons = {
            key: _refusal(one) or ("has not acknowledged the newest config" if key in late else "")
            for key, one in waiting.items()
        }
        return {instance: why for (instance, _), why in reasons.items() if why}


def _refusal(proxy: ProxyStatus) -> str:
    rejected = next((state.rejected for state in proxy.types.values() if state.rejected), "")
    return proxy.problem or (f"rejected its config: {rejected}" if rejected else "")
