"""What an agent leaves on disk: nothing secret, and little."""

import stat

from mesh_runtime.agent.files import run_directory, trim_log


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
