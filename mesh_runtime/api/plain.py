"""Manifests come from outside: only what JSON can say, and only so much of it, goes on."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from mesh_runtime.api.objects import ConfigError, Problem
from mesh_runtime.api.problems import path

MAX_DEPTH = 32
MAX_VALUES = 50_000
MAX_TEXT = 1024 * 1024
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")

Steps = tuple[str | int, ...]


def plain(value: Any, name: str) -> Any:
    """Copy a value that consists of mappings, lists, text, numbers, booleans and nothing else.

    Raises :class:`~mesh_runtime.api.objects.ConfigError` naming every place where it does not, or where there is
    too much.
    """
    copier = _Copier(name)
    out = copier.copy(value, ())
    if copier.problems:
        raise ConfigError(*copier.problems)
    return out


class _Copier:
    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.values = 0
        self.characters = 0

    def copy(self, value: Any, at: Steps) -> Any:
        self.values += 1
        if self.values > MAX_VALUES or self.characters > MAX_TEXT or len(at) > MAX_DEPTH:
            raise ConfigError(*self.problems[:20], Problem(self.name, path(at[:4]), *self._too_much(len(at))))
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(str(value), at)
        if isinstance(value, int):
            return int(value) if abs(value) < 2**63 else self._refuse(at, "is too big a number")
        if isinstance(value, float):
            return _number(value) if math.isfinite(value) else self._refuse(at, "is not a finite number")
        if isinstance(value, Mapping):
            return {self._key(key, at): self.copy(item, (*at, str(key)[:80])) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.copy(item, (*at, index)) for index, item in enumerate(value)]
        return self._refuse(at, f"is a {type(value).__name__}, which YAML and JSON do not have")

    def _too_much(self, depth: int) -> tuple[str, str]:
        if depth > MAX_DEPTH:
            return f"is nested more than {MAX_DEPTH} levels deep", "flatten it"
        return f"has more than {MAX_VALUES} values or {MAX_TEXT} characters", "split it"

    def _key(self, key: Any, at: Steps) -> str:
        if isinstance(key, str):
            return str(self._text(str(key), at))
        self._refuse(at, f"has a key that is not text ({str(key)[:40]})", "put the key in quotes")
        return ""

    def _text(self, value: str, at: Steps) -> str:
        self.characters += len(value)
        odd = _UNPRINTABLE.search(value)
        if odd:
            self._refuse(at, f"contains the character U+{ord(odd[0]):04X}", "remove it")
        return value

    def _refuse(self, at: Steps, message: str, fix: str = "") -> None:
        self.problems.append(Problem(self.name, path(at), message, fix))


def _number(value: float) -> float | int:
    """Write 50.0 as 50: one number has one form."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(value)
