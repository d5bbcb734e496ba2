from mesh_runtime.xds import protos
from mesh_runtime.xds.snapshot import Kind, Packer
from mesh_runtime.xds.stream import WARMING_PATIENCE_MS, DeltaStream

EDS = {"type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}}


def cluster(name, timeout="1s"):
    return {"name": name, "connect_timeout": timeout, **EDS}


def routes(cluster_name, name="r"):
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster_name}}
    return {"name": name, "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]}


def listener(name="l", rds="r"):
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "rds": {"route_config_name": rds, "config_source": {"ads": {}}},
    }
    return {"name": name, "filter_chains": [{"filters": [{"name": "h", "typed_config": manager}]}]}


class Proxy:
    """Plays an Envoy: keeps what it got, and answers when told to."""

    def __init__(self, stream=None):
        self.stream = stream or DeltaStream("node")
        self.packer = Packer()
        self.now_ms = 1000
        self.unanswered = []
        self.have = {kind: {} for kind in Kind}

    def offer(self, *, clusters=(), listeners=(), routes=(), hosts=(), secrets=(), revision=1):
        self.snapshot = self.packer.snapshot(
            revision,
            {
                Kind.CDS: [tuple(clusters)],
                Kind.EDS: [tuple({"cluster_name": one["name"]} for one in clusters)],
                Kind.SDS: [tuple(secrets)],
                Kind.LDS: [tuple(listeners)],
                Kind.RDS: [tuple(routes)],
                Kind.VHDS: [tuple(hosts)],
            },
        )

    def ask(self, kind, *names, gone=(), have=None):
        self.stream.receive(
            protos.message(
                protos.DELTA_REQUEST,
                {
                    "type_url": kind.type_url,
                    "resource_names_subscribe": names,
                    "resource_names_unsubscribe": gone,
                    "initial_resource_versions": have or {},
                },
            ),
            self.now_ms,
        )

    def take(self):
        """Receive what is due, as ``CDS:a,b -gone`` in order."""
        seen = []
        for wire in self.stream.due(self.snapshot, self.now_ms):
            response = protos.message_class(protos.DELTA_RESPONSE).FromString(wire)
            kind = next(kind for kind in Kind if kind.type_url == response.type_url)
            self.unanswered.append((kind, response.nonce))
            self.have[kind] |= {resource.name: resource.version for resource in response.resources}
            names = ",".join(resource.name for resource in response.resources)
            seen.append(f"{kind}:{names}" + "".join(f" -{name}" for name in response.removed_resources))
        return seen

    def acknowledge(self, only=None):
        for kind, nonce in list(self.unanswered):
            if only in {None, kind}:
                self.answer(kind, nonce)
                self.unanswered.remove((kind, nonce))

    def answer(self, kind, nonce, error=""):
        request = {"type_url": kind.type_url, "response_nonce": nonce}
        if error:
            request["error_detail"] = {"code": 13, "message": error}
        self.stream.receive(protos.message(protos.DELTA_REQUEST, request), self.now_ms)

    def settle(self):
        seen = []
        while taken := self.take():
            seen += taken
            self.acknowledge()
        return seen


def connected(**offer):
    proxy = Proxy()
    proxy.offer(**{"clusters": [cluster("a")], "listeners": [listener()], "routes": [routes("a")], **offer})
    proxy.ask(Kind.CDS)
    proxy.settle()
    proxy.ask(Kind.EDS, *[one.name for one in proxy.snapshot.resources[Kind.CDS].values()])
    proxy.ask(Kind.LDS)
    proxy.settle()
    proxy.ask(Kind.RDS, "r")
    proxy.settle()
    return proxy


def test_a_new_proxy_is_given_everything_and_has_then_answered_the_revision():
    proxy = connected()
    assert {str(kind): set(have) for kind, have in proxy.have.items() if have} == {
        "CDS": {"a"},
        "EDS": {"a"},
        "LDS": {"l"},
        "RDS": {"r"},
    }
    assert proxy.stream.answered.revision == 1


