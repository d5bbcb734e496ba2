import pytest
from config_words import config, core, manifest, route, rule, service, to, virtual_service

from mesh_runtime.api.admission import admit
from mesh_runtime.api.hosts import matches, resolve_host


def said(*manifests):
    return [str(problem) for problem in admit(config(*manifests))]


def entry(name, *hosts, port=80, **fields):
    spec = {"hosts": list(hosts), "ports": [{"number": port, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}
    return manifest("ServiceEntry", name, spec | fields)


GATEWAY = manifest(
    "Gateway",
    "ingress",
    {
        "selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
    },
)


def test_a_config_in_which_every_name_exists_is_admitted():
    split = route(to("catalog", "v1", 80), to("catalog.shop.svc.cluster.local", "v2", 20), mirror={"host": "catalog"})
    assert said(service(), rule("v1", "v2"), virtual_service(split, gateways=["mesh", "ingress"]), GATEWAY) == []


def test_an_unknown_subset_is_refused_with_those_there_are():
    assert said(service(), rule("v1", "v2"), virtual_service(route(to("catalog", "v3")))) == [
        (
            "VirtualService shop/catalog spec.http[0].route[0].destination.subset: "
            "catalog.shop.svc.cluster.local has no subset v3; its subsets are v1, v2"
        )
    ]


def test_a_subset_without_any_rule_is_refused_with_the_rule_to_add():
    (problem,) = said(service(), virtual_service(route(to("catalog", "v1"))))
    assert problem.endswith("add a DestinationRule for catalog.shop.svc.cluster.local that defines it")


def test_an_unknown_host_is_refused_with_the_one_that_was_meant():
    assert said(service(), service("frontend"), virtual_service(route(to("catlog")))) == [
        (
            "VirtualService shop/catalog spec.http[0].route[0].destination.host: there is no service "
            "catlog.shop.svc.cluster.local; did you mean catalog? the known services are catalog, frontend"
        )
    ]


def test_hosts_are_looked_for_in_mirrors_tcp_routes_and_rules_too():
    mirrors = [{"destination": {"host": "b"}}]
    data = virtual_service(route(to("catalog"), mirrors=mirrors), tcp=[{"route": [to("c")]}])
    other = rule(name="other", host="d")
    paths = [problem.split(":")[0] for problem in said(service(), data, other)]
    assert paths == [
        "DestinationRule shop/other spec.host",
        "VirtualService shop/catalog spec.http[0].mirrors[0].destination.host",
        "VirtualService shop/catalog spec.tcp[0].route[0].destination.host",
    ]


def test_a_short_host_means_a_service_of_the_objects_own_namespace():
    elsewhere = service()
    elsewhere["metadata"]["namespace"] = "other"
    (problem,) = said(elsewhere, virtual_service(route(to("catalog"))))
    assert "the known services are catalog.other.svc.cluster.local" in problem
    assert said(elsewhere, virtual_service(route(to("catalog.other.svc.cluster.local")))) == []


def test_hosts_of_service_entries_are_known_also_by_wildcard():
    static = {"resolution": "STATIC", "endpoints": [{"address": "127.0.0.1"}]}
    entries = entry("a", "pay.example.com"), entry("b", "*.wild.example", **static)
    data = virtual_service(route(to("pay.example.com")), route(to("x.wild.example")))
    assert said(*entries, data) == []


def test_a_port_that_the_service_does_not_have_is_refused():
    destination = {"destination": {"host": "catalog", "port": {"number": 81}}}
    (problem,) = said(service(), virtual_service(route(destination)))
    assert problem.endswith("catalog.shop.svc.cluster.local has no port 81; its ports are 80")


def test_an_unknown_gateway_is_refused():
    data = virtual_service(route(to("catalog")), gateways=["ingress", "other/ingress", "shop/ingress", "mesh"])
    assert said(service(), GATEWAY, data) == [
        "VirtualService shop/catalog spec.gateways[1]: there is no Gateway other/ingress; the gateways are shop/ingress"
    ]


@pytest.mark.parametrize(
    "others",
    [
        (entry("a", "x.example.com"), entry("b", "x.example.com")),
        (service(), entry("a", "catalog.shop.svc.cluster.local")),
    ],
)
def test_a_host_and_port_belong_to_one_object(others):
    (problem,) = said(*others)
    assert "defines already" in problem


def test_two_rules_may_not_define_the_same_subset_of_a_host():
    (problem,) = said(service(), rule("v1"), rule("v1", name="again"))
    assert "the subset v1 of catalog is defined by DestinationRule shop/again already" in problem


def test_a_workload_entry_may_be_known_by_a_dns_name():
    assert said(manifest("WorkloadEntry", "a", {"address": "db.example.com"})) == []


def test_namespaces_may_keep_entries_of_the_same_host_for_themselves():
    mine = entry("a", "pay.example.com", exportTo=["."])
    yours = entry("a", "pay.example.com", exportTo=["."])
    yours["metadata"] = {**yours["metadata"], "namespace": "other"}
    assert said(mine, yours) == []
    assert said(entry("a", "pay.example.com"), entry("b", "pay.example.com"))


def test_rules_may_speak_of_one_workload_of_a_headless_service():
    headless = service("db", clusterIP="None")
    one = virtual_service(route(to("db-0.db.shop.svc.cluster.local")), hosts=["db-0.db.shop.svc.cluster.local"])
    assert said(headless, one) == []


def test_short_names_are_completed_and_others_left_alone():
    assert resolve_host("catalog", "shop") == "catalog.shop.svc.cluster.local"
    assert resolve_host("pay.example.com", "shop") == "pay.example.com"
    assert resolve_host("*", "shop") == "*"
    assert matches("*.example.com", "a.example.com")
    assert not matches("*.example.com", "example.com")
    assert matches("*-b.example.com", "a-b.example.com")
    assert not matches("*-b.example.com", "a.example.com")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("enableAutoMtls: maybe", "data.mesh: enableAutoMtls: must be true or false"),
        ("trustDomainAliases: [a/b]", "is not a DNS name"),
        ("[]", "data.mesh: must be a mapping"),
        ("{", "data.mesh: "),
        (
            "extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a.b, port: 80, statusOnError: '299'}}]",
            'statusOnError: "299" is not an HTTP status',
        ),
    ],
)
def test_a_config_of_the_mesh_that_cannot_be_read_is_refused(written, words):
    found = said(core("ConfigMap", "istio", namespace="istio-system", data={"mesh": written}))
    assert words in found[0]


def test_an_egress_proxy_that_is_nobody_s_is_refused():
    policy = {"mode": "ALLOW_ANY", "egressProxy": {"host": "catalog.shop.svc.cluster.local", "port": {"number": 81}}}
    spec = {"outboundTrafficPolicy": policy}
    (problem,) = said(service(), manifest("Sidecar", "default", spec))
    assert problem == (
        "Sidecar shop/default spec.outboundTrafficPolicy.egressProxy.port.number: "
        "catalog.shop.svc.cluster.local has no port 81; its ports are 80"
    )
