"""Config objects that a sentence names, so that the page can lead to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from console.views import links
from mesh_runtime.api.objects import Config, ObjectKey

NAMED = re.compile(r"\b([A-Z][A-Za-z]+) ([a-z0-9][a-z0-9.-]*)/([a-z0-9][a-z0-9.-]*[a-z0-9])")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a sentence; ``href`` is ``""`` where it leads nowhere."""

    text: str
    href: str = ""


def linked(text: str, config: Config) -> tuple[Piece, ...]:
    """Split a sentence at the objects that it names as ``Kind namespace/name`` and that exist."""
    return tuple(_pieces(text, config))


def _pieces(text: str, config: Config) -> Iterator[Piece]:
    known, done = _known(config), 0
    for match in NAMED.finditer(text):
        if match.groups() in known:
            if match.start() > done:
                yield Piece(text[done : match.start()])
            yield Piece(match[0], links.config(known[match.groups()]))
            done = match.end()
    if done < len(text):
        yield Piece(text[done:])


def _known(config: Config) -> dict[tuple[str | None, ...], ObjectKey]:
    return {(key.kind, key.namespace, key.name): key for key in config.objects}
