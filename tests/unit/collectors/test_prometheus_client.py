"""The query API over a real socket. Thanos, Mimir and VictoriaMetrics do not run here: their answers are recorded."""

import asyncio
import ssl

import pytest
from aiohttp import web
from clocks import FakeClock
from own_ca import OwnCA

from collectors.errors import CollectorError
from collectors.prometheus.breaker import Breaker, Circuit, RestingError
from collectors.prometheus.catalogue import Catalogue
from collectors.prometheus.client import PrometheusClient, QueryError, TooMuchError
from collectors.prometheus.config import PrometheusConfig

EMPTY = '{"status":"success","data":{"resultType":"vector","result":[]}}'
SECRET = "s3cr3t-token"


class Server:
    """Answers with what the test says, and remembers what it was asked."""

    def __init__(self, body: str = EMPTY, status: int = 200, kind: str = "application/json") -> None:
        self.body, self.status, self.kind = body, status, kind
        self.delay_s = 0.0
        self.asked: list[web.Request] = []
        self.forms: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked.append(request)
        self.forms.append(dict(await request.post()))
        await asyncio.sleep(self.delay_s)
        self.at_once -= 1
        return web.Response(text=self.body, status=self.status, content_type=self.kind)


@pytest.fixture
async def server():
    answering = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answering.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    answering.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield answering
    await runner.cleanup()


@pytest.fixture
async def client(server):
    made = []

    def make(url: str = "", **settings) -> PrometheusClient:
        made.append(PrometheusClient(PrometheusConfig(url=url or server.url, name="prod", **settings), FakeClock()))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def refused(client: PrometheusClient) -> str:
    with pytest.raises(CollectorError) as caught:
        await client.query("up")
    return str(caught.value)


async def test_a_query_is_posted_below_the_path_prefix_with_its_instant(server, client):
    await client(f"{server.url}/prometheus/").query("up", at_ms=1_500)
    assert (server.asked[0].method, server.asked[0].path) == ("POST", "/prometheus/api/v1/query")
    assert server.forms[0] == {"query": "up", "time": "1.500", "timeout": "10s"}


async def test_basic_authentication_comes_from_settings_or_from_the_address(server, client):
    await client(username="ann", password="pw").query("up")
    await client(server.url.replace("http://", "http://ann:pw@")).query("up")
    assert {one.headers["Authorization"] for one in server.asked} == {"Basic YW5uOnB3"}


async def test_a_token_file_is_read_again_when_it_is_rotated(server, client, tmp_path):
    file = tmp_path / "token"
    asking = client(bearer_token_file=str(file))
    assert "bearer_token_file" in await refused(asking)
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        await asking.query("up")
    assert [one.headers["Authorization"] for one in server.asked] == ["Bearer one", "Bearer two"]


async def test_a_tenant_goes_into_a_header(server, client):
    await client(headers={"X-Scope-OrgID": "team"}).query("up")
    assert server.asked[0].headers["X-Scope-OrgID"] == "team"


async def test_no_secret_is_ever_in_an_error(server, client, tmp_path):
    server.status, server.body = 403, f"token {SECRET} may not"
    (tmp_path / "token").write_text(SECRET)
    ways = [
        {"bearer_token": SECRET},
        {"bearer_token_file": str(tmp_path / "token")},
        {"username": "ann", "password": SECRET},
        {"headers": {"X-Key": SECRET}},
        {"url": server.url.replace("http://", f"http://ann:{SECRET}@")},
    ]
    for way in ways:
        asking = client(**way)
        told = [await refused(asking), repr(asking.config), asking.breaker.reason]
        with pytest.raises(CollectorError) as caught:
            await Catalogue(asking, FakeClock()).contents()
        assert not [text for text in (*told, str(caught.value)) if SECRET in text], way
        assert "may not query" in told[0]


@pytest.mark.parametrize(
    ("status", "body", "way_out"),
    [
        (401, "", "bearer_token_file"),
        # Mimir without a tenant
        (401, "no org id\n", "X-Scope-OrgID"),
        (404, "404 page not found", "/prometheus"),
        (302, "", "set url to where it leads"),
        (429, "too many requests", "longer interval_s"),
        (503, '{"status":"error","errorType":"timeout","error":"query timed out"}', "query timed out"),
    ],
)
async def test_a_refusal_names_the_way_out(server, client, status, body, way_out):
    server.status, server.body, server.kind = status, body, "text/plain"
    told = await refused(client())
    assert way_out in told
    assert f"prometheus prod ({server.url})" in told


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"username": "ann", "password": "pw"}, "this username and password"),
        ({"bearer_token": "t"}, "this bearer token"),
    ],
)
async def test_whoever_gave_credentials_is_told_that_they_are_not_taken(server, client, given, named):
    server.status, server.body = 401, "Unauthorized"
    assert f"it does not take {named}" in await refused(client(**given))


async def test_a_certificate_without_its_key_is_told_with_the_setting_for_it(client, tmp_path):
    ours = tmp_path / "client.pem"
    ours.write_text(OwnCA().pem)
    with pytest.raises(CollectorError, match=rf"cert_file {ours}: that is no certificate with its key.*set key_file"):
        client("https://127.0.0.1:9", cert_file=str(ours))


