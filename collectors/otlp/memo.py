"""Remembering what came before, within bounds and without keeping track of what was used when."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """At least the last *most* things kept or recalled, and never more than twice as many.

    Two generations: what is used moves to the young one; when that is full, the old one goes as a whole. Safe to use
    from several threads: at worst something is learnt twice.
    """

    __slots__ = ("_most", "_old", "young")

    def __init__(self, most: int) -> None:
        self.young: dict[Key, Value] = {}
        """For the quick look of loops that cannot afford a call; what is not in it may still be recalled."""
        self._old: dict[Key, Value] = {}
        self._most = most

    def recall(self, key: Key) -> Value | None:
        """Return what was kept under the key, unless it is forgotten."""
        known = self.young.get(key)
        if known is None and (known := self._old.get(key)) is not None:
            self.keep(key, known)
        return known

    def keep(self, key: Key, value: Value) -> None:
        """Remember."""
        if len(self.young) >= self._most:
            self._old, self.young = self.young, {}
        self.young[key] = value

    def forget(self) -> None:
        """Remember nothing."""
        self._old, self.young = {}, {}

    def __len__(self) -> int:
        """How much is remembered."""
        return len(self.young) + len(self._old)
