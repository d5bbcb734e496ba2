"""What DestinationRules make of clusters and endpoints, and what callers share of it."""

import pytest
from own_ca import OwnCA, tls_secret

from mesh_runtime.api import Config, load
from mesh_runtime.identity.enrolment import instance_of
from mesh_runtime.registration import Registration
from mesh_runtime.registry import RegistryState, Role
from mesh_runtime.xds.snapshot import Kind, Packer, each_of
from mesh_runtime.xds.translate import MeshSettings, World, translate
from mesh_runtime.xds.translate.tls import leaf_secret, root_secret

HOST = "catalog.shop.svc.cluster.local"
CLUSTER = f"outbound|80||{HOST}"
OWN = leaf_secret("chain", "key"), root_secret("root")
DETECTION = "outlierDetection: {interval: 1s}"
CA = OwnCA()


def service(name="catalog", namespace="shop"):
    metadata = f"{{name: {name}, namespace: {namespace}}}"
    return f"apiVersion: v1\nkind: Service\nmetadata: {metadata}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]}}"


def rule(spec, *, host=HOST, namespace="shop", name="rule"):
    metadata = f"{{name: {name}, namespace: {namespace}}}"
    return f'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {metadata}\nspec: {{host: "{host}", {spec}}}'


def policy(text, **options):
    return rule(f"trafficPolicy: {{{text}}}", **options)


def instance(name, *, namespace="shop", number=0, **options):
    registration = Registration(role=Role.SIDECAR, namespace=namespace, service=name, port=8080, **options)
    octet = sum(map(ord, name + namespace)) % 150 + number
    return instance_of(registration, key=f"{namespace}/{name}~{number}", address=f"127.64.1.{octet}")


def world(*manifests, instances=()):
    objects = load("\n---\n".join(manifests), default_namespace="shop")
    registry = RegistryState(instances={one.id: one for one in instances})
    return World(Config(revision=1, objects={item.key: item for item in objects}), registry, MeshSettings())


def resources(a_world, one):
    """Translate, and have it checked as it is before it is served."""
    translated = translate(a_world, one)
    snapshot = Packer().snapshot(1, {**translated, Kind.SDS: (*translated.get(Kind.SDS, ()), OWN)})
    return {
        kind: {name: packed.content for name, packed in found.items()} for kind, found in snapshot.resources.items()
    }


def cluster(a_world, one, name=CLUSTER):
    return resources(a_world, one)[Kind.CDS][name]


def priorities(a_world, one, name=CLUSTER):
    return [
        ("/".join(place["locality"].values()), place.get("priority", 0))
        for place in resources(a_world, one)[Kind.EDS][name]["endpoints"]
    ]


FRONTEND = instance("frontend")


def test_callers_share_their_clusters_unless_a_rule_tells_them_apart():
    near, far = instance("frontend", locality="r1/z/s"), instance("orders", locality="r2/z/s")
    catalog = instance("catalog", locality="r1/z/s")
    everybody = [near, far, catalog]
    plain = world(service(), policy("loadBalancer: {simple: RANDOM}"), instances=everybody)
    assert translate(plain, near)[Kind.CDS][0] is translate(plain, far)[Kind.CDS][0]
    assert translate(plain, near)[Kind.EDS][0] is translate(plain, far)[Kind.EDS][0]
    told_apart = world(service(), service("orders"), policy(DETECTION), instances=everybody)
    one, other = (translate(told_apart, caller) for caller in (near, far))
    assert one[Kind.EDS][0] is not other[Kind.EDS][0]
    assert one[Kind.EDS][0] is translate(told_apart, catalog)[Kind.EDS][0]
    # What no rule speaks of stays common.
    mine, theirs = (list(each_of(found[Kind.EDS])) for found in (one, other))
    at = [found["cluster_name"] for found in mine].index("outbound|80||orders.shop.svc.cluster.local")
    assert mine[at] is theirs[at]


def test_a_rule_for_some_callers_leaves_the_others_with_what_they_share():
    other, third = instance("orders"), instance("mail")
    chosen = "workloadSelector: {matchLabels: {app: frontend}}, trafficPolicy: {loadBalancer: {simple: RANDOM}}"
    a_world = world(service(), rule(chosen), instances=[FRONTEND, other, third])
    assert cluster(a_world, FRONTEND)["lb_policy"] == "RANDOM"
    assert cluster(a_world, other)["lb_policy"] == "LEAST_REQUEST"
    assert translate(a_world, other)[Kind.CDS][0] is translate(a_world, third)[Kind.CDS][0]


