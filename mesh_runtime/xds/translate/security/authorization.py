"""AuthorizationPolicies as Envoy's RBAC filters, rule by rule as Istio reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from mesh_runtime.api.objects import ConfigObject
from mesh_runtime.api.security import AuthorizationPolicy, Rule
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.security.attributes import (
    Scope,
    Term,
    condition,
    is_asked,
    mentions_ports,
    operation,
    source,
)
from mesh_runtime.xds.translate.spec import spec_of

Action = Literal["LOG", "DENY", "ALLOW"]
DRY_RUN: Final = "istio.io/dry-run"
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_ORDER: Final[Sequence[Literal["AUDIT", "DENY", "ALLOW"]]] = ("AUDIT", "DENY", "ALLOW")
_NEVER: Final[Envoy] = {"permissions": [{"not_rule": {"any": True}}], "principals": [{"not_id": {"any": True}}]}


class _Words(NamedTuple):
    """The words in which Envoy combines permissions or principals."""

    every: str
    any_of: str
    members: str
    negated: str


_PERMISSION: Final = _Words("and_rules", "or_rules", "rules", "not_rule")
_PRINCIPAL: Final = _Words("and_ids", "or_ids", "ids", "not_id")


def http_rbac(policies: Sequence[ConfigObject], scope: Scope) -> tuple[Envoy, ...]:
    """Return the HTTP filters that hold requests to all policies but the CUSTOM ones."""
    return tuple(map(http_filter, _by_action(policies, scope, tcp=False)))


def tcp_rbac(policies: Sequence[ConfigObject], scope: Scope) -> tuple[Envoy, ...]:
    """Return the network filters that hold connections to all policies but the CUSTOM ones."""
    return tuple(map(tcp_filter, _by_action(policies, scope, tcp=True)))


def http_filter(rules: Mapping[str, Any]) -> Envoy:
    """Return the filter that holds requests to rules."""
    config = any_of("envoy.extensions.filters.http.rbac.v3.RBAC", **rules)
    return {"name": "envoy.filters.http.rbac", "typed_config": config}


def tcp_filter(rules: Mapping[str, Any]) -> Envoy:
    """Return the filter that holds connections to rules."""
    config = any_of("envoy.extensions.filters.network.rbac.v3.RBAC", stat_prefix="tcp.", **rules)
    return {"name": "envoy.filters.network.rbac", "typed_config": config}


def mention_ports(policies: Sequence[ConfigObject]) -> bool:
    """Tell whether it matters which port a connection came to."""
    return any(mentions_ports(rule) for item in policies for rule in spec_of(item, AuthorizationPolicy).rules)


def engine(policies: Sequence[ConfigObject], action: Action, scope: Scope, *, tcp: bool, prefix: str = "") -> Envoy:
    """Return the rules of policies with one action. Names of rules begin with *prefix*."""
    rules: dict[str, Envoy] = {}
    for item in policies:
        spec = spec_of(item, AuthorizationPolicy)
        name = f"{prefix}ns[{item.key.namespace}]-policy[{item.key.name}]-rule"
        for index, rule in enumerate(spec.rules):
            made = _policy(rule, item.key.namespace, scope, tcp=tcp, widens=action != "ALLOW")
            if made is not None:
                rules[f"{name}[{index}]"] = made
        if not spec.rules:
            rules[f"{name}[0]"] = _NEVER
    return {"action": action, "policies": rules}


def is_dry_run(item: ConfigObject) -> bool:
    """Tell whether a policy is only to be tried."""
    return item.annotations.get(DRY_RUN) in _TRUE


def shadow(rules: Envoy, name: str) -> dict[str, Any]:
    """Return rules that are only tried. Counters and metadata of their outcome begin with ``istio_<name>_``."""
    return {"shadow_rules": rules, "shadow_rules_stat_prefix": f"istio_{name}_"}


def _by_action(policies: Sequence[ConfigObject], scope: Scope, *, tcp: bool) -> Iterator[dict[str, Any]]:
    for action in _ORDER:  # CUSTOM comes before all of them
        found = [item for item in policies if spec_of(item, AuthorizationPolicy).action == action]
        enforced = [item for item in found if not is_dry_run(item)]
        tried = [item for item in found if is_dry_run(item)]
        if action == "AUDIT":
            yield from _audited(enforced, scope, tcp=tcp)
        elif found:
            rules = {"rules": engine(enforced, action, scope, tcp=tcp)} if enforced else {}
            yield rules | (shadow(engine(tried, action, scope, tcp=tcp), f"dry_run_{action.lower()}") if tried else {})


def _audited(policies: Sequence[ConfigObject], scope: Scope, *, tcp: bool) -> Iterator[dict[str, Any]]:
    """Yield what marks audited requests for access logs. Envoy counts them as "allowed" by a shadow of the rules."""
    if policies:
        yield {
            "rules": engine(policies, "LOG", scope, tcp=tcp),
            **shadow(engine(policies, "ALLOW", scope, tcp=tcp), "audit"),
        }


def _policy(rule: Rule, namespace: str, scope: Scope, *, tcp: bool, widens: bool) -> Envoy | None:
    """Return a rule as Envoy's policy; ``None``: it needs what a TCP connection does not have.

    Of a rule that *widens* (DENY, AUDIT) only the conditions that cannot be told are left out, as in Istio.
    """
    conditions = [(is_asked(one), condition(one, namespace, scope)) for one in rule.when]
    asked = [term for of_operation, term in conditions if of_operation]
    known = [term for of_operation, term in conditions if not of_operation]
    operations = [[*operation(one.operation, scope), *asked] for one in rule.to] or [asked]
    sources = [[*source(one.source, namespace, scope), *known] for one in rule.from_] or [known]
    if tcp and not widens and any(term.http_only for terms in (*operations, *sources) for term in terms):
        return None
    return {
        "permissions": [_every(terms, _PERMISSION, tcp=tcp) for terms in operations],
        "principals": [_every(terms, _PRINCIPAL, tcp=tcp) for terms in sources],
    }


def _every(terms: Sequence[Term], words: _Words, *, tcp: bool) -> Envoy:
    found = [
        part
        for term in terms
        if not (tcp and term.http_only)
        for part in (
            *([_one_of(term, term.values, words)] if term.values else ()),
            *([{words.negated: _one_of(term, term.without, words)}] if term.without else ()),
        )
    ]
    return {words.every: {words.members: found or [{"any": True}]}}


def _one_of(term: Term, values: Sequence[str], words: _Words) -> Envoy:
    return {words.any_of: {words.members: [term.make(value) for value in values]}}
