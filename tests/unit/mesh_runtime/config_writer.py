"""A process that commits and says what it has committed; ended with SIGKILL by its test."""

import asyncio
import itertools
import sys
from pathlib import Path

from mesh_runtime.api import parse
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import SqliteConfig


def pair(number):
    """Two objects that every revision changes together."""
    labels = {"number": str(number)}
    return tuple(
        parse({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        for name in ("left", "right")
    )


async def main(path):
    async with SqliteConfig(path) as store:
        for number in itertools.count(store.current.revision + 1):
            revision = await store.commit(Change(put=pair(number), author="writer", reason=f"change {number}"))
            print(revision.number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
