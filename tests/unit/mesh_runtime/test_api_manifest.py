import pytest
from config_words import core, manifest, route, rule, said, service, to, virtual_service

from mesh_runtime.api import KINDS, ConfigError, dump, find_kind, load, parse
from mesh_runtime.api.core import Service


def test_an_object_knows_its_key_its_labels_and_its_spec():
    data = service()
    data["metadata"]["labels"] = {"team": "one"}
    item = parse(data)
    assert str(item.key) == "Service shop/catalog"
    assert item.labels == {"team": "one"}
    assert isinstance(item.spec, Service)
    assert item.spec.ports[0].target_port == 8080


def test_an_object_without_a_namespace_gets_the_default_one():
    data = service()
    del data["metadata"]["namespace"]
    assert parse(data, default_namespace="shop") == parse(service())


def test_every_problem_of_an_object_is_told_at_once():
    data = virtual_service(
        {"route": [{"destination": {"host": "Cata log"}, "wieght": 5}]},
        route(to("catalog", "v1", 0), to("catalog", "v2", 0)),
        route(to("catalog"), timeout="5", redirect={"uri": "/"}),
        retry={},
    )
    data["metadata"]["labels"] = {"version": 2}
    problems = said(data)
    assert set(problems) == {
        "metadata.labels.version",
        "spec.http[0].route[0].destination.host",
        "spec.http[0].route[0].wieght",
        "spec.http[1].route",
        "spec.http[2].timeout",
        "spec.retry",
    }
    assert "did you mean weight?" in problems["spec.http[0].route[0].wieght"]
    assert "put it in quotes" in problems["metadata.labels.version"]
    assert "the weights are all 0" in problems["spec.http[1].route"]


def test_a_problem_names_the_object_the_field_and_the_way_out():
    with pytest.raises(ConfigError) as refused:
        parse(virtual_service({"route": [to("catalog", weight="80")]}))
    assert str(refused.value) == (
        "VirtualService shop/catalog spec.http[0].route[0].weight: must be a whole number, not text (80)"
    )


def test_a_field_that_istio_has_and_we_do_not_is_told_apart_from_a_wrong_one():
    rule = {"issuer": "a", "presence": "REQUIRED", "presents": True}
    problems = said(manifest("RequestAuthentication", "a", {"jwtRules": [rule]}))
    assert "AuthorizationPolicy with notRequestPrincipals" in problems["spec.jwtRules[0].presence"]
    assert "is not a field here" in problems["spec.jwtRules[0].presents"]


@pytest.mark.parametrize(
    ("version", "kind", "words"),
    [
        ("gateway.networking.k8s.io/v1", "Gateway", "the Gateway API's, but this runtime does not support it yet"),
        ("apps/v1", "Deployment", "start them with meshscope run"),
        ("networking.istio.io/v1", "VirtualServce", "did you mean VirtualService?"),
        ("networking.istio.io/v1", "vs", "did you mean VirtualService?"),
    ],
)
def test_a_kind_that_is_not_ours_is_refused_with_the_reason(version, kind, words):
    data = {"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": {"anything": 1}}
    assert list(said(data)) == ["kind"]
    assert words in said(data)["kind"]


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_older_versions_of_istios_api_are_the_same_object(version):
    data = rule("v1") | {"apiVersion": f"networking.istio.io/{version}"}
    assert parse(data) == parse(rule("v1"))


def test_a_version_that_does_not_exist_is_refused():
    assert "must be networking.istio.io/v1" in said(rule("v1") | {"apiVersion": "networking.istio.io/v9"})["apiVersion"]


