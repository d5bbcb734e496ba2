import pytest

from mesh_runtime.api import Config
from mesh_runtime.identity.enrolment import instance_of, missing_service, workload_name
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Role


def registration(**options):
    return Registration(**{"role": Role.SIDECAR, "namespace": "shop", "service": "catalog", "port": 8080, **options})


@pytest.mark.parametrize(("version", "name"), [("", "catalog"), ("v2", "catalog-v2")])
def test_a_workload_is_named_by_service_and_version(version, name):
    assert workload_name(registration(version=version)) == name


def test_an_instance_carries_kubernetes_and_istio_s_labels_and_its_service_s_account():
    instance = instance_of(registration(version="v2"), key="shop/catalog-v2~1", address="127.64.1.7")
    assert instance.labels == {
        "app": "catalog",
        "version": "v2",
        "service.istio.io/canonical-name": "catalog",
        "service.istio.io/canonical-revision": "v2",
    }
    assert instance.service_account == "catalog"
    assert instance.node_id == "sidecar~127.64.1.7~catalog-v2~1.shop"
    assert instance.ports == {"http": 8080}


def test_labels_that_are_given_come_first():
    instance = instance_of(registration(labels={"app": "books"}), key="shop/catalog~0", address="127.64.1.7")
    assert instance.labels["service.istio.io/canonical-name"] == "books"


def test_what_does_not_listen_yet_gets_no_traffic():
    assert instance_of(registration(starting=True), key="shop/catalog~0", address="127.64.1.7").draining


def test_a_gateway_has_neither_ports_nor_a_service():
    gateway = registration(role=Role.GATEWAY, service="ingress", port=0, version="v1")
    instance = instance_of(gateway, key="shop/ingress~0", address="127.64.1.7")
    assert (instance.workload, instance.service, instance.ports) == ("ingress", "", {})
    assert missing_service(Config(), gateway) is None


def test_a_service_is_made_once():
    made = missing_service(Config(), registration(protocol="grpc"))
    assert made.manifest["spec"] == {
        "selector": {"app": "catalog"},
        "ports": [{"name": "grpc", "port": 80, "targetPort": 8080}],
    }
    assert missing_service(Config(objects={made.key: made}), registration()) is None
