"""What we need to be allowed in a cluster, as RBAC objects to paste."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import yaml

from collectors.kubernetes.kinds import Resource

ROLE = "meshscope-reader"
GROUP = "rbac.authorization.k8s.io"
API = f"{GROUP}/v1"
ACCOUNT = "system:serviceaccount:"

_USER = re.compile(r'User "([^"]+)" cannot ')


def refused_user(refusal: str) -> str:
    """Find out by what name the API server knows us: a refusal says it. Empty where it does not."""
    found = _USER.search(refusal)
    return found[1] if found else ""


def reader_role(resources: Collection[Resource], user: str, namespaces: Sequence[str] = ()) -> str:
    """Write a role that allows to read these, and bind it to a user: to apply as it is. Pure.

    ``namespaces`` are those that are read; empty: all. Allowances add up, so that roles which are there do no harm.
    """
    role = {"apiVersion": API, "kind": "ClusterRole", "metadata": {"name": ROLE}, "rules": list(_rules(resources))}
    bindings = [_binding(user, namespace) for namespace in namespaces or ("",)]
    return yaml.safe_dump_all([role, *bindings], default_flow_style=None, sort_keys=False, width=120)


def _rules(resources: Collection[Resource]) -> Iterator[Mapping[str, Any]]:
    for group, ones in groupby(sorted(resources), key=lambda one: one.group):
        plurals = sorted({one.plural for one in ones})
        yield {"apiGroups": [group], "resources": plurals, "verbs": ["get", "list", "watch"]}


def _binding(user: str, namespace: str) -> Mapping[str, Any]:
    return {
        "apiVersion": API,
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": ROLE, "namespace": namespace} if namespace else {"name": ROLE},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": ROLE},
        "subjects": [_subject(user)],
    }


def _subject(user: str) -> Mapping[str, str]:
    if user.startswith(ACCOUNT):
        namespace, _, name = user.removeprefix(ACCOUNT).partition(":")
        return {"kind": "ServiceAccount", "namespace": namespace, "name": name}
    return {"kind": "User", "apiGroup": GROUP, "name": user or "WHO-WE-ARE"}