def test_nothing_is_sent_twice():
    proxy = connected()
    proxy.offer(clusters=[cluster("a")], listeners=[listener()], routes=[routes("a")], revision=2)
    assert proxy.take() == []
    assert proxy.stream.answered.revision == 2


def test_a_revision_is_answered_only_after_the_last_acknowledgement():
    proxy = connected()
    proxy.offer(clusters=[cluster("a"), cluster("b")], listeners=[listener()], routes=[routes("a")], revision=2)
    proxy.take()
    proxy.take()
    assert proxy.stream.answered.revision == 1
    proxy.settle()
    proxy.acknowledge()
    proxy.take()
    assert proxy.stream.answered.revision == 2


def test_endpoints_follow_a_changed_cluster_though_they_did_not_change():
    proxy = connected()
    proxy.offer(clusters=[cluster("a", "9s")], listeners=[listener()], routes=[routes("a")])
    assert proxy.take() == ["CDS:a", "EDS:a"]


def test_routes_wait_until_new_clusters_are_ready():
    proxy = connected()
    proxy.offer(clusters=[cluster("a"), cluster("b")], listeners=[listener()], routes=[routes("b")])
    assert proxy.take() == ["CDS:b"]
    proxy.ask(Kind.EDS, "b")
    assert proxy.take() == ["EDS:b"]
    proxy.acknowledge(Kind.EDS)
    assert proxy.take() == []
    proxy.acknowledge(Kind.CDS)
    assert proxy.take() == ["RDS:r"]


def test_routes_do_not_wait_for_ever():
    proxy = connected()
    proxy.offer(clusters=[cluster("a"), cluster("b")], listeners=[listener()], routes=[routes("b")])
    proxy.take()
    assert proxy.stream.patience_ms(proxy.now_ms) == WARMING_PATIENCE_MS
    proxy.now_ms += WARMING_PATIENCE_MS
    assert proxy.take() == ["RDS:r"]


def test_a_cluster_is_removed_only_after_the_routes_left_it():
    proxy = connected(clusters=[cluster("a"), cluster("b")], routes=[routes("b")])
    proxy.offer(clusters=[cluster("a")], listeners=[listener()], routes=[routes("a")])
    assert proxy.take() == ["RDS:r"]
    assert proxy.take() == []
    proxy.acknowledge()
    assert proxy.take() == ["CDS: -b"]


def test_a_listener_that_is_gone_is_removed():
    proxy = connected(listeners=[listener(), listener("m")])
    proxy.offer(clusters=[cluster("a")], listeners=[listener()], routes=[routes("a")])
    assert proxy.take() == ["LDS: -m"]


def test_a_proxy_that_reconnects_with_the_same_versions_is_sent_endpoints_only():
    before = connected()
    again = Proxy()
    again.offer(clusters=[cluster("a")], listeners=[listener()], routes=[routes("a")])
    again.ask(Kind.CDS, have=before.have[Kind.CDS])
    again.ask(Kind.EDS, "a", have=before.have[Kind.EDS])
    again.ask(Kind.LDS, have=before.have[Kind.LDS])
    again.ask(Kind.RDS, "r", have=before.have[Kind.RDS])
    assert again.settle() == ["CDS:", "EDS:a", "LDS:"]
    assert again.stream.answered.revision == 1


def test_a_cluster_that_changed_before_the_proxy_asks_for_endpoints_gets_them():
    before = connected()
    again = Proxy()
    again.offer(clusters=[cluster("a", "9s")])
    again.ask(Kind.CDS, have=before.have[Kind.CDS])
    assert again.take() == ["CDS:a"]
    again.ask(Kind.EDS, "a", have=before.have[Kind.EDS])
    assert again.take() == ["EDS:a"]