@pytest.mark.parametrize(
    "said",
    [
        # Prometheus, Mimir, VictoriaMetrics, Thanos
        "query processing would load too many samples into memory in query execution",
        "the query exceeded the maximum number of chunks (limit: 2000000 chunks) (err-mimir-max-chunks-per-query)",
        "the number of matching timeseries exceeds 300000; increase -search.maxUniqueTimeseries at vmselect",
        "expanded matching posting: fetch series: exceeded series limit",
    ],
)
async def test_too_much_is_told_apart_from_a_wrong_query(server, client, said):
    server.status, server.body = 422, f'{{"status":"error","errorType":"execution","error":"{said}"}}'
    asking = client()
    with pytest.raises(TooMuchError, match="answered 422"):
        await asking.query("up")
    server.status, server.body = 400, '{"status":"error","errorType":"bad_data","error":"parse error"}'
    for _ in range(5):
        with pytest.raises(QueryError, match="parse error"):
            await asking.query("up{")
    assert asking.breaker.circuit is Circuit.CLOSED


@pytest.mark.parametrize(
    "body", ["<html>log in</html>", "", "[]", '{"status":"success"}', '{"status":"success","data":{"result":7}}']
)
async def test_something_else_than_the_api_is_called_so(server, client, body):
    server.body, server.kind = body, "text/html"
    assert "answers something else than the query API does (text/html" in await refused(client())


async def test_a_partial_answer_keeps_its_warnings(server, client):
    thanos = 'fetch series for {cluster=\\"b\\"} store-1:10901: rpc error: code = Unavailable'
    server.body = EMPTY.replace('"success",', f'"success","warnings":["{thanos}"],', 1)
    answer = await client().query("up")
    assert answer.partial
    assert answer.warnings == (thanos.replace("\\", ""),)
    # VictoriaMetrics' cluster
    server.body = EMPTY.replace('"success",', '"success","isPartial":true,', 1)
    answer = await client().query("up")
    assert (answer.partial, answer.warnings) == (True, ("some storage nodes did not answer",))
    server.body = EMPTY.replace('"success",', '"success","isPartial":false,"stats":{"seriesFetched":"0"},', 1)
    assert not (await client().query("up")).partial
    # Prometheus 3 on the query itself
    server.body = EMPTY.replace('"success",', '"success","infos":["PromQL info: might not be a counter"],', 1)
    assert not (await client().query("up")).partial


async def test_an_answer_above_the_limit_is_refused(server, client):
    server.body = " " * 5000
    with pytest.raises(TooMuchError, match="more than 1000 bytes"):
        await client(most_bytes=1000).query("up")


async def test_a_slow_answer_is_given_up_and_queries_at_once_are_bounded(server, client):
    server.delay_s = 0.05
    asking = client(at_once=2)
    await asyncio.gather(*(asking.query("up") for _ in range(6)))
    assert server.most_at_once == 2
    server.delay_s = 5
    assert "did not answer within 0.1 s (timeout_s)" in await refused(client(timeout_s=0.1))


async def test_nobody_there_is_told(client):
    assert "cannot be reached" in await refused(client("http://127.0.0.1:9"))


async def test_a_server_without_tls_is_not_called_untrusted(server, client):
    told = await refused(client(server.url.replace("http:", "https:")))
    assert "speaks no TLS, or wants a certificate of ours: wrong version number; set http instead of https" in told


async def test_a_certificate_of_ours_is_shown_and_theirs_is_checked(client, tmp_path):
    authority = OwnCA()
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.pem)
    for name in ("server", "client"):
        pair = authority.issue(f"{name}.test")
        (tmp_path / f"{name}.pem").write_text(pair.pem + pair.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.load_cert_chain(tmp_path / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Server().answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        ours = {"cert_file": str(tmp_path / "client.pem"), "server_name": "server.test"}
        assert (await client(url, ca_file=str(ca), **ours).query("up")).result == []
        assert "set ca_file" in await refused(client(url, **ours))
        assert "certificate of ours" in await refused(client(url, ca_file=str(ca), server_name="server.test"))
        assert "speak https only" in await refused(client(url.replace("https:", "http:")))
    finally:
        await runner.cleanup()


def test_the_circuit_opens_after_failures_and_closes_after_a_trial_with_growing_pauses():
    clock = FakeClock(now_ms=0)
    breaker = Breaker(clock, failures=2, first_s=1, most_s=3)
    for _ in range(2):
        breaker.admit()
        breaker.failed("prometheus prod is away")
    pauses = []
    for _ in range(3):
        assert breaker.circuit is Circuit.OPEN
        with pytest.raises(RestingError, match=r"away \(asked again in"):
            breaker.admit()
        before = clock.now
        while breaker.circuit is Circuit.OPEN:
            clock.now += 500
        pauses.append((clock.now - before) / 1000)
        breaker.admit()
        with pytest.raises(RestingError, match="on trial"):
            breaker.admit()
        breaker.failed("still away")
    assert pauses == [1, 2, 3]
    clock.set_by_ms = -3_600_000  # which changes no pause
    clock.now += 3000
    breaker.admit()
    breaker.succeeded()
    assert (breaker.circuit, breaker.reason) == (Circuit.CLOSED, "")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"url": "prometheus:9090"}, "http://"),
        ({"url": "http://h/?x=1"}, r"without \?"),
        ({"url": "http://h", "username": "a", "bearer_token": "b"}, "not several"),
        ({"url": "http://h", "key_file": "k"}, "cert_file"),
        ({"url": "http://h", "interval_s": 0}, "interval_s"),
        ({"url": "http://ann:s3cr3t-word@h:x y"}, "port|address"),
    ],
)
def test_a_setting_that_cannot_work_is_named(settings, complaint):
    with pytest.raises((CollectorError, ValueError), match=complaint) as caught:
        PrometheusConfig(**settings)
    assert "s3cr3t-word" not in str(caught.value)
