import pytest

from mesh_runtime.api import Config, load
from mesh_runtime.identity.enrolment import group_of, instance_of, missing_service, workload_name
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


def test_a_gateway_that_members_call_gets_a_service():
    gateway = registration(role=Role.GATEWAY, service="egress", port=0, ports={"https": 443})
    made = missing_service(Config(), gateway)
    assert made.manifest["spec"] == {
        "selector": {"app": "egress"},
        "ports": [{"name": "https", "port": 443, "targetPort": 443}],
    }
    assert instance_of(gateway, key="shop/egress~0", address="127.64.1.7").ports == {}


def test_a_service_is_made_once():
    made = missing_service(Config(), registration(protocol="grpc"))
    assert made.manifest["spec"] == {
        "selector": {"app": "catalog"},
        "ports": [{"name": "grpc", "port": 80, "targetPort": 8080}],
    }
    assert missing_service(Config(objects={made.key: made}), registration()) is None


GROUP = """
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: catalog, namespace: shop}
spec:
  metadata: {labels: {class: vm, app: books}}
  template: {serviceAccount: books, locality: region/zone, ports: {web: 8080, http-admin: 9090}, labels: {tier: back}}
"""


def test_a_workload_takes_from_its_group_what_it_does_not_say_itself():
    (item,) = load(GROUP)
    config = Config(objects={item.key: item})
    wanted = registration(version="v2", labels={"tier": "front"})
    group = group_of(config, wanted)
    instance = instance_of(wanted, key="shop/catalog-v2~0", address="127.64.1.7", group=group)
    assert instance.service_account == "books"
    assert instance.locality == "region/zone"
    assert instance.ports == {"web": 8080, "http-admin": 9090}
    assert {name: instance.labels[name] for name in ("class", "tier", "version")} == {
        "class": "vm",
        "tier": "front",
        "version": "v2",
    }
    assert missing_service(config, wanted).manifest["spec"]["selector"] == {"app": "books"}


def test_groups_of_other_namespaces_and_names_have_no_say():
    (item,) = load(GROUP)
    config = Config(objects={item.key: item})
    assert group_of(config, registration(namespace="other")) is None
    assert group_of(config, registration(service="orders")) is None
    assert group_of(config, registration(role=Role.GATEWAY, port=0)) is None
