"""Where the keys of issuers of tokens are: asked of servers that answer as they should, and of others."""

import asyncio
import base64
import hashlib
import json

import pytest
import yaml
from aiohttp import web

from mesh_runtime.api import load
from mesh_runtime.api.objects import Config
from mesh_runtime.api.security.keys import is_usable
from mesh_runtime.identity.issuers import Issuers
from mesh_runtime.xds.translate.security.authentication import NOBODY_S_KEYS

KEYS = "https://keys.example.com/jwks"


async def served(body, status=200):
    """Answer everything with this, behind one redirection; returns the port and what ends it."""

    async def answer(request):
        if request.path.startswith("/.well-known"):
            raise web.HTTPFound("/moved")
        return web.Response(body=body, status=status)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner.addresses[0][1], runner.cleanup


async def said_by(*names):
    """Ask these issuers once."""
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"jwtRules": [{"issuer": name} for name in names]},
    }
    (item,) = load(yaml.safe_dump(policy))

    async def configs():
        yield Config(objects={item.key: item})
        await asyncio.Event().wait()

    issuers = Issuers(lambda _host, _port: (), lambda: None)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(issuers.run(configs()))
        await issuers.asked()
        asking.cancel()
    return [issuers.known[name] for name in names]


@pytest.mark.parametrize("end", ["", "/", "/realm"])
async def test_an_issuer_says_where_its_keys_are(end):
    port, stop = await served(json.dumps({"jwks_uri": KEYS, "issuer": "whoever"}))
    (issuer,) = await said_by(f"http://localhost:{port}{end}")
    await stop()
    assert (issuer.keys_uri, issuer.trouble) == (KEYS, "")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("gone", 404, "answers with status 404"),
        ("<html>", 200, "not JSON"),
        ("[]", 200, "has no jwks_uri"),
        ('{"jwks_uri": 1}', 200, "has no jwks_uri"),
        ('{"jwks_uri": "file:///etc/passwd"}', 200, "has no jwks_uri"),
        (b" " * (1 << 20), 200, "more than 1048576 bytes"),
    ],
)
async def test_an_answer_that_says_no_such_thing_is_named(body, status, words):
    port, stop = await served(body, status)
    (issuer,) = await said_by(f"http://localhost:{port}")
    await stop()
    assert words in issuer.trouble
    assert not issuer.keys_uri


async def test_issuers_that_cannot_be_asked_say_why():
    users, closed, near = await said_by("users@test", "http://localhost:1", "http://[::ffff:169.254.169.254]")
    assert "not an http or https address" in users.trouble
    assert "cannot be read" in closed.trouble
    assert "link-local" in near.trouble


def test_the_keys_that_stand_for_unknown_ones_are_a_hash_so_that_nobody_can_sign_with_them():
    (key,) = json.loads(NOBODY_S_KEYS)["keys"]
    assert base64.urlsafe_b64decode(key["x"] + "=") == hashlib.sha256(b"no keys yet").digest()
    assert is_usable(key)
