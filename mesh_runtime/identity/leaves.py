"""The leaves in use: one per proxy, renewed at half their life or at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mesh_runtime.identity.authority import Authority, Leaf


class Leaves:
    """Each proxy's present leaf. Replicas share an identity, never a key."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._current: dict[str, Leaf] = {}
        self._ending: set[str] = set()
        """Whose leaf is to be another one, when it is next asked for: signing takes time."""

    @property
    def current(self) -> Mapping[str, Leaf]:
        """Leaf by node id."""
        return self._current

    def leaf(self, node_id: str, identity: str) -> Leaf:
        """Return the proxy's leaf; issue one if it has none, is to have another or stands for another identity."""
        leaf = self._current.get(node_id)
        if leaf is None or leaf.identity != identity or node_id in self._ending:
            leaf = self._current[node_id] = self._authority.issue(identity)
            self._ending.discard(node_id)
        return leaf

    def keep_only(self, node_ids: Collection[str]) -> None:
        """Forget the leaves of proxies that are gone."""
        for node_id in self._current.keys() - set(node_ids):
            del self._current[node_id]
            self._ending.discard(node_id)

    def renew_due(self, now_ms: int) -> bool:
        """Have every leaf that is due be another one from now on. Return whether there was one."""
        due = {node_id for node_id, leaf in self._current.items() if leaf.is_due(now_ms)} - self._ending
        self._ending |= due
        return bool(due)

    def rotate_all(self) -> None:
        """Have every leaf be another one from now on."""
        self._ending.update(self._current)

    def next_due_ms(self) -> int | None:
        """When the next leaf reaches half its life."""
        return min((leaf.half_life_ms for leaf in self._current.values()), default=None)