def test_a_rule_with_a_selector_is_for_its_own_namespace():
    chosen = "workloadSelector: {matchLabels: {app: frontend}}, trafficPolicy: {loadBalancer: {simple: RANDOM}}"
    stranger = instance("frontend", namespace="other")
    assert cluster(world(service(), rule(chosen), instances=[stranger]), stranger)["lb_policy"] == "LEAST_REQUEST"


@pytest.mark.parametrize(
    ("export_to", "visitor_follows", "owner_follows"),
    [("", True, True), ('"*"', True, True), (".", False, True), ("other", True, False), ("third", False, False)],
)
def test_a_rule_is_followed_where_it_is_exported_to(export_to, visitor_follows, owner_follows):
    visitor = instance("visitor", namespace="other")
    at_random = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"
    said = f"data: {{mesh: 'defaultDestinationRuleExportTo: [{export_to}]'}}"
    of_mesh = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n{said}"
    for manifests in ([rule(f"exportTo: [{export_to}], {at_random}")], [rule(at_random), of_mesh]):
        a_world = world(service(), *manifests, instances=[FRONTEND, visitor])
        follows = [cluster(a_world, caller)["lb_policy"] == "RANDOM" for caller in (visitor, FRONTEND)]
        assert follows == [visitor_follows, owner_follows]


def test_the_root_namespace_s_own_callers_ask_the_service_s_rules_first():
    gateway = instance("ingress", namespace="istio-system")
    everywhere = policy("loadBalancer: {simple: RANDOM}", namespace="istio-system", host="*.cluster.local")
    own = policy("loadBalancer: {simple: ROUND_ROBIN}")
    assert cluster(world(service(), everywhere, own, instances=[gateway]), gateway)["lb_policy"] == "ROUND_ROBIN"
    assert cluster(world(service(), everywhere, instances=[gateway]), gateway)["lb_policy"] == "RANDOM"


def test_what_is_said_of_a_port_is_all_that_is_said_of_it():
    special = "portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]"
    whole = "connectionPool: {tcp: {maxConnections: 7}}, retryBudget: {percent: 5}"
    found = cluster(world(service(), policy(f"{whole}, {special}"), instances=[FRONTEND]), FRONTEND)
    (limits,) = found["circuit_breakers"]["thresholds"]
    assert limits["max_connections"] == 2**32 - 1
    assert limits["retry_budget"]["budget_percent"] == {"value": 50.0}
    assert "transport_socket_matches" not in found


def test_a_retry_budget_has_istio_s_defaults():
    found = cluster(world(service(), policy("retryBudget: {}"), instances=[FRONTEND]), FRONTEND)
    (limits,) = found["circuit_breakers"]["thresholds"]
    assert limits["retry_budget"] == {"budget_percent": {"value": 20.0}, "min_retry_concurrency": 3}


def test_mutual_tls_names_what_it_calls_as_istio_does():
    (mutual, _) = cluster(world(service(), instances=[FRONTEND]), FRONTEND)["transport_socket_matches"]
    assert mutual["transport_socket"]["typed_config"]["sni"] == f"outbound_.80_._.{HOST}"


PLACES = ("r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1")


def spread(*manifests, caller="r1/z1/s1"):
    catalogs = [instance("catalog", number=number, locality=place) for number, place in enumerate(PLACES)]
    client = instance("frontend", locality=caller)
    return world(service(), *manifests, instances=[client, *catalogs]), client


def test_priorities_follow_distance_without_gaps():
    assert priorities(*spread(policy(DETECTION))) == list(zip(PLACES, (0, 1, 2, 3, 3), strict=True))
    assert priorities(*spread(policy(DETECTION), caller="r3/z9/s9")) == list(zip(PLACES, (1, 1, 1, 1, 0), strict=True))


def test_a_refuge_comes_before_other_regions():
    setting = f"loadBalancer: {{localityLbSetting: {{failover: [{{from: r1, to: r3}}]}}}}, {DETECTION}"
    assert priorities(*spread(policy(setting))) == list(zip(PLACES, (0, 1, 2, 4, 3), strict=True))


def test_shares_within_a_pattern_follow_the_number_of_instances():
    shares = 'distribute: [{from: "r1/*", to: {"r1/z1/*": 60, r2: 40}}]'
    a_world, client = spread(policy(f"loadBalancer: {{localityLbSetting: {{{shares}}}}}"))
    found = resources(a_world, client)[Kind.EDS][CLUSTER]["endpoints"]
    assert [place["load_balancing_weight"] for place in found] == [30, 30, 40]
    assert cluster(a_world, client)["common_lb_config"]["locality_weighted_lb_config"] == {}


