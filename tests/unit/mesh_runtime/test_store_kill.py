import asyncio
import signal
import sys
from pathlib import Path

import pytest
from config_writer import pair

from mesh_runtime.store.sqlite import SqliteConfig

WRITER = Path(__file__).with_name("config_writer.py")


async def kill_after(path, revisions):
    """Let a process commit, kill it once it has acknowledged so many, and give the last it acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, WRITER, path, stdout=asyncio.subprocess.PIPE, cwd=WRITER.parents[3]
    )
    acknowledged = 0
    while acknowledged < revisions:
        acknowledged = int(await process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = (await process.communicate())[0].split()
    assert process.returncode == -signal.SIGKILL
    return int(rest[-1]) if rest else acknowledged


@pytest.mark.parametrize("revisions", [[1], [37, 70], [50, 51, 52]])
async def test_after_a_kill_every_acknowledged_change_is_there_and_none_half(tmp_path, revisions):
    path = tmp_path / "config.db"
    for wanted in revisions:
        acknowledged = await kill_after(path, wanted)
        async with SqliteConfig(path) as store:
            there = store.current.revision
            assert acknowledged <= there <= acknowledged + 1
            history = await store.history(limit=1000)
            assert [item.number for item in history] == list(range(there, 0, -1))
            assert all(item.reason == f"change {item.number}" and len(item.changed) == 2 for item in history)
            for number in range(1, there + 1):
                assert tuple((await store.at(number)).of("Namespace")) == pair(number)
