"""The role that is asked for allows what is read, and nothing else, to whom the API server takes us for."""

import pytest
import yaml

from collectors.kubernetes.kinds import Resource
from collectors.kubernetes.permissions import reader_role, refused_user

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
ROUTES = Resource("networking.istio.io", "v1", "virtualservices", "VirtualService", namespaced=True)
SERVICES = Resource("", "v1", "services", "Service", namespaced=True)
REFUSAL = """/api/v1/pods is answered 403: pods is forbidden: User "%s" cannot list resource "pods" in API group ""'"""


def test_it_allows_to_read_each_kind_and_nothing_else() -> None:
    role, binding = yaml.safe_load_all(reader_role([ROUTES, PODS, SERVICES], "jane"))
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["networking.istio.io"], "resources": ["virtualservices"], "verbs": ["get", "list", "watch"]},
    ]
    assert (binding["kind"], binding["roleRef"]["name"]) == ("ClusterRoleBinding", role["metadata"]["name"])


def test_who_may_read_some_namespaces_only_is_bound_in_each() -> None:
    _, *bindings = yaml.safe_load_all(reader_role([PODS], "jane", ["shop", "bank"]))
    assert [(one["kind"], one["metadata"]["namespace"]) for one in bindings] == [
        ("RoleBinding", "shop"),
        ("RoleBinding", "bank"),
    ]


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("jane", {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}),
        ("system:serviceaccount:tools:scope", {"kind": "ServiceAccount", "namespace": "tools", "name": "scope"}),
    ],
)
def test_it_is_for_whom_the_server_has_refused(user: str, subject: dict[str, str]) -> None:
    _, binding = yaml.safe_load_all(reader_role([PODS], refused_user(REFUSAL % user)))
    assert binding["subjects"] == [subject]
