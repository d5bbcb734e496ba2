from collectors.dialects import istio
from collectors.exposition import Exposition

LABELS = 'reporter="source",source_workload="orders",source_workload_namespace="shop",destination_service="db.shop.svc.cluster.local",'
LISTENER = 'envoy_tcp_prefix="outbound|6379||db_shop_svc_cluster_local"'


def page(*, sent, received, listener=LISTENER, **targets) -> str:
    """Each target: connections opened, closed."""
    lines = [
        f"envoy_tcp_downstream_cx_rx_bytes_total{{{listener}}} {sent}",
        f"envoy_tcp_downstream_cx_tx_bytes_total{{{listener}}} {received}",
    ]
    for target, (opened, closed) in targets.items():
        labels = f'{LABELS}destination_workload="{target}",destination_workload_namespace="shop"'
        lines.append(f"envoy_istio_tcp_connections_opened_total{{{labels}}} {opened}")
        if closed:
            lines.append(f"envoy_istio_tcp_connections_closed_total{{{labels}}} {closed}")
            lines.append(f"envoy_istio_tcp_received_bytes_total{{{labels}}} 1")
    return "\n".join(lines)


def read(exposition, text, *, epoch=1) -> dict:
    batch = exposition.read(text, instance="sidecar", epoch=epoch, at_ms=1, origin="here")
    return {one.edge.target.workload: (one.counters.sent_bytes, one.counters.received_bytes) for one in batch}


def exposition() -> Exposition:
    return Exposition(istio.DIALECT, cluster="Kubernetes")


def test_bytes_are_seen_while_the_connection_lasts_and_once():
    it = exposition()
    assert read(it, page(sent=10, received=100, db=(1, 0))) == {"db": (10, 100)}
    assert read(it, page(sent=30, received=300, db=(1, 0))) == {"db": (30, 300)}
    assert read(it, page(sent=30, received=300, db=(1, 1))) == {"db": (30, 300)}


def test_two_targets_behind_one_listener_share_by_their_open_connections():
    it = exposition()
    read(it, page(sent=100, received=0, db1=(1, 0)))
    assert read(it, page(sent=500, received=0, db1=(1, 0), db2=(3, 0))) == {"db1": (200, 0), "db2": (300, 0)}
    assert read(it, page(sent=600, received=0, db1=(1, 1), db2=(3, 0))) == {"db1": (200, 0), "db2": (400, 0)}


def test_bytes_of_a_connection_that_reached_nobody_yet_wait_for_their_target():
    it = exposition()
    assert read(it, page(sent=50, received=0)) == {}
    assert read(it, page(sent=60, received=0, db=(1, 0))) == {"db": (60, 0)}


def test_a_proxy_that_started_again_begins_anew():
    it = exposition()
    read(it, page(sent=100, received=0, db=(1, 0)))
    assert read(it, page(sent=7, received=0, db=(1, 0)), epoch=2) == {"db": (7, 0)}


def test_without_live_counts_those_of_ended_connections_are_taken():
    assert read(exposition(), page(sent=9, received=9, listener='envoy_tcp_prefix="else"', db=(1, 1))) == {"db": (1, 0)}


def test_instances_that_are_gone_are_forgotten():
    it = exposition()
    read(it, page(sent=100, received=0, db=(1, 0)))
    it.retain([])
    assert read(it, page(sent=120, received=0, db=(1, 0))) == {"db": (120, 0)}
    assert len(it._live) == 1


def test_bytes_that_begin_again_at_zero_go_on_for_everyone_behind_the_listener():
    it = exposition()
    read(it, page(sent=100, received=0, db1=(1, 0), db2=(1, 0)))
    assert read(it, page(sent=8, received=0, db1=(1, 0), db2=(1, 0))) == {"db1": (54, 0), "db2": (54, 0)}
