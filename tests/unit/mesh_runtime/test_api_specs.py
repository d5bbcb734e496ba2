import pytest
from config_words import http, manifest, policy, service

from mesh_runtime.api import parse
from mesh_runtime.api.values import Duration

ALL_OF_HTTP = http(
    name="main",
    match=[
        {
            "uri": {"prefix": "/v1"},
            "scheme": {"exact": "http"},
            "method": {"regex": "GET|POST"},
            "authority": {"exact": "catalog"},
            "headers": {"x-user": {"exact": "a"}, "x-there": {}},
            "queryParams": {"q": {"exact": "1"}},
            "port": 80,
            "gateways": ["mesh", "ingress", "istio-system/main"],
            "sourceLabels": {"app": "frontend"},
            "sourceNamespace": "shop",
            "ignoreUriCase": True,
        }
    ],
    timeout="1.5s",
    retries={"attempts": 3, "perTryTimeout": "500ms", "retryOn": "5xx,connect-failure, 503", "backoff": "25ms"},
    fault={
        "delay": {"fixedDelay": "2s", "percentage": {"value": 0.5}},
        "abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 100}},
    },
    rewrite={"uri": "/"},
    mirror={"host": "catalog", "subset": "v2"},
    mirrorPercentage={"value": 12.5},
    headers={
        "request": {
            "set": {"x-a": "%REQ(x?:path):9%-%PROTOCOL% %DYNAMIC_METADATA(a:b)%", ":authority": "b"},
            "add": {"x-b": "100%%"},
            "remove": ["x-c"],
        },
        "response": {"add": {"x-d": "1"}},
    },
)


def test_a_route_may_say_everything_the_runtime_does():
    spec = parse(ALL_OF_HTTP).spec
    rule = spec.http[0]
    assert rule.timeout.seconds == 1.5
    assert rule.retries.per_try_timeout.ms == 500
    assert rule.fault.delay.percentage.millionths == 5_000
    assert rule.match[0].source_labels == {"app": "frontend"}
    assert rule.headers.request.remove == ("x-c",)
    assert spec.gateways == ("mesh",)


def test_a_policy_may_say_everything_the_runtime_does():
    data = policy(
        loadBalancer={
            "consistentHash": {"httpCookie": {"name": "u", "ttl": "1h"}, "ringHash": {"minimumRingSize": 64}}
        },
        connectionPool={
            "tcp": {
                "maxConnections": 10,
                "connectTimeout": "30ms",
                "tcpKeepalive": {"probes": 3, "time": "7200s", "interval": "75s"},
                "maxConnectionDuration": "1h",
                "idleTimeout": "1m",
            },
            "http": {
                "http1MaxPendingRequests": 1,
                "http2MaxRequests": 2,
                "maxRequestsPerConnection": 3,
                "maxRetries": 4,
                "idleTimeout": "1h",
                "h2UpgradePolicy": "UPGRADE",
                "maxConcurrentStreams": 5,
            },
        },
        outlierDetection={
            "consecutive5xxErrors": 5,
            "consecutiveGatewayErrors": 0,
            "consecutiveLocalOriginFailures": 2,
            "splitExternalLocalOriginErrors": True,
            "interval": "1s",
            "baseEjectionTime": "30s",
            "maxEjectionPercent": 50,
            "minHealthPercent": 0,
        },
        tls={"mode": "ISTIO_MUTUAL"},
    )
    found = parse(data).spec.traffic_policy
    assert found.outlier_detection.consecutive_5xx_errors == 5
    assert found.load_balancer.consistent_hash.http_cookie.ttl.seconds == 3600


@pytest.mark.parametrize(
    ("name", "app_protocol", "protocol"),
    [
        ("http", "", "http"),
        ("http-web", "", "http"),
        ("grpc-api", "", "grpc"),
        ("http2", "", "http2"),
        ("redis", "", "tcp"),
        ("", "", "auto"),
        ("web", "", "auto"),
        ("grpc-web", "", "grpc-web"),
        ("grpc-web-site", "", "grpc-web"),
        ("https", "", "tls"),
        ("tls-db", "", "tls"),
        ("web", "HTTPS", "tls"),
        ("mongo-main", "", "tcp"),
        ("http", "kubernetes.io/wss", "tls"),
        ("web", "http", "http"),
        ("http", "kubernetes.io/h2c", "http2"),
        ("http", "unheard-of", "auto"),
    ],
)
def test_a_ports_protocol_is_told_by_app_protocol_then_by_name(name, app_protocol, protocol):
    port = {"port": 80} | ({"name": name} if name else {}) | ({"appProtocol": app_protocol} if app_protocol else {})
    assert parse(service(ports=[port])).spec.ports[0].mesh_protocol == protocol


@pytest.mark.parametrize(
    ("text", "ms"), [("5s", 5000), ("100ms", 100), ("1h30m", 5_400_000), ("0.5s", 500), ("1m0.001s", 60_001)]
)
def test_durations_are_read_as_go_reads_them_and_written_as_they_were(text, ms):
    assert Duration.parse(text).ms == ms
    assert parse(http(timeout=text)).manifest["spec"]["http"][0]["timeout"] == text


@pytest.mark.parametrize(
    ("data", "place", "value"),
    [
        (http(mirror={"host": "catalog"}, mirror_percent=5), ("http", 0, "mirrorPercent"), 5),
        (
            manifest(
                "RequestAuthentication",
                "a",
                {"jwtRules": [{"issuer": "a", "jwks_uri": "https://a.example.com/keys"}]},
            ),
            ("jwtRules", 0, "jwksUri"),
            "https://a.example.com/keys",
        ),
    ],
)
def test_fields_that_istio_takes_by_an_older_spelling_are_written_in_the_newer_one(data, place, value):
    found = parse(data).manifest["spec"]
    for step in place:
        found = found[step]
    assert found == value
