"""Hold our behaviour against a peer's own expectations: ``python -m tests.conformance SUITE FOLDER``.

The data is not part of the project. Each suite yields one verdict per case; a case about something
the runtime says it does not support yet is counted apart, never as passed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from mesh_runtime.api import load
from mesh_runtime.api.objects import ConfigError


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


class Outcome(NamedTuple):
    case: str
    verdict: Verdict
    reason: str


def istio_schema(folder: Path) -> Iterator[Outcome]:
    """Istio's own valid and invalid documents: do we accept and refuse the same ones?"""
    for case in json.loads((folder / "cases.json").read_text())["cases"]:
        if case["crd_only"]:
            continue
        wanted = bool(case["expected"]) or case["rejected_at_decoding"]
        problems = [problem for name in case["inputs"] for problem in _refused((folder / name).read_text())]
        if any("support" in str(problem) for problem in problems):
            yield Outcome(case["id"], Verdict.UNSUPPORTED, str(problems[0]))
        elif wanted == bool(problems):
            yield Outcome(case["id"], Verdict.PASSED, "")
        else:
            reason = str(problems[0]) if problems else f"accepted, but Istio says: {case['want_err']}"
            yield Outcome(case["id"], Verdict.FAILED, reason)


def _refused(text: str) -> tuple[object, ...]:
    try:
        load(text)
    except ConfigError as error:
        return error.problems
    return ()


SUITES: dict[str, Callable[[Path], Iterator[Outcome]]] = {"istio_schema": istio_schema}


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in SUITES:
        print(f"usage: make conformance SUITE={{{','.join(SUITES)}}} CONFORMANCE_DIR=folder", file=sys.stderr)
        return 2
    folder = Path(arguments[1]) / arguments[0]
    if not (folder / "cases.json").is_file():
        print(f"{folder}/cases.json does not exist; CONFORMANCE_DIR names the folder of the suites", file=sys.stderr)
        return 2
    outcomes = list(SUITES[arguments[0]](folder))
    for outcome in outcomes:
        print(f"{outcome.verdict:<12} {outcome.case}  {outcome.reason}".rstrip())
    counts = {verdict: sum(outcome.verdict is verdict for outcome in outcomes) for verdict in Verdict}
    print(f"{counts[Verdict.UNSUPPORTED]} about kinds and fields that are not supported yet")
    print(f"{counts[Verdict.PASSED]} passed, {counts[Verdict.FAILED]} failed")
    return 1 if counts[Verdict.FAILED] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
