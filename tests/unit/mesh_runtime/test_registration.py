"""What an agent may ask for, and how it travels."""

import pytest

from mesh_runtime.agent import wire
from mesh_runtime.agent.environment import environment
from mesh_runtime.registration import Grant, InvalidRegistrationError, Registration
from mesh_runtime.registry import Role
from mesh_runtime.sidecar.bootstrap import TOKEN_KEY, bootstrap

CATALOG = Registration(
    role=Role.SIDECAR, namespace="shop", service="catalog", version="v2", port=8080, admin="/run/1.sock"
)
GRANT = Grant(
    id="shop/catalog-v2~0",
    node_id="sidecar~127.64.1.1~catalog-v2~0.shop",
    workload="catalog-v2",
    address="127.64.1.1",
    token="a secret",
    service_account="catalog",
    outbound_port=15001,
    xds_socket="/run/xds.sock",
    tcp_services={"order-db": ("127.64.1.1", 6379)},
)


@pytest.mark.parametrize("message", [CATALOG, GRANT, wire.Heartbeat(ids=("a", "b")), wire.Unknown(unknown=())])
def test_a_message_arrives_as_it_was_sent(message):
    assert wire.decode(type(message), wire.encode(message)) == message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"service": "Catalog"}, "service 'Catalog' is not a DNS label"),
        ({"namespace": ""}, "namespace '' is not a DNS label"),
        ({"service_account": "a b"}, "service_account 'a b'"),
        ({"port": 0}, "port 0 is not between 1 and 65535"),
        ({"protocol": "smtp"}, "use one of http, http2, grpc, grpc-web, tcp"),
        ({"labels": {"app": "x" * 64}}, "label app="),
        ({"version": "v 2"}, "label version=v 2"),
    ],
)
def test_what_no_control_plane_would_accept_is_refused_by_name(change, named):
    with pytest.raises(InvalidRegistrationError, match=named):
        Registration(**{"role": Role.SIDECAR, "namespace": "shop", "service": "catalog", "port": 8080, **change})


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"role": "sidecar"}', b'{"role": "king"}', b"\xff"])
def test_a_malformed_message_is_a_wire_error(body):
    with pytest.raises(wire.WireError):
        wire.decode(Registration, body)


def test_an_invalid_registration_on_the_wire_names_its_field():
    body = b'{"role": "sidecar", "namespace": "shop", "service": "catalog", "port": 70000}'
    with pytest.raises(wire.WireError, match="port 70000"):
        wire.decode(Registration, body)


def test_a_gateway_needs_no_port():
    assert Registration(role=Role.GATEWAY, namespace="shop", service="ingress").port == 0


def test_a_command_finds_its_port_its_proxy_and_its_tcp_services():
    found = environment(GRANT, CATALOG, otlp="http://127.0.0.1:4317")
    assert found["PORT"] == "8080"
    assert found["http_proxy"] == found["HTTP_PROXY"] == "http://127.64.1.1:15001"
    assert found["NO_PROXY"] == "127.0.0.1,localhost,::1"
    assert (found["ORDER_DB_HOST"], found["ORDER_DB_PORT"]) == ("127.64.1.1", "6379")
    assert found["OTEL_SERVICE_NAME"] == "catalog"
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4317"
    assert (
        "service.namespace=shop,service.version=v2,service.instance.id=shop/catalog-v2~0"
        in (found["OTEL_RESOURCE_ATTRIBUTES"])
    )


def test_without_a_receiver_no_endpoint_is_named():
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment(GRANT, CATALOG, otlp="")


def test_a_bootstrap_carries_identity_token_and_a_private_admin_socket():
    built = bootstrap(GRANT, CATALOG)
    (service,) = built["dynamic_resources"]["ads_config"]["grpc_services"]
    assert built["node"]["id"] == GRANT.node_id
    assert service["initial_metadata"] == [{"key": TOKEN_KEY, "value": "a secret"}]
    assert built["admin"]["address"]["pipe"] == {"path": "/run/1.sock", "mode": 0o600}
    assert "a secret" not in str({key: value for key, value in built.items() if key != "dynamic_resources"})
