"""The inbox believes only what is signed, and can be told to be difficult."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from console.demo import inbox

KEY = b"k" * 32
NOW = 1_700_000_000
Client = TestClient[web.Request, web.Application]


def signed(body: bytes, *, identifier: str = "msg_1", at: int = NOW, key: bytes = KEY) -> dict[str, str]:
    digest = hmac.new(key, b"%s.%d.%s" % (identifier.encode(), at, body), hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": identifier, "webhook-timestamp": str(at), "webhook-signature": signature}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with TestClient(TestServer(inbox.build(KEY, lambda: NOW))) as client:
        yield client


async def deliver(client: Client, content: Any, **how: Any) -> int:
    body = json.dumps(content).encode()
    async with client.post("/", data=body, headers=signed(body, **how)) as answer:
        return answer.status


async def listed(client: Client) -> dict[str, Any]:
    async with client.get("/messages") as answer:
        found: dict[str, Any] = await answer.json()
        return found


def test_it_agrees_with_the_example_of_the_specification() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert inbox.verify(inbox.key_of(secret), headers, b'{"test": 2432232314}', 1614265330) == headers["webhook-id"]


async def test_a_signed_message_is_kept_and_its_repetition_recognised(client: Client) -> None:
    assert await deliver(client, {"type": "alert.firing"}) == 204
    assert await deliver(client, {"type": "alert.firing"}, at=NOW + 5) == 204
    assert await deliver(client, {"type": "alert.resolved"}, identifier="msg_2") == 204
    newest, oldest = (await listed(client))["messages"]
    assert (newest["id"], newest["deliveries"]) == ("msg_2", 1)
    assert (oldest["id"], oldest["deliveries"], oldest["body"]) == ("msg_1", 2, {"type": "alert.firing"})


@pytest.mark.parametrize(
    "how",
    [{"key": b"x" * 32}, {"at": NOW - 301}, {"at": NOW + 301}],
    ids=["another key", "too old", "from the future"],
)
async def test_what_cannot_be_trusted_is_refused_and_not_kept(client: Client, how: dict[str, Any]) -> None:
    assert await deliver(client, {}, **how) == 401
    assert await listed(client) == {"messages": [], "refused": 1, "failing": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-signature": "v1,%%%"},
        {"webhook-signature": ""},
        {"webhook-timestamp": "tomorrow"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-id": "msg_other"},
    ],
)
async def test_malformed_headers_are_refused(client: Client, change: dict[str, str]) -> None:
    async with client.post("/", data=b"{}", headers=signed(b"{}") | change) as answer:
        assert answer.status == 401


async def test_one_fitting_signature_among_several_is_enough(client: Client) -> None:
    headers = signed(b"{}")
    headers["webhook-signature"] = f"v1a,AAAA v1,AAAA {headers['webhook-signature']}"
    async with client.post("/", data=b"{}", headers=headers) as answer:
        assert answer.status == 204


async def test_it_fails_as_often_as_told_and_then_accepts(client: Client) -> None:
    async with client.post("/fail", json={"times": 5}) as answer:
        assert await answer.json() == {"failing": 5}
    assert [await deliver(client, {}) for _ in range(6)] == [503] * 5 + [204]
    assert len((await listed(client))["messages"]) == 1


async def test_it_keeps_the_newest_two_hundred(client: Client) -> None:
    for number in range(205):
        await deliver(client, {}, identifier=f"msg_{number}")
    messages = (await listed(client))["messages"]
    assert len(messages) == 200
    assert (messages[0]["id"], messages[-1]["id"]) == ("msg_204", "msg_5")


async def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    body = b" " * (inbox.LARGEST_BODY + 1)
    async with client.post("/", data=body, headers=signed(body)) as answer:
        assert answer.status == 413


async def test_nonsense_to_fail_is_refused(client: Client) -> None:
    async with client.post("/fail", data=b"[]") as answer:
        assert answer.status == 400


def test_without_a_secret_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(inbox.SECRET_VARIABLE, raising=False)
    assert inbox.main(["--port", "1"]) == 2
    assert inbox.SECRET_VARIABLE in capsys.readouterr().err
