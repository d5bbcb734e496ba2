import asyncio
import base64
import hashlib
import hmac
import signal
import sys

import pytest
from aiohttp import web

from console.clock import SystemClock
from console.demo.inbox import key_of, verify
from console.services import serving
from console.settings import Endpoint, Webhooks
from console.state.database import StateDatabase
from console.state.deliveries import DeliveryLog, Message, State
from console.webhooks.sender import EndpointError, WebhookSender, retry_after_s
from console.webhooks.signing import new_secret

SECRET = new_secret()


class Receiver:
    """Somebody else's server: answers as told, then 204, and remembers what it got."""

    def __init__(self, *answers: int, headers=None):
        self.answers, self.headers = list(answers), headers or {}
        self.seen: list[tuple[dict, bytes, int]] = []
        self.changed = asyncio.Condition()
        self.url = ""

    async def take(self, request):
        status = self.answers.pop(0) if self.answers else 204
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self.changed:
            self.seen.append((headers, await request.read(), status))
            self.changed.notify_all()
        return web.Response(status=status, headers=self.headers)

    async def until(self, enough):
        async with self.changed:
            await self.changed.wait_for(lambda: enough(self.seen))

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/hook", self.take)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()


def settings(url, **options) -> Webhooks:
    endpoint = {"name": "pager", "url": url, "secrets": (SECRET,)} | options.pop("endpoint", {})
    quick = {"retry_after_s": (0.01,) * 9, "allow_private": ("127.0.0.1",)}
    return Webhooks(endpoints=(Endpoint(**endpoint),), **(quick | options))


def message(name="m1", subject="s", body=b'{"type":"alert.firing"}') -> Message:
    return Message(id=name, endpoint="pager", subject=subject, type="alert.firing", body=body)


class Post:
    """A queue and its sender in this process."""

    def __init__(self, path, hooks):
        self.database = StateDatabase(path)
        self.log = DeliveryLog(self.database)
        self.sender = WebhookSender(self.log, hooks, SystemClock())
        self.services = serving([self.sender])

    async def __aenter__(self):
        await self.database.__aenter__()
        await self.log.create()
        await self.services.__aenter__()
        return self

    async def __aexit__(self, *exc):
        await self.services.__aexit__(*exc)
        await self.database.__aexit__(*exc)

    async def send(self, *messages):
        await self.log.add(messages, SystemClock().now_ms())
        self.sender.wake()

    async def finished(self):
        while True:
            recent = await self.log.recent()
            if recent and all(d.state is not State.PENDING for d in recent):
                return recent


async def test_a_receiver_that_fails_five_times_gets_the_same_signed_message_until_it_accepts(tmp_path):
    async with (
        Receiver(500, 503, 502, 404, 302) as receiver,
        Post(tmp_path / "state.db", settings(receiver.url)) as post,
    ):
        await post.send(message())
        (delivery,) = await post.finished()
        assert (delivery.state, delivery.attempts) == (State.DELIVERED, 6)
        assert {(headers["webhook-id"], body) for headers, body, _ in receiver.seen} == {
            ("m1", b'{"type":"alert.firing"}')
        }
        for headers, body, _ in receiver.seen:
            content = b".".join((b"m1", headers["webhook-timestamp"].encode(), body))
            digest = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), content, hashlib.sha256).digest()
            assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
        assert [a.status for a in await post.log.attempts(delivery.number)] == [500, 503, 502, 404, 302, 204]


async def test_messages_on_one_subject_arrive_in_order_and_others_pass_them(tmp_path):
    hooks_of = lambda url: settings(url, retry_after_s=(1,))  # noqa: E731
    async with Receiver(500) as receiver, Post(tmp_path / "state.db", hooks_of(receiver.url)) as post:
        await post.send(message("fired", "a"), message("resolved", "a"), message("other", "b"))
        await post.finished()
        assert [headers["webhook-id"] for headers, _, _ in receiver.seen] == ["fired", "other", "fired", "resolved"]


async def test_a_gone_endpoint_is_left_alone_until_a_replay(tmp_path):
    async with Receiver(410) as receiver, Post(tmp_path / "state.db", settings(receiver.url)) as post:
        await post.send(message("m1"))
        (delivery,) = await post.finished()
        await post.send(message("m2", "b"))
        assert {d.state for d in await post.finished()} == {State.FAILED}
        assert await post.log.disabled() == {"pager": "the endpoint answered 410: gone"}
        assert len(receiver.seen) == 1
        assert await post.log.replay(delivery.number, SystemClock().now_ms())
        post.sender.wake()
        await receiver.until(lambda seen: len(seen) == 2)
        assert receiver.seen[1][0]["webhook-id"] == "m1"
        assert await post.log.disabled() == {}


