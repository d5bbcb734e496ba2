"""How this process gives memory back that it no longer needs."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""As ``malloc.h`` numbers them."""

LARGE = 1024 * 1024
"""Blocks from this size on are mapped one by one, and so much may lie idle at the end of a heap. The marks of the past
hour of a large graph are larger. With glibc's own first choice, 128 KiB, storing spans took a fifth longer: each array
that is needed for a moment was mapped, cleared and unmapped."""
HEAPS = 2


def give_back_what_is_freed() -> None:
    """Map large blocks one by one for good, and have all threads share :data:`HEAPS` heaps.

    By itself glibc maps a block only if it is larger than any that was freed before (up to 32 MiB), and gives each
    thread a heap: tables that grow come to lie among small blocks in sixteen heaps, none of which can shrink then
    (mallopt(3), *M_MMAP_THRESHOLD*). Where the C library has no such options this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((M_MMAP_THRESHOLD, LARGE), (M_TRIM_THRESHOLD, LARGE), (M_ARENA_MAX, HEAPS)):
            mallopt(option, value)
