"""What a Prometheus' own rules take away from a mesh's series, and how it would leave them."""

import yaml

from collectors.dialects import known
from collectors.prometheus.relabelling import losses

ISTIO = known()["istio"]


def configuration(*rules, job="istio") -> str:
    return yaml.safe_dump(
        {"scrape_configs": [{"job_name": job, "metric_relabel_configs": list(rules)}]}, sort_keys=False
    )


def mended(loss) -> list:
    return yaml.safe_load(loss.mended)["metric_relabel_configs"]


def test_a_dropped_label_that_the_graph_reads_is_named_with_rules_that_leave_it():
    other = {"source_labels": ["pod"], "target_label": "pod_name", "action": "replace"}
    drop = {"regex": "source_workload|destination_app|noise", "action": "labeldrop"}
    [loss] = losses(configuration(other, drop), ISTIO, {"istio"})
    assert (loss.job, loss.labels) == ("istio", ("source_workload", "destination_app"))
    assert loss.rule == "{regex: source_workload|destination_app|noise, action: labeldrop}"
    assert mended(loss) == [other, {"regex": "noise", "action": "labeldrop"}]


def test_a_rule_that_takes_away_nothing_but_what_the_graph_reads_goes():
    [loss] = losses(configuration({"regex": "source_(.+)", "action": "labeldrop"}), ISTIO, {"istio"})
    assert "source_workload_namespace" in loss.labels
    assert mended(loss) == []


def test_labels_that_are_kept_are_joined_by_those_that_are_read():
    [loss] = losses(configuration({"regex": "__name__|le|reporter", "action": "labelkeep"}), ISTIO, {"istio"})
    assert "le" not in loss.labels
    assert mended(loss)[0]["regex"].startswith("__name__|le|reporter|source_cluster|")
    assert losses(configuration(*mended(loss)), ISTIO, {"istio"}) == ()


def test_metrics_dropped_by_name_are_told():
    drop = {"source_labels": ["__name__"], "regex": "istio_request_duration_milliseconds_bucket", "action": "drop"}
    [loss] = losses(configuration(drop), ISTIO, {"istio"})
    assert loss.metrics == ("istio_request_duration_milliseconds_bucket",)
    keep = {"source_labels": ["__name__"], "regex": "istio_requests_total", "action": "keep"}
    [loss] = losses(configuration(keep), ISTIO, {"istio"})
    assert losses(configuration(*mended(loss)), ISTIO, {"istio"}) == ()


def test_rules_of_other_jobs_and_rules_that_only_rename_take_nothing_away():
    drop = {"regex": "source_workload", "action": "labeldrop"}
    two = yaml.safe_load(configuration(drop, job="nodes"))
    two["scrape_configs"].append({"job_name": "istio"})
    assert losses(yaml.safe_dump(two), ISTIO, {"istio"}) == ()
    assert losses(configuration({"regex": "(.+)_name", "action": "labelmap"}), ISTIO, {"istio"}) == ()
    assert losses("{not yaml", ISTIO, {"istio"}) == losses("", ISTIO, ()) == ()
