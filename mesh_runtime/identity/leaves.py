"""The leaves in use: one per proxy, renewed at half their life or at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mesh_runtime.identity.authority import Authority, Leaf


class Leaves:
    """Each proxy's present leaf. Replicas share an identity, never a key."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._current: dict[str, Leaf] = {}

    @property
    def current(self) -> Mapping[str, Leaf]:
        """Leaf by node id."""
        return self._current

    def leaf(self, node_id: str, identity: str) -> Leaf:
        """Return the proxy's leaf; issue one if it has none or stands for another identity."""
        leaf = self._current.get(node_id)
        if leaf is None or leaf.identity != identity:
            leaf = self._current[node_id] = self._authority.issue(identity)
        return leaf

    def keep_only(self, node_ids: Collection[str]) -> None:
        """Forget the leaves of proxies that are gone."""
        for node_id in self._current.keys() - set(node_ids):
            del self._current[node_id]

    def renew_due(self, now_ms: int) -> bool:
        """Renew every leaf that is due. Return whether there was one."""
        due = [node_id for node_id, leaf in self._current.items() if leaf.is_due(now_ms)]
        self._renew(due)
        return bool(due)

    def rotate_all(self) -> None:
        """Renew every leaf now."""
        self._renew(list(self._current))

    def next_due_ms(self) -> int | None:
        """When the next leaf reaches half its life."""
        return min((leaf.half_life_ms for leaf in self._current.values()), default=None)

    def _renew(self, node_ids: Collection[str]) -> None:
        for node_id in node_ids:
            self._current[node_id] = self._authority.issue(self._current[node_id].identity)