def test_a_proxy_that_reconnects_is_told_what_is_gone():
    again = Proxy()
    again.offer(clusters=[cluster("a")])
    again.ask(Kind.CDS, have={"old": "1"})
    assert again.settle() == ["CDS:a", "CDS: -old"]


def test_what_is_asked_for_again_is_sent_again():
    proxy = connected()
    proxy.ask(Kind.EDS, "a")
    assert proxy.settle() == ["EDS:a"]


def test_what_is_no_longer_wanted_is_not_sent():
    proxy = connected()
    proxy.ask(Kind.EDS, gone=["a"])
    proxy.offer(clusters=[cluster("a", "9s")], listeners=[listener()], routes=[routes("a")])
    assert proxy.take() == ["CDS:a"]


def test_a_rejection_is_kept_with_its_reason_until_something_better_is_accepted():
    proxy = connected()
    proxy.offer(clusters=[cluster("a")], listeners=[listener()], routes=[routes("a", "r")], revision=2)
    proxy.offer(clusters=[cluster("a")], listeners=[listener(), listener("m")], routes=[routes("a")], revision=3)
    assert proxy.take() == ["LDS:m"]
    proxy.answer(*proxy.unanswered.pop(), error="cannot bind")
    assert proxy.take() == []
    assert proxy.stream.answered.revision == 3
    assert proxy.stream.rejections == {Kind.LDS: "cannot bind"}
    assert proxy.stream.types[Kind.LDS].rejected == "cannot bind"
    assert proxy.stream.types[Kind.LDS].sent != proxy.stream.types[Kind.LDS].acked
    proxy.offer(clusters=[cluster("a")], listeners=[listener(), listener("n")], routes=[routes("a")], revision=4)
    proxy.settle()
    assert not proxy.stream.rejections


def test_of_several_resources_only_those_that_the_refusal_names_are_refused_and_they_are_tried_again():
    proxy = connected()
    both = [listener(), listener("m-1"), listener("m-2")]
    proxy.offer(clusters=[cluster("a")], listeners=both, routes=[routes("a")], revision=2)
    assert proxy.take() == ["LDS:m-1,m-2"]
    proxy.answer(*proxy.unanswered.pop(), error="Error adding/updating listener(s) m-1: in the way")
    proxy.offer(clusters=[cluster("a")], listeners=[*both, listener("m-3")], routes=[routes("a")], revision=3)
    assert proxy.take() == ["LDS:m-1,m-3"]
    proxy.acknowledge()
    assert not proxy.stream.rejections


def test_a_refusal_says_each_reason_once_and_how_many_resources_it_is_about():
    proxy = connected()
    listeners = [listener(), *(listener(f"m-{number}") for number in range(4))]
    proxy.offer(clusters=[cluster("a")], listeners=listeners, routes=[routes("a")], revision=2)
    proxy.take()
    said = ["m-0: no file /ca", "m-1: no file /ca", "m-2: in the way", "m-3: no file /ca"]
    proxy.answer(*proxy.unanswered.pop(), error="Error adding/updating listener(s) " + "\n".join(said))
    short = "Error adding/updating listener(s) m-0 and 2 more: no file /ca; m-2: in the way"
    assert proxy.stream.rejections == {Kind.LDS: short}


def host(name, path="/"):
    route = {"match": {"prefix": path}, "route": {"cluster": "a"}}
    return {"name": f"r/{name}", "domains": [name], "routes": [route]}


TABLE = {"name": "r", "vhds": {"config_source": {"ads": {}}}}


def with_hosts(*hosts, **offer):
    return {"clusters": [cluster("a")], "listeners": [listener()], "routes": [TABLE], "hosts": hosts, **offer}


def connected_with(*hosts):
    proxy = connected(**with_hosts(*hosts))
    proxy.ask(Kind.VHDS, "r")
    assert proxy.settle() == [f"VHDS:{','.join(one['name'] for one in hosts)}"]
    return proxy


