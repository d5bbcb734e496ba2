"""Policies as Envoy's matchers: held against a reading of Istio's rules on plain strings."""

import re

import pytest
from config_words import config, manifest, said
from hypothesis import given
from hypothesis import strategies as st

from mesh_runtime.api import parse
from mesh_runtime.identity.enrolment import instance_of
from mesh_runtime.registration import Registration
from mesh_runtime.registry import RegistryState, Role
from mesh_runtime.xds.snapshot import Kind
from mesh_runtime.xds.translate import World, translate
from mesh_runtime.xds.translate.security import matchers
from mesh_runtime.xds.translate.security.attributes import Scope
from mesh_runtime.xds.translate.security.authorization import engine
from mesh_runtime.xds.translate.security.peer_authentication import mtls_mode

SCOPE = Scope(port=lambda number: {"destination_port": number})
KEYS = '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
words = st.text("ab*/.", min_size=1, max_size=6)


def holds(matcher, value):
    """Envoy's reading of a string matcher."""
    match matcher:
        case {"exact": text}:
            return value == text
        case {"prefix": text}:
            return bool(text) and value.startswith(text)
        case {"suffix": text}:
            return bool(text) and value.endswith(text)
        case {"safe_regex": {"regex": pattern}}:
            return re.fullmatch(pattern, value) is not None
    raise AssertionError(matcher)


def istio(pattern, value):
    """Istio's reading of a policy's value."""
    if pattern == "*":
        return value != ""
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


@given(words, words)
def test_a_value_matches_what_istio_says(pattern, value):
    assert holds(matchers.string(pattern), value) == istio(pattern, value)


@given(words, words)
def test_a_principal_matches_what_istio_says_of_the_name_without_its_scheme(pattern, value):
    assert holds(matchers.spiffe(pattern), f"spiffe://{value}") == istio(pattern, value)


@given(st.text(min_size=1, max_size=8))
def test_what_a_name_holds_is_never_taken_for_a_pattern(name):
    found = matchers.regex(matchers.wildcard(name.replace("*", ""), ".*"))
    assert holds(found, name.replace("*", ""))


def policy(action, *rules, **fields):
    return manifest("AuthorizationPolicy", "test", {"action": action, "rules": list(rules)} | fields)


def rules(action, *written, tcp=False):
    effect = {"AUDIT": "LOG"}.get(action, action)
    return engine([parse(policy(action, *written))], effect, SCOPE, tcp=tcp)["policies"]


METHOD = {"to": [{"operation": {"methods": ["GET"], "ports": ["80"]}}]}
ANY = {"and_rules": {"rules": [{"any": True}]}}


def test_of_a_deny_only_what_tcp_cannot_tell_is_left_out():
    (rule,) = rules("DENY", METHOD, tcp=True).values()
    assert rule["permissions"] == [{"and_rules": {"rules": [{"or_rules": {"rules": [{"destination_port": 80}]}}]}}]
    (rule,) = rules("AUDIT", {"to": [{"operation": {"paths": ["/"]}}]}, tcp=True).values()
    assert rule["permissions"] == [ANY]


def test_an_allow_that_tcp_cannot_tell_is_left_out_as_a_whole():
    assert rules("ALLOW", METHOD, tcp=True) == {}
    assert len(rules("ALLOW", METHOD)) == 1


def test_a_principal_is_known_by_each_name_of_the_mesh():
    scope = Scope(port=SCOPE.port, trust_domains=("cluster.local", "old"))
    written = {"from": [{"source": {"principals": ["old/ns/a/sa/b", "*/ns/a/sa/c", "far/ns/a/sa/d", "sa"]}}]}
    (rule,) = engine([parse(policy("ALLOW", written))], "ALLOW", scope, tcp=False)["policies"].values()
    text = str(rule["principals"])
    for name in ("cluster.local/ns/a/sa/b", "old/ns/a/sa/b", "far/ns/a/sa/d", "spiffe://sa"):
        assert name in text
    assert "old/ns/a/sa/d" not in text


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({"action": "DENY"}, "spec.rules", "DENY without rules is never triggered"),
        ({"action": "CUSTOM", "rules": [{}]}, "spec.provider", "CUSTOM needs it"),
        ({"provider": {"name": "a"}}, "spec.provider", "ALLOW asks nobody"),
        ({"rules": [{"from": []}]}, "spec.rules[0].from", "must not be empty"),
        ({"rules": [{"from": [{"source": {}}]}]}, "spec.rules[0].from[0].source", "is empty"),
        ({"rules": [{"when": [{"key": "a", "values": ["b"]}]}]}, "spec.rules[0].when[0].key", "is not an attribute"),
        (
            {"rules": [{"when": [{"key": "request.auth.claims[a][]", "values": ["b"]}]}]},
            "spec.rules[0].when[0].key",
            "must be written request.auth.claims[key]",
        ),
        (
            {"rules": [{"when": [{"key": "source.ip", "values": ["b"]}]}]},
            "spec.rules[0].when[0].values",
            "neither an IP address nor a range",
        ),
        (
            {"rules": [{"to": [{"operation": {"paths": ["/{**}/{*}"]}}]}]},
            "spec.rules[0].to[0].operation.paths[0]",
            "nothing variable may follow",
        ),
        (
            {"rules": [{"to": [{"operation": {"paths": ["/a{x}"]}}]}]},
            "spec.rules[0].to[0].operation.paths[0]",
            "a brace is only allowed",
        ),
        (
            {"rules": [{"to": [{"operation": {"ports": ["http"]}}]}]},
            "spec.rules[0].to[0].operation.ports[0]",
            "is not a port number",
        ),
        (
            {"rules": [{"from": [{"source": {"serviceAccounts": ["a"], "namespaces": ["b"]}}]}]},
            "spec.rules[0].from[0].source",
            "serviceAccounts excludes namespaces",
        ),
    ],
)
def test_what_istio_refuses_in_a_policy_is_refused_at_its_place(spec, path, words):
    found = said(manifest("AuthorizationPolicy", "test", spec))
    assert words in found.get(path, str(found))


