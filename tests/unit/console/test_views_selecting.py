"""Which objects are for a workload, and by what."""

from __future__ import annotations

import pytest

from collectors.kubernetes.objects import Declared
from console.clusters import object_of
from console.views.selecting import selecting
from mesh_runtime.api import load

LABELS = {"app": "catalog", "version": "v2"}
POLICY = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: it, namespace: {}}}\nspec: {}"


def found(yaml: str) -> list[str]:
    return [one.text for one in selecting(load(yaml), "shop", LABELS, ("catalog",))]


@pytest.mark.parametrize(
    ("namespace", "spec", "told"),
    [
        ("shop", "{selector: {matchLabels: {app: catalog}}}", ["ALLOW nobody; by app=catalog"]),
        ("shop", "{selector: {matchLabels: {app: catalog, version: v1}}}", []),
        ("shop", "{action: DENY, rules: [{}]}", ["DENY 1 rule; for all of shop"]),
        ("lab", "{}", []),
        ("istio-system", "{}", ["ALLOW nobody; for the whole mesh"]),
        ("istio-system", "{selector: {matchLabels: {version: v2}}}", ["ALLOW nobody; by version=v2"]),
    ],
)
def test_policies_are_for_whom_they_select_for_their_namespace_or_for_the_mesh(namespace, spec, told):
    assert found(POLICY.format(namespace, spec)) == told


@pytest.mark.parametrize(("service", "told"), [("catalog", ["ALLOW nobody; for service catalog"]), ("orders", [])])
def test_a_policy_of_a_cluster_is_for_the_services_that_it_names(service, told):
    manifest = {
        "apiVersion": "security.istio.io/v1",
        "metadata": {"name": "it", "namespace": "shop"},
        "spec": {"targetRefs": [{"kind": "Service", "name": service}]},
    }
    group, kind = "security.istio.io", "AuthorizationPolicy"
    declared = Declared(group=group, kind=kind, namespace="shop", name="it", manifest=manifest, status={}, version="1")
    assert [one.text for one in selecting([object_of(declared)], "shop", LABELS, ("catalog",))] == told


def test_a_service_selects_by_all_of_its_labels_and_in_its_own_namespace_only():
    service = "apiVersion: v1\nkind: Service\nmetadata: {{name: it, namespace: {}}}\nspec: {{selector: {}, ports: [{{port: 80}}]}}"
    assert found(service.format("shop", "{app: catalog}")) == ["by app=catalog"]
    assert found(service.format("shop", "{app: catalog, version: v1}")) == []
    assert found(service.format("lab", "{app: catalog}")) == []
