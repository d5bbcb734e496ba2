import ast
import inspect

import pytest

from console import settings
from console.settings import SettingsError, load


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path):
    file = tmp_path / "meshscope.toml"
    file.write_text('[web]\nport = 1\nlisten = "::1"\ntoken = "file"\n')
    environ = {"MESHSCOPE_WEB__PORT": "2", "MESHSCOPE_WEB__TOKEN": "env", "MESHSCOPE_DATA": "ignored", "HOME": "/"}
    web = load(file=file, environ=environ, flags={"web": {"port": 3}}).web
    assert (web.port, web.token, web.listen, web.max_body_bytes) == (3, "env", "::1", 2 * 1024 * 1024)


def test_lists_and_tables_in_the_environment_are_json():
    environ = {
        "MESHSCOPE_WEBHOOKS__ALLOW_PRIVATE": '["10.0.0.0/8"]',
        "MESHSCOPE_WEBHOOKS__ENDPOINTS": '[{"name": "pager", "url": "https://example.com/hook"}]',
    }
    hooks = load(environ=environ).webhooks
    assert hooks.allow_private == ("10.0.0.0/8",)
    assert hooks.endpoints[0].name == "pager"


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"MESHSCOPE_WEB__PROT": "1"}, "web.prot"),
        ({"MESHSCOPE_WEB__PORT": "many"}, "web.port"),
        ({"MESHSCOPE_WEBHOOKS__ALLOW_PRIVATE": "[1,"}, "MESHSCOPE_WEBHOOKS__ALLOW_PRIVATE"),
        ({"MESHSCOPE_WBE__PORT": "1"}, "wbe"),
    ],
)
def test_a_wrong_setting_is_named(environ, complaint):
    with pytest.raises(SettingsError, match=complaint):
        load(environ=environ)


def test_a_named_file_must_exist_and_be_toml(tmp_path):
    with pytest.raises(SettingsError, match=r"missing\.toml"):
        load(file=tmp_path / "missing.toml", environ={})
    bad = tmp_path / "bad.toml"
    bad.write_text("port = 1")
    with pytest.raises(SettingsError, match="outside of a section"):
        load(file=bad, environ={})


def test_every_setting_says_what_it_means():
    for node in ast.parse(inspect.getsource(settings)).body:
        if isinstance(node, ast.ClassDef) and node.name not in ("Settings", "SettingsError"):
            fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and not n.target.id.startswith("_")]
            for field in fields:
                after = node.body[node.body.index(field) + 1] if field is not node.body[-1] else None
                assert isinstance(after, ast.Expr), f"{node.name}.{field.target.id} has no docstring"
