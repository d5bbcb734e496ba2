from urllib.parse import urlencode

import pytest
from asgi import Visitor
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from console.web.limits import BodyLimit
from console.web.security import Guard, policy

TOKEN = "correct horse battery staple"
OURS = "http://127.0.0.1:20001"


async def echo(request):
    return PlainTextResponse((await request.body()).decode())


async def live(websocket):
    await websocket.accept()


def visitor(listen="127.0.0.1", token="") -> Visitor:
    routes = [Route("/", echo, methods=["GET", "POST"]), WebSocketRoute("/live", live)]
    rules = policy(listen, token=token, allowed_hosts=("mesh.example",))
    return Visitor(Guard(BodyLimit(Starlette(routes=routes), 1000), rules))


@pytest.mark.parametrize("host", ["127.0.0.1:20001", "localhost", "[::1]:20001", "mesh.example", "LOCALHOST.:1"])
async def test_a_known_host_is_served(host):
    assert (await visitor().ask("GET", "/", {"host": host})).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "127.0.0.1:20001, evil"])
async def test_an_unknown_host_is_refused(host):
    assert (await visitor().ask("GET", "/", {"host": host})).status == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "file://127.0.0.1:20001"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_foreign_origin_is_refused(origin, method):
    assert (await visitor().ask(method, "/", {"origin": origin})).status == 403


async def test_the_own_origin_may_write():
    answer = await visitor().ask("POST", "/", {"origin": OURS, "sec-fetch-site": "same-origin"}, [b"x"])
    assert (answer.status, answer.text) == (200, "x")


async def test_another_site_may_link_but_not_fetch():
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert (await visitor().ask("GET", "/", link)).status == 200
    assert (await visitor().ask("POST", "/", link)).status == 403
    assert (await visitor().ask("GET", "/", link | {"sec-fetch-dest": "iframe"})).status == 403
    assert (await visitor().ask("GET", "/", {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"})).status == 403


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}, {"sec-fetch-site": "cross-site"}]
)
async def test_sockets_are_guarded_like_requests(headers):
    assert not await visitor().open("/live", headers)


async def test_a_socket_of_the_page_opens():
    assert await visitor().open("/live", {"origin": OURS})


async def test_a_listener_beyond_loopback_needs_a_token_to_exist():
    with pytest.raises(ValueError, match="needs a token"):
        policy("0.0.0.0", allowed_hosts=(), token="")


async def test_without_the_token_everything_is_refused_and_a_browser_is_asked_for_it():
    stranger = visitor("0.0.0.0", TOKEN)
    assert (await stranger.ask("GET", "/")).status == 401
    assert (await stranger.ask("GET", "/", {"authorization": "Bearer wrong"})).status == 401
    assert (await stranger.ask("GET", "/login")).status == 401
    page = await stranger.ask("GET", "/graph?window=60", {"accept": "text/html"})
    assert page.status == 401
    assert 'value="/graph?window=60"' in page.text
    assert not await stranger.open("/live")


async def test_the_bearer_of_the_token_is_served():
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert (await visitor("0.0.0.0", TOKEN).ask("GET", "/", bearer)).status == 200
    assert await visitor("0.0.0.0", TOKEN).open("/live", bearer)


async def sign_in(who: Visitor, token: str, target: str = "/"):
    return await who.ask("POST", "/login", body=[urlencode({"token": token, "next": target}).encode()])


async def test_signing_in_gives_a_session_that_opens_pages_and_sockets():
    user = visitor("0.0.0.0", TOKEN)
    answer = await sign_in(user, TOKEN, "/?a=1")
    assert (answer.status, answer.headers["location"]) == (303, "/?a=1")
    assert TOKEN not in answer.headers["set-cookie"]
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert (await user.ask("GET", "/")).status == 200
    assert await user.open("/live")


async def test_a_wrong_token_is_told_so():
    answer = await sign_in(visitor("0.0.0.0", TOKEN), "guess")
    assert answer.status == 401
    assert "not the token" in answer.text


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\nx", "/login"])
async def test_signing_in_leads_nowhere_else(target):
    assert (await sign_in(visitor("0.0.0.0", TOKEN), TOKEN, target)).headers["location"] == "/"


async def test_large_bodies_are_refused_whether_announced_or_not():
    assert (await visitor().ask("POST", "/", {"content-length": "1001"}, [b"x" * 1001])).status == 413
    assert (await visitor().ask("POST", "/", body=[b"x" * 600] * 2)).status == 413
    assert (await visitor().ask("POST", "/", body=[b"x" * 400] * 2)).status == 200


async def test_every_answer_carries_the_content_policy():
    for path, headers in (("/", {}), ("/", {"host": "evil.example"}), ("/nowhere", {})):
        answer = await visitor().ask("GET", path, headers)
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