def test_a_secret_that_is_missing_leaves_its_cluster_empty_and_nothing_dangling():
    tls = policy("tls: {mode: MUTUAL, credentialName: pay}")
    without = world(service(), tls, instances=[FRONTEND])
    assert cluster(without, FRONTEND)["load_assignment"]["endpoints"] == []
    there = world(service(), tls, tls_secret("pay", CA.issue("a"), authority=CA), instances=[FRONTEND])
    assert {"kubernetes://shop/pay", "kubernetes://shop/pay-cacert"} < set(resources(there, FRONTEND)[Kind.SDS])


def test_callers_of_other_namespaces_use_their_own_secrets():
    visitor = instance("visitor", namespace="other")
    secrets = [tls_secret("pay", CA.issue("a"), authority=CA, namespace=namespace) for namespace in ("shop", "other")]
    a_world = world(
        service(), policy("tls: {mode: SIMPLE, credentialName: pay}"), *secrets, instances=[FRONTEND, visitor]
    )
    for caller in (FRONTEND, visitor):
        context = cluster(a_world, caller)["transport_socket"]["typed_config"]["common_tls_context"]
        trusted = context["combined_validation_context"]["validation_context_sds_secret_config"]["name"]
        assert trusted == f"kubernetes://{caller.namespace}/pay-cacert"


def test_rules_for_different_callers_may_use_the_same_subset_s_name():
    subset = "subsets: [{name: v1, labels: {version: %s}}]"
    visitor = instance("visitor", namespace="other")
    one, two = instance("catalog", version="v1"), instance("catalog", version="v2", number=1)
    a_world = world(
        service(), rule(subset % "v1"), rule(subset % "v2", namespace="other"), instances=[FRONTEND, visitor, one, two]
    )
    for caller, expected in ((FRONTEND, one), (visitor, two)):
        (place,) = resources(a_world, caller)[Kind.EDS][f"outbound|80|v1|{HOST}"]["endpoints"]
        (only,) = place["lb_endpoints"]
        assert only["endpoint"]["address"]["socket_address"]["address"] == expected.address


def test_only_in_the_mesh_s_own_network_a_proxy_calls_from_its_own_address():
    where = "resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: %s}]"
    head = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s}\nspec: {hosts: [%s], %s}"
    places = {"near.example.com": "127.0.0.1", "far.example.com": "10.1.2.3", "six.example.com": '"::1"'}
    entries = [head % (host, host, where % place) for host, place in places.items()]
    clusters = resources(world(service(), *entries, instances=(instance("catalog"),)), instance("catalog"))[Kind.CDS]
    anywhere = {name for name, one in clusters.items() if one.get("upstream_bind_config") == {}}
    assert {f"outbound|80||{host}" for host in ("far.example.com", "six.example.com")} <= anywhere
    assert anywhere.isdisjoint({CLUSTER, "outbound|80||near.example.com"})
    assert {"PassthroughCluster", "inbound|8080||"} <= anywhere


def zoned(least):
    """Four endpoints in three zones, and four callers in two of them: what a caller of each is to do."""
    zones = ("r1/z1/s", "r1/z2/s", "r1/z2/s", "r1/z3/s")
    catalogs = [instance("catalog", number=number, locality=zone) for number, zone in enumerate(zones)]
    callers = [instance("frontend", number=n, locality=f"r1/{zone}/s") for n, zone in enumerate(["z1"] * 3 + ["z2"])]
    a_world = world(
        service(),
        policy(f"loadBalancer: {{zoneAwareLbSetting: {{minClusterSize: {least}}}}}"),
        instances=[*catalogs, *callers],
    )
    assert cluster(a_world, callers[0])["common_lb_config"]["locality_weighted_lb_config"] == {}
    return [
        [
            (place["load_balancing_weight"], place.get("priority", 0))
            for place in resources(a_world, caller)[Kind.EDS][CLUSTER]["endpoints"]
        ]
        for caller in (callers[0], callers[-1])
    ]


def test_a_zone_keeps_what_it_can_bear_and_the_rest_goes_where_there_is_room():
    crowded, roomy = zoned(least=4)
    assert crowded == [(3333, 0), (3333, 0), (3333, 0)]
    assert roomy == [(1, 1), (10_000, 0), (1, 1)]


def test_with_few_endpoints_zones_make_no_difference():
    assert zoned(least=5) == [[(1, 0), (2, 0), (1, 0)]] * 2
