import pytest
from google.protobuf.json_format import ParseError

from mesh_runtime.xds import protos
from mesh_runtime.xds.snapshot import NOWHERE, InconsistentSnapshotError, Kind, Packer, pack, split_table, whole_tables

CLUSTER = {"name": "a", "connect_timeout": "1s"}


def route(action):
    hosts = [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": action}]}]
    return {"name": "r", "virtual_hosts": hosts}


def snapshot(**resources):
    return Packer().snapshot(1, {Kind[name]: [tuple(contents)] for name, contents in resources.items()})


def test_the_version_is_the_content_s_whatever_the_order_it_was_written_in():
    assert pack(Kind.CDS, CLUSTER).version == pack(Kind.CDS, dict(reversed(CLUSTER.items()))).version
    assert pack(Kind.CDS, CLUSTER).version != pack(Kind.CDS, {**CLUSTER, "connect_timeout": "2s"}).version


def test_packed_resources_join_to_one_response():
    wire = b"".join(pack(Kind.CDS, {**CLUSTER, "name": name}).wire for name in "abc")
    response = protos.message_class(protos.DELTA_RESPONSE).FromString(wire)
    assert [resource.name for resource in response.resources] == ["a", "b", "c"]
    cluster = protos.message_class(protos.CLUSTER).FromString(response.resources[2].resource.value)
    assert cluster.name == "c"


def test_a_large_resource_is_kept_small_and_sent_whole():
    hosts = [{"name": f"host-{number}", "domains": [f"host-{number}.example"]} for number in range(200)]
    packed = pack(Kind.RDS, {"name": "table", "virtual_hosts": hosts})
    (sent,) = protos.message_class(protos.DELTA_RESPONSE).FromString(packed.wire).resources
    table = protos.message_class(protos.ROUTES).FromString(sent.resource.value)
    assert [host.name for host in table.virtual_hosts] == [host["name"] for host in hosts]
    assert len(packed.plain) + len(packed.compressed) < len(packed.wire) / 4


def test_equal_content_is_packed_once_as_long_as_a_snapshot_has_it():
    packer = Packer()
    first = packer.snapshot(1, {Kind.CDS: [(dict(CLUSTER),)]})
    second = packer.snapshot(2, {Kind.CDS: [(dict(CLUSTER),)]})
    wire = first.resources[Kind.CDS]["a"].wire
    assert second.resources[Kind.CDS]["a"].wire is wire
    del first, second
    assert packer.snapshot(3, {Kind.CDS: [(dict(CLUSTER),)]}).resources[Kind.CDS]["a"].wire is not wire


def test_a_group_is_packed_once_for_all_proxies():
    packer, shared = Packer(), (dict(CLUSTER),)
    own = ({**CLUSTER, "name": "own"},)
    one = packer.snapshot(1, {Kind.CDS: [shared]}).resources[Kind.CDS]
    two = packer.snapshot(1, {Kind.CDS: [shared, own]}).resources[Kind.CDS]
    assert two["a"] is one["a"]
    assert set(two) == {"a", "own"}
    with pytest.raises(InconsistentSnapshotError, match="CDS a is there twice"):
        packer.snapshot(1, {Kind.CDS: [shared, (dict(CLUSTER),)]})


def named(*names):
    return tuple({**CLUSTER, "name": name} for name in names)


def test_of_a_group_of_groups_only_the_smaller_one_that_changed_is_compared():
    packer, kept = Packer(), named("a", "b")
    before = packer.snapshot(1, {Kind.CDS: [(kept, named("c", "d"))]}).resources[Kind.CDS]
    now = packer.snapshot(2, {Kind.CDS: [(kept, ({**CLUSTER, "name": "c", "connect_timeout": "2s"},))]})
    assert list(before) == ["a", "b", "c", "d"]
    assert now.resources[Kind.CDS]["a"] is before["a"]
    assert list(now.resources[Kind.CDS].changed_since(before)) == ["c", "d"]


def test_what_moves_from_one_smaller_group_to_another_has_not_changed():
    packer, (a, b, c, d) = Packer(), named("a", "b", "c", "d")
    before = packer.snapshot(1, {Kind.CDS: [((a, c), (d,))]}).resources[Kind.CDS]
    now = packer.snapshot(2, {Kind.CDS: [((a, b), (c, d))]}).resources[Kind.CDS]
    assert list(now.changed_since(before)) == ["b"]


def test_no_two_smaller_groups_may_have_the_same_name():
    with pytest.raises(InconsistentSnapshotError, match="CDS a is there twice"):
        Packer().snapshot(1, {Kind.CDS: [(named("a"), named("b", "a"))]})


def test_a_table_is_the_same_after_it_was_split_and_put_together():
    hosts = [{"name": name, "domains": [name]} for name in ("one:80", "two:80")]
    table = {"name": "r", "vhds": {"config_source": {"ads": {}}}, "virtual_hosts": hosts}
    head, apart = split_table(table)
    assert [host["name"] for host in apart] == ["r/one:80", "r/two:80"]
    assert list(whole_tables([head], apart)) == [table]


def test_a_virtual_host_s_own_slashes_do_not_name_another_table():
    _, apart = split_table({"name": "r", "vhds": {}, "virtual_hosts": [{"name": "a/b", "domains": ["*"]}]})
    assert [host["name"] for host in apart] == ["r/a_b"]


def test_a_table_without_virtual_hosts_lets_nobody_wait_for_them():
    head, (nobody,) = split_table({"name": "r", "vhds": {}, "virtual_hosts": []})
    assert head == {"name": "r", "vhds": {}}
    assert nobody == {"name": "r/nobody", "domains": ["nobody.invalid"]}


def test_an_object_that_was_packed_is_not_looked_at_again():
    packer = Packer()
    same, other = dict(CLUSTER), {**CLUSTER, "name": "b"}
    kept = packer.snapshot(1, {Kind.CDS: [(same,)]})
    same["connect_timeout"] = "nobody reads this"
    assert packer.snapshot(2, {Kind.CDS: [(same, other)]}).resources[Kind.CDS]["a"] is kept.resources[Kind.CDS]["a"]


def test_of_routes_only_virtual_hosts_that_are_new_are_packed():
    packer = Packer()
    same, old, new = ({"name": name, "domains": [name]} for name in ("same", "old", "new"))
    kept = packer.snapshot(1, {Kind.RDS: [({"name": "r", "virtual_hosts": [same, old]},)]})
    same["domains"] = ["nobody reads this"]
    found = packer.snapshot(2, {Kind.RDS: [({"name": "r", "virtual_hosts": [same, new]},)]}).resources[Kind.RDS]["r"]
    assert found.version != kept.resources[Kind.RDS]["r"].version
    sent = protos.message_class(protos.DELTA_RESPONSE).FromString(found.wire).resources[0].resource.value
    hosts = protos.message_class(protos.ROUTES).FromString(sent).virtual_hosts
    assert [list(host.domains) for host in hosts] == [["same"], ["new"]]


def test_an_offer_names_what_changed_since_an_older_one():
    packer = Packer()
    shared = (dict(CLUSTER),)
    one, two, three = ({**CLUSTER, "name": name} for name in ("one", "two", "three"))

    def offer(*groups):
        return packer.snapshot(1, {Kind.CDS: groups}).resources[Kind.CDS]

    old = offer(shared, (one, two))
    assert list(offer(shared, (one, two)).changed_since(old)) == []
    assert set(offer(shared, (one, {**two, "connect_timeout": "9s"}, three)).changed_since(old)) == {"two", "three"}
    assert set(offer(shared, (two,)).changed_since(old)) == {"one"}
    assert set(offer(shared).changed_since(old)) >= {"one", "two"}


@pytest.mark.parametrize(
    "resources",
    [
        {"CDS": [{**CLUSTER, "type": "EDS"}]},
        {"EDS": [{"cluster_name": "a"}]},
        {"RDS": [route({"cluster": "b"})]},
        {"RDS": [route({"weighted_clusters": {"clusters": [{"name": "b", "weight": 1}]}})]},
        {"VHDS": route({"cluster": "b"})["virtual_hosts"]},
        {"CDS": [CLUSTER], "RDS": [route({"cluster": "a", "request_mirror_policies": [{"cluster": "b"}]})]},
        {"CDS": [CLUSTER, CLUSTER]},
        {"CDS": [{**CLUSTER, "no_such_field": 1}]},
    ],
)
def test_what_does_not_hold_together_is_not_served(resources):
    with pytest.raises(InconsistentSnapshotError):
        snapshot(**resources)


def test_a_route_may_lead_nowhere_on_purpose():
    assert snapshot(RDS=[route({"cluster": NOWHERE})]).resources[Kind.RDS]


def test_listeners_need_their_routes_and_secrets():
    manager = protos.any_of(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="x",
        rds={"route_config_name": "r"},
    )
    tls = protos.any_of(
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_certificate_sds_secret_configs": [{"name": "default"}],
            "combined_validation_context": {"validation_context_sds_secret_config": {"name": "ROOTCA"}},
        },
    )
    chain = {
        "filters": [{"name": "h", "typed_config": manager}],
        "transport_socket": {"name": "tls", "typed_config": tls},
    }
    with pytest.raises(InconsistentSnapshotError) as refused:
        snapshot(LDS=[{"name": "l", "filter_chains": [chain]}])
    assert [name for name in ("RDS r", "SDS default", "SDS ROOTCA") if name in str(refused.value)] == [
        "RDS r",
        "SDS default",
        "SDS ROOTCA",
    ]


def test_an_unknown_field_is_named():
    with pytest.raises(ParseError, match="no_such_field"):
        protos.message(protos.CLUSTER, {"no_such_field": 1})
