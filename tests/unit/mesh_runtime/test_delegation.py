"""VirtualServices that leave their rules to others: what is joined, and what is out of bounds."""

import pytest
from test_translate import NETWORKING, world


def root(match="", **fields):
    delegate = fields.pop("delegate", "{name: leaf}")
    more = "".join(f", {name}: {value}" for name, value in fields.items())
    http = f"[{{name: root, match: [{match}], delegate: {delegate}{more}}}]"
    return (
        f"{NETWORKING}\nkind: VirtualService\nmetadata: {{name: root}}\nspec: {{hosts: [a.example.com], http: {http}}}"
    )


def leaf(match="", namespace="shop", spec="", **fields):
    more = "".join(f", {name}: {value}" for name, value in fields.items())
    http = f"[{{name: leaf, match: [{match}], route: [{{destination: {{host: catalog}}}}]{more}}}]"
    head = f"{NETWORKING}\nkind: VirtualService\nmetadata: {{name: leaf, namespace: {namespace}}}\n"
    return f"{head}spec: {{http: {http}{spec}}}"


def joined(*manifests):
    ((_, spec),) = world(*manifests).virtual_services
    return spec.http


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("", "{uri: {exact: /a}}"),
        ("{uri: {prefix: /a}}", ""),
        ("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}"),
        ("{uri: {prefix: /a}}", "{uri: {exact: /a/b}}"),
        ("{uri: {exact: /a}}", "{uri: {exact: /a}}"),
        ("{uri: {prefix: /a}}", "{method: {exact: GET}}"),
        ("{headers: {x: {exact: a}}}", "{headers: {y: {regex: b}}}"),
        ("{port: 80}", "{port: 80, uri: {prefix: /a}}"),
        ("{gateways: [mesh, one]}", "{gateways: [mesh]}"),
        ("{uri: {prefix: /x}}, {uri: {prefix: /a}}", "{uri: {prefix: /a/b}}"),
    ],
)
def test_a_delegate_may_narrow_what_it_was_given(wide, narrow):
    assert len(joined(root(wide), leaf(narrow))) == 1


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("{uri: {prefix: /a}}", "{uri: {prefix: /b}}"),
        ("{uri: {prefix: /a/b}}", "{uri: {prefix: /a}}"),
        ("{uri: {exact: /a}}", "{uri: {prefix: /a}}"),
        ("{uri: {regex: a}}", "{uri: {regex: a}}"),
        ("{headers: {x: {exact: a}}}", "{headers: {x: {exact: b}}}"),
        ("{withoutHeaders: {x: {exact: a}}}", "{withoutHeaders: {x: {exact: b}}}"),
        ("{uri: {prefix: /a}, ignoreUriCase: true}", "{uri: {prefix: /a}}"),
        ("{port: 80}", "{port: 81}"),
        ("{sourceNamespace: shop}", "{uri: {prefix: /a}}"),
        ("{sourceLabels: {app: a}}", "{sourceLabels: {app: b}}"),
        ("{gateways: [mesh]}", "{gateways: [mesh, one]}"),
        ("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}, {uri: {prefix: /b}}"),
    ],
)
def test_a_rule_that_goes_beyond_what_was_delegated_is_left_out(wide, narrow):
    assert joined(root(wide), leaf(narrow)) == ()


def test_conditions_are_joined_and_the_delegate_s_own_settings_win():
    (rule,) = joined(
        root("{name: r, uri: {prefix: /a}, headers: {x: {exact: a}}}", timeout="1s", rewrite="{uri: /r}"),
        leaf("{name: l, uri: {prefix: /a/b}, sourceLabels: {app: b}}", timeout="2s"),
    )
    (match,) = rule.match
    assert (rule.name, match.name, match.uri.prefix, set(match.headers)) == ("root-leaf", "r-l", "/a/b", {"x"})
    assert (rule.timeout, rule.rewrite.uri, match.source_labels) == ("2s", "/r", {"app": "b"})


def test_names_mean_what_they_mean_where_they_are_written():
    (rule,) = joined(root(delegate="{name: leaf, namespace: other}"), leaf(namespace="other"))
    assert rule.route[0].destination.host == "catalog.other.svc.cluster.local"


@pytest.mark.parametrize(("audience", "seen"), [("[.]", 0), ("[shop]", 1), ("['*']", 1)])
def test_a_delegate_must_be_exported_to_those_who_delegate_to_it(audience, seen):
    found = joined(
        root(delegate="{name: leaf, namespace: other}"), leaf(namespace="other", spec=f", exportTo: {audience}")
    )
    assert len(found) == seen
