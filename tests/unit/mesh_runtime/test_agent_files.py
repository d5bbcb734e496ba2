"""What an agent leaves on disk: nothing secret, and little."""

import stat
import subprocess
import sys

from mesh_runtime.agent.files import run_directory, trim_log

HOLD = """
import sys
from pathlib import Path
from mesh_runtime.agent.files import run_directory
with run_directory(Path(sys.argv[1])) as own:
    print(flush=True)
    sys.stdin.read()
    print(own.is_dir(), flush=True)
"""


def test_agents_that_start_at_once_leave_each_other_their_directories(tmp_path):
    agents = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "run")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    ready = [agent.stdout.readline() for agent in agents]
    kept = [agent.communicate()[0].strip() for agent in agents]
    assert (ready, kept) == (["\n"] * 6, ["True"] * 6)


def test_a_run_directory_is_private_and_goes_with_its_agent(tmp_path):
    with run_directory(tmp_path / "run") as own:
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
        (own / "0.json").write_text("a secret")
    assert not own.exists()


def test_what_a_killed_agent_left_is_removed_and_a_living_ones_stays(tmp_path):
    killed = tmp_path / "a1"
    killed.mkdir()
    (killed / "0.json").write_text("a secret")
    with run_directory(tmp_path) as living:
        assert not killed.exists()
        other = living.rename(tmp_path / "a2")
        with run_directory(tmp_path):
            assert other.exists()
        other.rmdir()


def test_a_log_is_cut_while_its_writer_keeps_writing(tmp_path):
    path = tmp_path / "app.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * 101)
        trim_log(path, cap_bytes=100)
        writer.write(b"new")
    assert path.read_bytes() == b"new"
    assert (tmp_path / "app.log.1").read_bytes() == b"x" * 101
    trim_log(tmp_path / "absent.log")
