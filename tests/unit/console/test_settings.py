import ast
import inspect

import pytest

from console import settings
from console.settings import SettingsError, load
from console.tolerances import tolerances_of
from graph import health
from graph.health import Item


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
        ({"MESHSCOPE_SOURCES": '[{"type": "zipkin"}]'}, "sources.0: a source is of type prometheus or scrape"),
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


RATE = """
[[health.rate]]
namespace = "shop"
kind = "service"
[[health.rate.tolerance]]
code = "404"
degraded = 1
failure = 5
protocol = "http"
[[health.rate]]
name = "cart.*"
[[health.rate.tolerance]]
code = "5XX"
failure = 50
"""


def test_tolerances_are_those_of_the_first_entry_that_matches_else_kialis(tmp_path):
    file = tmp_path / "meshscope.toml"
    file.write_text(RATE)
    tolerances = tolerances_of(load(file=file, environ={}).health.rate)
    judged = {
        name: [
            (one.code, one.degraded, one.failure) for one in health.tolerances_of(Item(*name.split("/")), tolerances)
        ]
        for name in ("shop/service/cart", "shop/workload/cart-v1", "shop/workload/web")
    }
    assert judged["shop/service/cart"] == [("404", 1, 5)]
    assert judged["shop/workload/cart-v1"] == [("5XX", 0, 50)]
    assert len(judged["shop/workload/web"]) == len(health.DEFAULT)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('code = "[404"', r"health\.rate\.0\.tolerance\.0\.code: .*no regular expression"),
        ("failure = 0.5", r"tolerance\.0.*failure \(0\.5\) must not be below degraded \(1\)"),
        ("degraded = -1", r"tolerance\.0\.degraded"),
        ("limit = 1", r"tolerance\.0\.limit"),
    ],
)
def test_a_tolerance_that_cannot_be_meant_is_refused_by_name(tmp_path, line, complaint):
    file = tmp_path / "meshscope.toml"
    wanted = {"code": '"404"', "degraded": "1", "failure": "5"} | {line.split(" = ")[0]: line.split(" = ")[1]}
    lines = "\n".join(f"{name} = {value}" for name, value in wanted.items())
    file.write_text(f"[[health.rate]]\n[[health.rate.tolerance]]\n{lines}\n")
    with pytest.raises(SettingsError, match=complaint):
        load(file=file, environ={})


def test_an_entry_without_tolerances_says_nothing_and_is_refused():
    with pytest.raises(SettingsError, match=r"health\.rate\.0\.tolerance"):
        load(environ={"MESHSCOPE_HEALTH__RATE": '[{"namespace": "shop"}]'})
