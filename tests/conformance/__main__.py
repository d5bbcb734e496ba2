"""Hold our behaviour against a peer's own expectations: ``python -m tests.conformance SUITE FOLDER [CASE ...]``.

The data is not part of the project. Each suite yields one verdict per case; a case about something
the runtime says it does not support is counted apart, never as passed. CASE is a part of a case's name.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.conformance import istio_schema, istio_traffic, kiali_graph
from tests.conformance.outcomes import Outcome, Verdict

SUITES: dict[str, Callable[[Path, Sequence[str]], Iterator[Outcome]]] = {
    "istio_schema": istio_schema.run,
    "istio_traffic": istio_traffic.run,
    "kiali_graph": kiali_graph.run,
}


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] not in SUITES:
        print(f"usage: make conformance SUITE={{{','.join(SUITES)}}} CONFORMANCE_DIR=folder", file=sys.stderr)
        return 2
    folder = Path(arguments[1]) / arguments[0]
    if not (folder / "cases.json").is_file():
        print(f"{folder}/cases.json does not exist; CONFORMANCE_DIR names the folder of the suites", file=sys.stderr)
        return 2
    outcomes = []
    for outcome in SUITES[arguments[0]](folder, arguments[2:]):
        outcomes.append(outcome)
        print(f"{outcome.verdict:<8} {outcome.case}  {outcome.reason}".rstrip(), flush=True)
    _summary(outcomes)
    return 1 if any(outcome.verdict is Verdict.FAILED for outcome in outcomes) else 0


def _summary(outcomes: Sequence[Outcome]) -> None:
    counts = Counter((outcome.feature, outcome.verdict) for outcome in outcomes)
    print()
    for feature in dict.fromkeys(outcome.feature for outcome in outcomes):
        print(f"  {feature:<28}", _counted({verdict: counts[feature, verdict] for verdict in Verdict}))
    print(f"  {'all':<28}", _counted(Counter(outcome.verdict for outcome in outcomes)))


def _counted(counts: dict[Verdict, int]) -> str:
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