async def test_a_receiver_may_ask_for_time(tmp_path):
    async with (
        Receiver(429, headers={"Retry-After": "3600"}) as receiver,
        Post(tmp_path / "state.db", settings(receiver.url)) as post,
    ):
        await post.send(message())
        while not (await post.log.recent())[0].attempts:
            pass
        (delivery,) = await post.log.recent()
        assert delivery.next_ms - delivery.created_ms > 3_500_000


async def test_after_the_last_attempt_the_delivery_has_failed_and_says_why(tmp_path):
    async with (
        Receiver(*[500] * 9) as receiver,
        Post(tmp_path / "s", settings(receiver.url, retry_after_s=(0,))) as post,
    ):
        await post.send(message())
        (delivery,) = await post.finished()
        assert (delivery.state, delivery.attempts, delivery.last) == (State.FAILED, 2, "answered 500")


async def test_a_private_target_that_is_not_listed_is_never_connected_to(tmp_path):
    async with Receiver() as receiver:
        for url in (receiver.url, receiver.url.replace("127.0.0.1", "localhost")):
            hooks = settings(url, allow_private=(), retry_after_s=())
            async with Post(tmp_path / url[-9:-5], hooks) as post:
                await post.send(message())
                (delivery,) = await post.finished()
                assert "webhooks.allow_private" in delivery.last
        assert receiver.seen == []


async def test_a_redirect_is_not_followed(tmp_path):
    async with Receiver(*[307] * 5) as receiver:
        receiver.headers = {"Location": receiver.url}
        async with Post(tmp_path / "s", settings(receiver.url, retry_after_s=())) as post:
            await post.send(message())
            (delivery,) = await post.finished()
            assert (delivery.state, len(receiver.seen)) == (State.FAILED, 1)


async def test_rotated_secrets_sign_twice(tmp_path):
    newer = new_secret()
    async with Receiver() as receiver:
        async with Post(tmp_path / "s", settings(receiver.url, endpoint={"secrets": (newer, SECRET)})) as post:
            await post.send(message())
            await post.finished()
        headers, body, _ = receiver.seen[0]
        now_s = SystemClock().now_ms() // 1000
        assert verify(key_of(newer), headers, body, now_s) == verify(key_of(SECRET), headers, body, now_s) == "m1"


PROGRAM = """
import asyncio, sys
from console.clock import SystemClock
from console.demo.inbox import key_of, verify
from console.services import serve
from console.settings import Endpoint, Webhooks
from console.state.database import StateDatabase
from console.state.deliveries import DeliveryLog, Message
from console.webhooks.sender import WebhookSender

async def main(path, url, secret, count):
    async with StateDatabase(path) as database:
        log = DeliveryLog(database)
        await log.create()
        body = b'{"type":"alert.firing"}'
        await log.add([Message(id=f"m{i}", endpoint="pager", subject=f"s{i}", type="t", body=body) for i in range(count)], 1)
        endpoint = Endpoint(name="pager", url=url, secrets=(secret,))
        hooks = Webhooks(endpoints=(endpoint,), retry_after_s=(0.01,) * 9, allow_private=("127.0.0.0/8",))
        await serve([WebhookSender(log, hooks, SystemClock())])

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
"""


async def test_a_kill_in_the_middle_loses_nothing_and_duplicates_keep_their_id(tmp_path):
    async with Receiver(*[500] * 5) as receiver:
        half = lambda seen: len(seen) >= 20  # noqa: E731
        everything = lambda seen: len({h["webhook-id"] for h, _, status in seen if status == 204}) == 40  # noqa: E731
        for count, enough in ((40, half), (0, everything)):
            command = (sys.executable, "-c", PROGRAM, str(tmp_path / "s"), receiver.url, SECRET, str(count))
            process = await asyncio.create_subprocess_exec(*command)
            await receiver.until(enough)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        accepted = [headers["webhook-id"] for headers, _, status in receiver.seen if status == 204]
        assert set(accepted) == {f"m{i}" for i in range(40)}
        now_s = SystemClock().now_ms() // 1000
        for headers, body, _ in receiver.seen:
            assert verify(key_of(SECRET), headers, body, now_s) == headers["webhook-id"]


def test_retry_after_is_seconds_or_a_date():
    assert retry_after_s("120", 0) == 120
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 0) == 60
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 10**9) == 0
    assert retry_after_s("99999999", 0) == 86_400
    assert retry_after_s("soon", 0) == 0


@pytest.mark.parametrize("endpoint", [{"secrets": ()}, {"secrets": ("whsec_c2hvcnQ=",)}, {"secrets": ("hunter2",)}])
def test_an_endpoint_that_cannot_sign_is_refused_at_start(endpoint):
    with pytest.raises(EndpointError, match="pager"):
        WebhookSender(None, settings("https://example.com", endpoint=endpoint), SystemClock())
