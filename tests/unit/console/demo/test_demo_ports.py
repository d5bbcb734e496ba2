"""Where the demo listens when the customary places are taken."""

import socket

import pytest

from console.demo.members import free_ports, members
from console.demo.ports import TakenError, chosen_ports
from mesh_runtime.registry import Role


@pytest.fixture
def taken():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def numbers(ports):
    return [ports.page, ports.otlp_grpc, ports.otlp_http, ports.inbox, ports.payments]


def test_a_port_that_was_asked_for_is_never_replaced(taken):
    with pytest.raises(TakenError, match=f"port {taken} is taken; choose another --port"), chosen_ports(taken):
        pass


def test_a_taken_default_gives_way_to_the_next_free_one_and_is_told():
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 9480))
            holder.listen()
        except OSError:
            pass  # somebody else holds it, which serves as well
        with chosen_ports(0) as (ports, told):
            pass
    assert ports.payments > 9480
    assert f"port 9480 is taken; the payment provider uses {ports.payments}" in told


def test_all_ports_differ():
    with chosen_ports(0) as (ports, _):
        assert len(set(numbers(ports))) == 5


def test_demos_that_start_at_the_same_time_choose_different_ports():
    with chosen_ports(0) as (one, _), chosen_ports(0) as (other, told):
        assert not set(numbers(one)) & set(numbers(other))
        assert f"port 4317 is taken; OTLP over gRPC uses {other.otlp_grpc}" in told


def test_free_ports_are_free_and_differ():
    ports = free_ports()
    first, second = next(ports), next(ports)
    assert first != second
    socket.create_server(("127.0.0.1", first)).close()


def test_the_shop_has_two_versions_two_replicas_a_database_and_a_gateway():
    found = [
        (m.registration.service, m.registration.version, m.registration.protocol, m.registration.role)
        for m in members()
    ]
    assert {version for service, version, *_ in found if service == "catalog"} == {"v1", "v2"}
    assert len([service for service, *_ in found if service == "inventory"]) == 2
    assert ("db", "", "tcp", Role.SIDECAR) in found
    assert ("ingress", "", "http", Role.GATEWAY) in found
    ports = [m.registration.port for m in members() if m.command]
    assert len(set(ports)) == len(ports)
