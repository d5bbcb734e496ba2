"""Requests as they may come from anywhere: damaged on the way, and JSON of any shape."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st


def mangled(rng: random.Random, request: bytes) -> bytes:
    """A request replaced, cut short, with bytes behind it, with bytes put in, taken out or changed."""
    data = bytearray(request)
    match rng.randrange(6):
        case 0:
            return rng.randbytes(rng.randint(0, 400))
        case 1:
            return bytes(data[: rng.randint(0, len(data))])
        case 2:
            data += rng.randbytes(rng.randint(1, 20))
        case 3:
            at = rng.randrange(len(data))
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        case 4:
            start = rng.randrange(len(data))
            del data[start : start + rng.randint(1, 8)]
        case _:
            for _ in range(rng.randint(1, 8)):
                data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def json_values(names: Sequence[str]) -> st.SearchStrategy[Any]:
    """Any JSON, with these names in many of its objects."""
    keys = st.sampled_from(names) | st.text(max_size=5)
    return st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=20,
    )
