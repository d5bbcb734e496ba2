"""Istio's own valid and invalid documents: do we accept and refuse the same ones?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from mesh_runtime.api import load
from mesh_runtime.api.objects import ConfigError, Problem
from tests.conformance.outcomes import Outcome, Verdict, chosen, unsupported


def run(folder: Path, only: Sequence[str]) -> Iterator[Outcome]:
    """Judge each document alone."""
    for case in json.loads((folder / "cases.json").read_text())["cases"]:
        if not case["crd_only"] and chosen(case["id"], only):
            verdict, reason = _judge(folder, case)
            yield Outcome(case["id"], case["id"].partition("-")[0], verdict, reason)


def _judge(folder: Path, case: dict) -> tuple[Verdict, str]:
    wanted = bool(case["expected"]) or case["rejected_at_decoding"]
    problems = tuple(problem for name in case["inputs"] for problem in _refused((folder / name).read_text()))
    if missing := unsupported(problems):
        return Verdict.SKIPPED, str(missing)
    if wanted == bool(problems):
        return Verdict.PASSED, ""
    return Verdict.FAILED, str(problems[0]) if problems else f"accepted, but Istio says: {case['want_err']}"


def _refused(text: str) -> tuple[Problem, ...]:
    try:
        load(text)
    except ConfigError as error:
        return error.problems
    return ()
