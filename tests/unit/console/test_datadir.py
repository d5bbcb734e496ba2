import stat

import pytest

from console.datadir import DataDir, DataDirError, ServerInfo


def test_one_server_at_a_time_holds_a_directory(tmp_path):
    data = DataDir(tmp_path / "new")
    with data.locked(), pytest.raises(DataDirError, match="another server"), DataDir(tmp_path / "new").locked():
        pass
    with data.locked():
        pass


def test_sockets_stay_short_however_deep_the_directory_is(tmp_path):
    deep = DataDir(tmp_path / ("d" * 120))
    with deep.locked():
        run = deep.run_dir()
        assert len(str(run)) < 80
        assert stat.S_IMODE(run.stat().st_mode) == 0o700
        assert deep.run_dir() == run
        run.rmdir()


def test_the_token_is_made_once_and_for_the_owner_only(tmp_path):
    data = DataDir(tmp_path)
    assert data.token() == data.token()
    assert len(data.token()) > 30
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_server_is_found_while_it_is_announced(tmp_path):
    data = DataDir(tmp_path)
    with pytest.raises(DataDirError, match="meshscope up"):
        data.read_server()
    info = ServerInfo(url="http://127.0.0.1:1", socket="/s", pid=1)
    data.announce(info)
    assert data.read_server() == info
    data.withdraw()
    data.withdraw()
    (tmp_path / "server.json").write_text("{")
    with pytest.raises(DataDirError, match="damaged"):
        data.read_server()
