"""What goes wrong while evidence is brought in."""

from __future__ import annotations


class CollectorError(Exception):
    """A source, a store or a receiver does not work; the message says what, where and what now."""