def test_of_a_table_whose_virtual_hosts_come_by_themselves_only_those_that_changed_are_sent():
    proxy = connected_with(host("one"), host("two"), host("three"))
    proxy.offer(**with_hosts(host("one"), host("two", "/new"), host("four")), revision=2)
    assert proxy.settle() == ["VHDS:r/two,r/four -r/three"]
    assert proxy.stream.answered.revision == 2


def test_virtual_hosts_wait_for_their_clusters():
    proxy = connected_with(host("one"))
    proxy.offer(**with_hosts(host("one", "/new"), clusters=[cluster("a"), cluster("b")]), revision=2)
    assert proxy.take() == ["CDS:b"]
    proxy.acknowledge()
    assert proxy.take() == ["VHDS:r/one"]


def test_who_drops_a_table_and_asks_for_it_again_is_sent_all_of_its_virtual_hosts():
    proxy = connected_with(host("one"), host("two"))
    proxy.ask(Kind.VHDS, gone=["r"])
    proxy.offer(**with_hosts(host("one", "/new"), host("two")), revision=2)
    assert proxy.settle() == []
    proxy.ask(Kind.VHDS, "r")
    assert proxy.settle() == ["VHDS:r/one,r/two"]


def test_a_proxy_that_reconnects_keeps_its_virtual_hosts_but_those_that_changed():
    before = connected_with(host("one"), host("two"), host("three"))
    again = Proxy()
    again.offer(**with_hosts(host("one"), host("two", "/new")))
    again.ask(Kind.VHDS, "r", have=before.have[Kind.VHDS])
    assert again.settle() == ["VHDS:r/two -r/three"]


def test_of_virtual_hosts_of_which_one_was_refused_the_others_are_sent_again():
    proxy = connected_with(host("one"), host("gone"))
    proxy.offer(**with_hosts(host("one", "/new"), host("bad")), revision=2)
    assert proxy.take() == ["VHDS:r/one,r/bad -r/gone"]
    proxy.answer(*proxy.unanswered.pop(), error="Only unique values for domains are permitted: virtual host r/bad")
    assert proxy.settle() == ["VHDS:r/one -r/gone"]
    assert list(proxy.stream.rejections) == [Kind.VHDS]
    proxy.offer(**with_hosts(host("one", "/new"), host("bad", "/better")), revision=3)
    assert proxy.settle() == ["VHDS:r/bad"]
    assert not proxy.stream.rejections


def test_an_answer_to_nothing_is_ignored():
    proxy = connected()
    acked = proxy.stream.types[Kind.CDS]
    proxy.answer(Kind.CDS, "99", error="late")
    proxy.answer(Kind.CDS, "1", error="already answered")
    assert proxy.stream.types[Kind.CDS] == acked
    assert not proxy.stream.rejections


def test_a_secret_of_somebody_else_is_refused_and_counted():
    proxy = Proxy()
    proxy.offer(secrets=[{"name": "default"}])
    proxy.ask(Kind.SDS, "default", "other")
    assert proxy.take() == ["SDS:default -other"]
    assert proxy.stream.refused_names == 1
    proxy.acknowledge()
    assert proxy.take() == []


def test_a_refusal_is_over_when_what_was_refused_is_offered_no_more_though_the_proxy_asks_for_it_yet():
    proxy = Proxy()
    proxy.offer(secrets=[{"name": "file-root:/nowhere"}])
    proxy.ask(Kind.SDS, "file-root:/nowhere", "default")
    proxy.take()
    proxy.answer(*proxy.unanswered.pop(), error="file-root:/nowhere: Invalid path")
    assert proxy.stream.rejections
    proxy.offer(secrets=[{"name": "default"}], revision=2)
    proxy.settle()
    assert not proxy.stream.rejections


def test_an_unknown_type_is_ignored():
    stream = DeltaStream("node")
    stream.receive(protos.message(protos.DELTA_REQUEST, {"type_url": "type.googleapis.com/nobody.Knows"}), 0)
    assert stream.types == {}
