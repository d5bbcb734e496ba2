"""``python -m mesh_runtime.agent PLAN``: carry out a plan read from a JSON file."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from mesh_runtime.agent.client import AgentError
from mesh_runtime.agent.process import Plan, carry_out, leaves
from mesh_runtime.agent.wire import WireError, decode
from mesh_runtime.log_lines import log_to_stderr
from mesh_runtime.sidecar.binary import SidecarError


def main(argv: list[str]) -> int:
    """Run, and say in a sentence why it could not."""
    log_to_stderr(logging.INFO, "%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        plan = decode(Plan, Path(argv[0]).read_bytes())
    except (OSError, WireError) as error:
        return _say(error)
    code = 0
    try:
        code = asyncio.run(carry_out(plan))
    except* (AgentError, SidecarError) as errors:
        code = _say(*leaves(errors))
    return code


def _say(*troubles: BaseException) -> int:
    for trouble in troubles:
        print(f"error: {trouble}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