def test_what_a_cluster_adds_is_not_config():
    data = service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], sessionAffinity="None", ipFamilyPolicy="SingleStack")
    data["metadata"] |= {
        "uid": "1",
        "resourceVersion": "2",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    data["status"] = {"loadBalancer": {}}
    plain = service(sessionAffinity="None")
    assert parse(data).manifest == parse(plain).manifest


def test_the_canonical_form_has_one_order_and_nothing_that_was_not_said():
    data = {
        "spec": {
            "http": [{"route": [{"weight": None, "destination": {"port": {"number": 80}, "host": "catalog"}}]}],
            "hosts": ["catalog"],
        },
        "metadata": {"labels": {"b": "2", "a": "1"}, "annotations": {}, "namespace": "shop", "name": "catalog"},
        "kind": "VirtualService",
        "apiVersion": "networking.istio.io/v1beta1",
    }
    assert dump([parse(data)]) == (
        "apiVersion: networking.istio.io/v1\n"
        "kind: VirtualService\n"
        "metadata:\n"
        "  name: catalog\n"
        "  namespace: shop\n"
        "  labels:\n"
        "    a: '1'\n"
        "    b: '2'\n"
        "spec:\n"
        "  hosts:\n"
        "  - catalog\n"
        "  http:\n"
        "  - route:\n"
        "    - destination:\n"
        "        host: catalog\n"
        "        port:\n"
        "          number: 80\n"
    )


def test_what_the_canonical_form_shares_with_its_source_cannot_be_changed_through_it():
    data = rule("v1")
    item = parse(data)
    data["spec"]["subsets"][0]["labels"]["version"] = "v9"
    assert item.manifest["spec"]["subsets"][0]["labels"] == {"version": "v1"}


@pytest.mark.parametrize("name", ["", "Upper", "a b", "-a", "a" * 254, 7, None, ["a"]])
def test_a_name_must_be_a_dns_name(name):
    assert list(said(manifest("DestinationRule", name, {"host": "catalog"}))) == ["metadata.name"]


def test_a_service_must_be_usable_as_a_dns_label():
    data = service()
    data["metadata"]["name"] = "a.b"
    assert "is not a service name" in said(data)["metadata.name"]


def test_a_namespace_has_no_namespace():
    data = manifest("Namespace", "shop")
    data["metadata"]["namespace"] = "shop"
    assert "has no namespace" in said(data)["metadata.namespace"]


@pytest.mark.parametrize("value", [None, 5, "text", [], {}, {"kind": "Service"}, {"kind": 5}, {5: 6}, {"a": {1, 2}}])
def test_what_is_no_manifest_is_refused_in_words(value):
    assert said(value)


def test_a_manifest_that_contains_itself_is_refused():
    data = service()
    data["spec"]["selector"] = data
    assert any("levels deep" in text for text in said(data).values())


@pytest.mark.parametrize("name", ["vs", "VS", "virtualservice", "virtualservices", "VirtualService"])
def test_a_kind_is_found_by_each_of_its_names(name):
    assert find_kind(name) is KINDS["VirtualService"]


def test_a_kind_is_found_with_its_group_but_not_with_another():
    assert find_kind("gateways.networking.istio.io") is KINDS["Gateway"]
    assert find_kind("gateways.gateway.networking.k8s.io") is None
    assert find_kind("nonsense") is None


def test_all_kinds_can_be_written_and_read_again():
    manifests = [
        manifest("Namespace", "shop"),
        manifest("ServiceAccount", "catalog"),
        service(),
        manifest(
            "WorkloadEntry", "a", {"address": "127.64.0.2", "ports": {"http": 8080}, "labels": {"app": "catalog"}}
        ),
        manifest(
            "ServiceEntry",
            "pay",
            {
                "hosts": ["pay.example.com"],
                "ports": [{"number": 443, "name": "http", "protocol": "http"}],
                "resolution": "STATIC",
                "endpoints": [{"address": "127.0.0.1", "ports": {"http": 8443}}],
            },
        ),
        manifest("WorkloadGroup", "vm", {"template": {"serviceAccount": "vm", "ports": {"http": 80}}}),
        rule("v1", "v2"),
        manifest(
            "Gateway",
            "ingress",
            {
                "selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
        ),
        virtual_service(route(to("catalog", "v1", 80), to("catalog", "v2", 20))),
        {
            **manifest(
                "EnvoyFilter",
                "slow",
                {"configPatches": [{"applyTo": "CLUSTER", "patch": {"operation": "MERGE", "value": {"name": "any"}}}]},
            ),
            "apiVersion": "networking.istio.io/v1alpha3",
        },
        manifest("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}),
        manifest("RequestAuthentication", "default", {}),
        manifest("AuthorizationPolicy", "default", {}),
        {**manifest("Telemetry", "default", {}), "apiVersion": "telemetry.istio.io/v1"},
        {**manifest("ProxyConfig", "default", {"concurrency": 2}), "apiVersion": "networking.istio.io/v1beta1"},
        manifest("Sidecar", "default", {"egress": [{"hosts": ["./*"]}]}),
        core("Secret", "web", type="kubernetes.io/tls", data={"tls.crt": "", "tls.key": ""}),
        core("ConfigMap", "istio", data={"mesh": "enableAutoMtls: true"}),
    ]
    objects = tuple(parse(item) for item in manifests)
    assert {item.key.kind for item in objects} == set(KINDS)
    assert load(dump(objects)) == objects
