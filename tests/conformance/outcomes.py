"""What a suite says of each of its cases."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from mesh_runtime.api.objects import Problem


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """About something that the runtime says it does not support, or that the peer itself skips: never passed."""


class Outcome(NamedTuple):
    case: str
    feature: str
    verdict: Verdict
    reason: str = ""


def chosen(name: str, only: Sequence[str]) -> bool:
    """Tell whether a case is to be run: all are, unless some are asked for."""
    return not only or any(part in name for part in only)


def unsupported(problems: tuple[Problem, ...]) -> Problem | None:
    """Find the problem that says that something is not supported."""
    return next((problem for problem in problems if "does not support" in str(problem)), None)
