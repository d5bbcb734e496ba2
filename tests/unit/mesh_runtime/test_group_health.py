"""How a WorkloadGroup's probe reaches the agents of its workloads."""

import pytest
import yaml

from mesh_runtime.agent import wire
from mesh_runtime.api import load
from mesh_runtime.identity.enrolment import health_of
from mesh_runtime.registration import Grant, Health, Start


def group(probe):
    manifest = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "catalog", "namespace": "shop"},
        "spec": {"template": {}, **({"probe": probe} if probe else {})},
    }
    (item,) = load(yaml.safe_dump(manifest))
    return item.spec


@pytest.mark.parametrize(
    ("probe", "health"),
    [
        (None, None),
        ({"grpc": {"port": 9, "service": "rates"}}, Health(port=9, grpc="rates", interval_s=10)),
        ({"tcpSocket": {"port": 9}}, Health(port=9, interval_s=10)),
        ({"exec": {"command": ["redis-cli", "ping"]}}, Health(command=("redis-cli", "ping"), interval_s=10)),
        (
            {"httpGet": {"port": 8, "path": "ready", "httpHeaders": [{"name": "x-a", "value": "1"}]}},
            Health(path="/ready", port=8, headers={"x-a": "1"}, interval_s=10),
        ),
        (
            {
                "httpGet": {"port": 8, "scheme": "HTTPS", "host": "::1"},
                "initialDelaySeconds": 1,
                "periodSeconds": 2,
                "timeoutSeconds": 3,
                "successThreshold": 4,
                "failureThreshold": 5,
            },
            Health(
                path="/",
                host="::1",
                port=8,
                encrypted=True,
                delay_s=1,
                interval_s=2,
                timeout_s=3,
                successes=4,
                failures=5,
            ),
        ),
    ],
)
def test_a_group_s_probe_is_what_its_agents_ask(probe, health):
    assert health_of(group(probe)) == health


def test_the_probe_survives_the_way_to_the_agent():
    grant = Grant(
        id="a",
        node_id="a",
        workload="a",
        address="127.0.0.1",
        token="t",
        service_account="a",
        outbound_port=1,
        xds_socket="s",
        health=Health(path="/ready", headers={"x-a": "1"}, command=("test", "-e", "a")),
        start=Start(concurrency=2, environment={"A": "b"}),
    )
    assert wire.decode(Grant, wire.encode(grant)) == grant
