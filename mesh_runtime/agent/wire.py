"""The agent's protocol as JSON: field names are the dataclasses' own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

REGISTER: Final = "/agent/v1/instances"
"""POST :class:`Registration`, answered with :class:`Grant`."""
HEARTBEAT: Final = "/agent/v1/heartbeat"
"""POST :class:`Heartbeat`, answered with :class:`Unknown`."""
DRAIN: Final = "/agent/v1/instances/drain"
"""POST :class:`Named`."""
REMOVE: Final = "/agent/v1/instances/remove"
"""POST :class:`Named`."""


class WireError(ValueError):
    """A message that is not what it should be; says which field and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """These instances are alive."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Of those named, these must be registered again."""

    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Which instance is meant."""

    id: str


def encode(message: object) -> bytes:
    """Write one of the protocol's dataclasses as JSON."""
    return bytes(_adapter(type(message)).dump_json(message))


def decode(kind: type[T], body: bytes) -> T:
    """Read one of the protocol's dataclasses; unknown fields are a newer peer's and ignored."""
    try:
        message: T = _adapter(kind).validate_json(body)
    except ValidationError as trouble:
        problems = (f"{'.'.join(map(str, e['loc'])) or kind.__name__}: {e['msg']}" for e in trouble.errors())
        raise WireError("; ".join(problems)) from trouble
    return message


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
