import pytest

from collectors.logs import access
from collectors.logs.lines import read

NOW_NS = 1_790_000_000_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
ISTIO = (
    '[2026-09-21T14:13:20.123Z] "GET /istios?a=b HTTP/1.1" 503 UF upstream_reset_before_response_started{connection} '
    '- "TLS error" 0 145 3 - "-" "aiohttp/3" "d2c4" "catalog" "127.64.0.3:15006" '
    "outbound|80||catalog.shop.svc.cluster.local 127.64.0.2:44 127.64.0.2:15001 127.0.0.1:5 - default"
)
ENVOY = (
    '[2026-09-21T14:13:20.123Z] "POST /a HTTP/2" 200 - 154 0 226 100 "10.0.35.28" "nsq2http" '
    '"cc21" "locations" "tcp://10.0.2.1:80"'
)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ('{"level":"warn","msg":"slow"}', "warn"),
        ('{"severity":"CRITICAL"}', "fatal"),
        ('{"level":50,"msg":"pino"}', "error"),
        ("2026-09-21 14:13:20,123 WARNING shop.catalog: slow", "warn"),
        ('level=error msg="no" trace=1', "error"),
        ("E0921 14:13:20.123456    1 main.go:1] no", "error"),
        ("[2026-09-21 14:13:20.123][12][critical][main] [source/server.cc] no", "fatal"),
        ("14:13:20.123 [main] ERROR com.shop.Catalog - no", "error"),
        ("an error-prone text about information", ""),
        ("plain", ""),
    ],
)
def test_a_level_is_found_in_whatever_way_a_program_writes_it(text, level):
    assert read(text, NOW_NS).level == level


@pytest.mark.parametrize(
    "text",
    [
        '{"time":"2026-09-21T14:13:20.123Z","msg":"a"}',
        '{"ts":1790000000.123}',
        '{"@timestamp":1790000000123}',
        "2026-09-21T14:13:20.123Z INFO a",
        "2026-09-21T16:13:20.123+02:00 INFO a",
        'time="2026-09-21T14:13:20.123Z" level=info',
    ],
)
def test_a_line_is_of_the_instant_that_it_names(text):
    now_ns = NOW_NS + 3600 * 10**9
    assert abs(read(text, now_ns).at_ns - 1_790_000_000_123_000_000) < 1000


def test_a_line_without_time_or_from_the_future_is_of_when_it_was_read():
    assert read("plain", NOW_NS).at_ns == NOW_NS
    assert read("2036-09-21T14:13:20Z from a wrong clock", NOW_NS).at_ns == NOW_NS


@pytest.mark.parametrize(
    "text",
    [
        f'{{"trace_id":"{TRACE}","span_id":"b7ad6b7169203331"}}',
        f'{{"otelTraceID":"{TRACE}","otelSpanID":"b7ad6b7169203331"}}',
        f"INFO [trace_id={TRACE} span_id=b7ad6b7169203331 resource.service.name=x] a",
        f"INFO asked with 00-{TRACE}-b7ad6b7169203331-01",
    ],
)
def test_a_line_names_its_trace_and_span(text):
    told = read(text, NOW_NS)
    assert (told.trace_id, told.span_id) == (TRACE, "b7ad6b7169203331")


def test_a_stack_trace_is_of_the_line_that_it_follows():
    first = read(f"2026-09-21T14:13:20Z ERROR failed trace_id={TRACE}", NOW_NS)
    for text in ("Traceback (most recent call last):", '  File "a.py", line 1', "ValueError: no"):
        assert read(text, NOW_NS + 10**12, first) == first


def test_istios_and_envoys_access_logs_are_read():
    found = access.of_line(ISTIO)
    assert (found.method, found.path, found.code, found.flags) == ("GET", "/istios?a=b", "503", "UF")
    assert (found.duration_ms, found.sent, found.request_id) == (3, 145, "d2c4")
    assert found.upstream_cluster == "outbound|80||catalog.shop.svc.cluster.local"
    assert found.failed
    assert access.level(found) == "error"
    plain = access.of_line(ENVOY)
    assert (plain.method, plain.code, plain.authority, plain.received) == ("POST", "200", "locations", 154)
    assert not plain.failed
    assert access.is_access(ISTIO)
    assert not access.is_access("[2026-09-21 14:13:20.123][12][critical][main] no")


def test_a_hostile_user_agent_costs_no_time():
    hostile = ISTIO.replace("aiohttp/3", '" "' * 4000)
    assert access.of_line(hostile) is None or access.of_line(hostile).method == "GET"


@pytest.mark.parametrize(
    "text", ['{"response_code": {}, "response_flags": []}', "{", '{"ts": 1e300}', "\x00", '{"level": []}']
)
def test_strange_lines_are_of_the_moment_at_which_they_were_found(text):
    told = read(text, NOW_NS)
    assert (told.at_ns, told.trace_id) == (NOW_NS, "")
    request = access.of_line(text)
    assert request is None or (request.method, request.at_ns) == ("", 0)
