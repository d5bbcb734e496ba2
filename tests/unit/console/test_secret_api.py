"""Secrets over the HTTP API, and as pages show them: no byte of a key gets out."""

import json

import pytest
import pytest_asyncio
from own_ca import OwnCA, secret, tls_secret
from test_server import started

from console.cli.columns import COLUMNS
from console.views import config as views

pytestmark = pytest.mark.asyncio(loop_scope="module")

CA = OwnCA()
WEB, OTHER = CA.issue("web.example.com"), CA.issue("other.example.com")
READS = (
    "/config",
    "/config?format=yaml",
    "/config?kind=secret&name=web",
    "/config/Secret/shop/web",
    "/history",
    "/history/1",
    "/history/2",
    "/proxies",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    async with started(tmp_path_factory.mktemp("secrets")) as one:
        for pair in (WEB, OTHER):
            status, _ = await one.ask("POST", "/api/v1/config", {"yaml": tls_secret("web", pair)})
            assert status == 200
        yield one


def leaks(text):
    """Pieces of the keys in a text, as they are or encoded."""
    manifests = [tls_secret("web", pair).partition("tls.key: ")[2].strip() for pair in (WEB, OTHER)]
    lines = [line for pair in (WEB, OTHER) for line in pair.key_pem.splitlines() if "-----" not in line]
    pieces = [piece[at : at + 24] for piece in (*manifests, *lines) for at in range(40, len(piece) - 24, 24)]
    assert len(pieces) > 10
    return [piece for piece in pieces if piece in text]


@pytest.mark.parametrize("path", READS)
async def test_nothing_that_can_be_read_holds_a_key(server, path):
    status, answer = await server.ask("GET", f"/api/v1{path}")
    assert status == 200
    text = answer if isinstance(answer, str) else json.dumps(answer)
    assert not leaks(text)
    if "web" in path or path in {"/config", "/history/2"}:
        assert "[redacted hmac:" in text


async def test_the_command_lists_names_of_values_only(server):
    _, answer = await server.ask("GET", "/api/v1/config?kind=Secret")
    _, details = COLUMNS["Secret"]
    assert [tuple(details(item)) for item in answer["items"]] == [("kubernetes.io/tls", "tls.crt,tls.key")]


async def test_comparing_and_writing_do_not_repeat_a_key(server):
    for path, body in (
        ("/config/diff", {"yaml": tls_secret("web", WEB)}),
        ("/config", {"yaml": tls_secret("web", WEB), "dryRun": True}),
        ("/config", {"yaml": secret("web", {"cert": WEB.pem, "key": OTHER.key_pem})}),
        ("/config", {"manifests": [{"kind": "Secret", "data": {"key": [WEB.key_pem]}}]}),
        ("/config", {"yaml": 5, "manifests": WEB.key_pem}),
    ):
        _, answer = await server.ask("POST", f"/api/v1{path}", body)
        assert not leaks(json.dumps(answer)), path


async def test_a_difference_shows_that_a_key_changed(server):
    _, answer = await server.ask("POST", "/api/v1/config/diff", {"yaml": tls_secret("web", WEB)})
    (part,) = answer["diff"]
    assert part["unified"].count("[redacted hmac:") == 4


async def test_what_was_read_is_written_back_unchanged(server):
    _, text = await server.ask("GET", "/api/v1/config?kind=Secret&format=yaml")
    assert await server.ask("POST", "/api/v1/config/diff", {"yaml": text}) == (200, {"diff": []})
    status, answer = await server.ask("POST", "/api/v1/config", {"yaml": text})
    assert (status, [one["action"] for one in answer["changed"]]) == (200, ["unchanged"])


async def test_a_redacted_value_that_is_not_the_stored_one_is_refused(server):
    _, old = await server.ask("GET", "/api/v1/history/1")
    status, answer = await server.ask("POST", "/api/v1/config", {"yaml": old["changes"][0]["new"]})
    assert status == 422
    assert answer["problems"][0]["path"] == 'data["tls.crt"]'
    assert "is redacted, and not what is stored now" in answer["problems"][0]["message"]


async def test_pages_show_no_key(server):
    store = server.console.store
    config = store.current
    (item,) = config.of("Secret")
    revision = (await store.history())[0]
    shown = repr(views.detail(item, [revision], (), leased=False)) + repr(
        views.revision_view(revision, await store.changes(revision.number), await store.at(1), config)
    )
    assert "[redacted hmac:" in shown
    assert not leaks(shown)


async def test_the_way_back_restores_the_key(server):
    status, _ = await server.ask("POST", "/api/v1/rollback", {"revision": 1})
    (item,) = server.console.store.current.of("Secret")
    assert (status, item.spec.content("tls.key").decode()) == (200, WEB.key_pem)
