"""What a proxy says of what it refuses, in short."""

from __future__ import annotations

import re
from collections.abc import Collection


def in_short(reason: str, names: Collection[str]) -> str:
    """Return Envoy's answer with each cause once, after the first of the named resources that it gives it for.

    Envoy repeats it for every resource that it refuses; of the others there is the number.
    """
    if not names:
        return reason
    any_name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    head, *found = re.split(f"({any_name}): ", reason)
    causes: dict[str, list[str]] = {}
    for name, cause in zip(found[::2], found[1::2], strict=True):
        causes.setdefault(cause.strip(" ,\n"), []).append(name)
    return head + "; ".join(f"{some(named)}: {cause}" for cause, named in causes.items())


def some(names: Collection[str]) -> str:
    """Return the first name, and how many more there are."""
    first, *others = names
    return f"{first} and {len(others)} more" if others else first