@pytest.mark.parametrize(
    ("rule", "path", "words"),
    [
        ({"jwks": KEYS}, "spec.jwtRules[0].issuer", "is needed"),
        ({"issuer": "a", "presence": "REQUIRED"}, "spec.jwtRules[0].presence", "no release of Istio looks at it"),
        ({"jwks": "{}", "issuer": "a"}, "spec.jwtRules[0].jwks", "is not a key set"),
        ({"issuer": "a", "jwksUri": "ftp://a"}, "spec.jwtRules[0].jwksUri", "is not an http or https address"),
        ({"issuer": "a", "jwks": KEYS, "jwksUri": "http://a"}, "spec.jwtRules[0].jwks", "exclude each other"),
        ({"jwks": '{"keys": []}', "issuer": "a"}, "spec.jwtRules[0].jwks", "no key that can verify"),
        ({"jwks": KEYS.replace("11qY", "1"), "issuer": "a"}, "spec.jwtRules[0].jwks", "no key that can verify"),
    ],
)
def test_what_istio_refuses_in_a_token_rule_is_refused_at_its_place(rule, path, words):
    found = said(manifest("RequestAuthentication", "test", {"jwtRules": [rule]}))
    assert words in found.get(path, str(found))


def catalog(number=0, **labels):
    registration = Registration(role=Role.SIDECAR, namespace="shop", service="catalog", port=9000, labels=labels)
    return instance_of(registration, key=f"shop/catalog~{number}", address=f"127.64.1.{number + 1}")


def world(*manifests, instances=()):
    return World(config(*manifests), RegistryState(instances={one.id: one for one in instances}))


def test_replicas_share_their_filters():
    one, two = catalog(0), catalog(1)
    found = world(policy("DENY", {"to": [{"operation": {"paths": ["/a"]}}]}), instances=[one, two])
    filters = [
        listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]
        for instance in (one, two)
        for group in translate(found, instance)[Kind.LDS]
        for listener in group
        if listener["traffic_direction"] == "INBOUND"
    ]
    assert len(filters) == 2
    assert filters[0] is filters[1]


@pytest.mark.parametrize(
    ("own", "port", "expected"),
    [
        ({"portLevelMtls": {"9000": {"mode": "DISABLE"}}}, 9000, "DISABLE"),
        ({"portLevelMtls": {"9000": {"mode": "DISABLE"}}}, 9001, "STRICT"),
        ({"portLevelMtls": {"9000": {"mode": "UNSET"}}, "mtls": {"mode": "PERMISSIVE"}}, 9000, "PERMISSIVE"),
        ({"portLevelMtls": {"9000": {}}}, 9000, "STRICT"),
        ({"mtls": {"mode": "DISABLE"}}, None, "DISABLE"),
    ],
)
def test_the_port_counts_before_the_workload_and_that_before_the_rest(own, port, expected):
    selector = {"selector": {"matchLabels": {"app": "catalog"}}}
    found = world(
        manifest("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}),
        manifest("PeerAuthentication", "catalog", selector | own),
    )
    assert mtls_mode(found, "shop", {"app": "catalog"}, port) == expected


def test_a_policy_for_a_gateway_by_name_is_for_no_workload():
    reference = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web"}
    found = world(policy("DENY", {}, targetRefs=[reference]), instances=[catalog()])
    assert "rbac" not in str(translate(found, catalog()))
    label = {"gateway.networking.k8s.io/gateway-name": "web"}
    named = world(policy("DENY", {}, targetRefs=[reference]), instances=[catalog(**label)])
    assert "rbac" in str(translate(named, catalog(**label)))
