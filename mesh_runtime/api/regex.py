"""What Envoy's regular expressions (RE2) accept."""

from __future__ import annotations

MAX_LENGTH = 1024


def complaint(pattern: str) -> str | None:
    """Say why RE2 would refuse a pattern; ``None``: it would not."""
    if not pattern:
        return "is empty"
    if len(pattern) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    return None
