"""Who may call whom: AuthorizationPolicy and PeerAuthentication with real requests and connections."""

import asyncio
import ssl
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio
import yaml
from xds_mesh import FRESH_CONNECTIONS, GATEWAY, PATIENCE_S, TO_CATALOG, Mesh, free_echo_server, mesh_config, together

from mesh_runtime.api.objects import ObjectKey
from mesh_runtime.identity.authority import spiffe_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALIASES = mesh_config("trustDomainAliases: [old.example]")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("orders")
        await mesh.workload("catalog", ports={"http-admin": 1})
        await mesh.workload("db", protocol="tcp", app=free_echo_server)
        await mesh.gateway("ingress", istio="ingress")
        await mesh.apply(together(FRESH_CONNECTIONS, GATEWAY, TO_CATALOG, ALIASES))
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def no_policies_left(mesh):
    yield
    await mesh.forget("AuthorizationPolicy", "PeerAuthentication")


def policy(action, *rules, app="catalog", name="test", namespace="shop", annotations=None):
    selector = {"selector": {"matchLabels": {"app": app}}} if app else {}
    metadata = {"name": name, "namespace": namespace, "annotations": annotations or {}}
    return yaml.safe_dump(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": metadata,
            "spec": {**selector, "action": action, "rules": list(rules)},
        }
    )


def source(**fields):
    return {"from": [{"source": fields}]}


def operation(**fields):
    return {"to": [{"operation": fields}]}


def when(key, *values, **fields):
    return {"when": [{"key": key, "values": list(values), **fields}]}


async def status(mesh, caller="frontend", path="", **options):
    return (await mesh.get(mesh.workloads[caller], f"catalog/{path}", **options)).status


async def stats(mesh, name, pattern):
    page = (await mesh.admin(mesh.workloads[name], f"/stats?filter={pattern}")).text
    return sum(int(line.rpartition(": ")[2]) for line in page.splitlines())


async def echoed(mesh, caller):
    """Send bytes to the database: what comes back."""
    workload = mesh.workloads[caller]
    again = replace(workload.registration, id=workload.grant.id, token=workload.grant.token)
    reader, writer = await asyncio.open_connection(*(await mesh.control.register(again)).tcp_services["db"])
    try:
        writer.write(b"hello")
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read(5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_members_of_the_mesh_speak_no_tls_older_than_1_3(mesh):
    context = ssl.create_default_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["istio"])
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        await asyncio.open_connection(mesh.workloads["catalog"].address, 15006, ssl=context)


async def test_without_a_policy_there_is_no_filter(mesh):
    page = (await mesh.admin(mesh.workloads["catalog"], "/config_dump?resource=dynamic_listeners")).text
    assert "rbac" not in page
    assert "jwt_authn" not in page


async def test_a_denied_request_is_told_so(mesh):
    await mesh.apply(policy("DENY", operation(paths=["/admin*"])))
    answer = await mesh.get(mesh.workloads["frontend"], "catalog/admin/users")
    assert (answer.status, answer.text) == (403, "RBAC: access denied")
    assert await status(mesh, path="public") == 200


async def test_allow_without_rules_denies_all_and_an_empty_rule_allows_all(mesh):
    await mesh.apply(policy("ALLOW"))
    assert await status(mesh) == 403
    await mesh.apply(policy("ALLOW", {}))
    assert await status(mesh) == 200


async def test_deny_comes_before_allow(mesh):
    await mesh.apply(policy("ALLOW", {}) + "---\n" + policy("DENY", operation(methods=["DELETE"]), name="no-delete"))
    assert await status(mesh) == 200
    assert await status(mesh, method="DELETE") == 403


@pytest.mark.parametrize(
    ("fields", "frontend", "orders"),
    [
        ({"principals": ["cluster.local/ns/shop/sa/frontend"]}, 200, 403),
        ({"principals": ["*/sa/frontend"]}, 200, 403),
        ({"principals": ["cluster.local/ns/shop/*"]}, 200, 200),
        ({"principals": ["*"], "notPrincipals": ["cluster.local/ns/shop/sa/frontend"]}, 403, 200),
        ({"principals": ["old.example/ns/shop/sa/orders"]}, 403, 200),
        ({"namespaces": ["shop"]}, 200, 200),
        ({"namespaces": ["other", "sh"]}, 403, 403),
        ({"notNamespaces": ["sh*"]}, 403, 403),
        ({"serviceAccounts": ["orders"]}, 403, 200),
        ({"serviceAccounts": ["shop/frontend", "other/orders"]}, 200, 403),
        ({"notServiceAccounts": ["orders"]}, 200, 403),
        ({"trustDomains": ["cluster.*"]}, 200, 200),
        ({"notTrustDomains": ["cluster.local"]}, 403, 403),
        ({"ipBlocks": ["127.0.0.0/8"]}, 200, 200),
        ({"notIpBlocks": ["127.0.0.0/8"]}, 403, 403),
    ],
)
async def test_a_caller_is_known_by(mesh, fields, frontend, orders):
    await mesh.apply(policy("ALLOW", source(**fields)))
    assert (await status(mesh, "frontend"), await status(mesh, "orders")) == (frontend, orders)


async def test_a_workload_calls_from_its_own_address(mesh):
    frontend = mesh.workloads["frontend"].address
    await mesh.apply(policy("ALLOW", source(ipBlocks=[frontend])))
    assert (await status(mesh, "frontend"), await status(mesh, "orders")) == (200, 403)
    await mesh.apply(policy("DENY", when("source.ip", frontend), app="db"))
    assert (await echoed(mesh, "frontend"), await echoed(mesh, "orders")) == (b"", b"hello")


@pytest.mark.parametrize(
    ("fields", "yes", "no"),
    [
        ({"paths": ["/a"]}, "a?b=c", "a/b"),
        ({"paths": ["/a/*"]}, "a/b", "a"),
        ({"paths": ["*.js"]}, "x/y.js", "x/y.css"),
        ({"paths": ["/v1/{*}/items"]}, "v1/a/items", "v1/a/b/items"),
        ({"paths": ["/v2/{*}/{**}"]}, "v2/a/b/c", "v2"),
        ({"paths": ["/v3/{**}/end/"]}, "v3/a/b/end/", "v3/a/b"),
        ({"notPaths": ["/secret", "/hidden*"]}, "other", "hidden/x"),
        ({"paths": ["/a*"], "methods": ["GET"], "hosts": ["CATALOG*"]}, "ab", "b"),
        ({"hosts": ["*"], "notHosts": ["other"], "ports": ["{port}"], "paths": ["/p"]}, "p", "q"),
        ({"notPorts": ["1"], "notMethods": ["PO*"], "paths": ["/n"]}, "n", "m"),
    ],
)
async def test_a_request_is_known_by(mesh, fields, yes, no):
    fields = {name: [str(value).format(port=mesh.workloads["catalog"].port) if name == "ports" else value
                     for value in values] for name, values in fields.items()}  # fmt: skip
    await mesh.apply(policy("ALLOW", operation(**fields)))
    assert (await status(mesh, path=yes), await status(mesh, path=no)) == (200, 403)


async def test_a_port_that_a_policy_names_is_the_workloads_own(mesh):
    await mesh.apply(policy("DENY", operation(ports=["80", "15006", "1"])))
    assert await status(mesh) == 200
    await mesh.apply(policy("DENY", operation(ports=[str(mesh.workloads["catalog"].port)])))
    assert await status(mesh) == 403


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (when("request.headers[x-user]", "a*"), 200),
        (when("request.headers[x-user]", "*", notValues=["ann"]), 403),
        (when("request.headers[x-other]", "*"), 403),
        (when("source.ip", "127.64.0.0/10", "::1"), 200),
        (when("remote.ip", "10.0.0.0/8"), 403),
        (when("source.namespace", "shop"), 200),
        (when("source.principal", "cluster.local/ns/shop/sa/orders"), 403),
        (when("source.serviceAccount", "frontend"), 200),
        (when("source.trustDomain", "*"), 200),
        (when("destination.ip", "127.0.0.0/8"), 200),
        (when("destination.port", "1"), 403),
        (when("connection.sni", "nobody"), 403),
        (when("request.auth.principal", "*"), 403),
        (when("experimental.envoy.filters.network.mysql_proxy[a.b]", "[update]"), 403),
    ],
)
async def test_a_condition_holds_or_not(mesh, rule, expected):
    await mesh.apply(policy("ALLOW", rule))
    assert await status(mesh, headers={"x-user": "ann"}) == expected


@pytest.mark.parametrize("mode", ["PERMISSIVE", "STRICT"])
async def test_a_caller_is_known_by_the_name_it_asks_for(mesh, mode):
    await peers(mesh, {"mtls": {"mode": mode}})
    await mesh.apply(policy("DENY", when("connection.sni", "outbound_.80_._.catalog.shop.svc.cluster.local")))
    assert await status(mesh) == 403


async def test_all_parts_of_a_rule_must_hold_and_any_of_its_alternatives(mesh):
    both = {"from": [{"source": {"serviceAccounts": ["orders"]}}, {"source": {"serviceAccounts": ["frontend"]}}],
            **operation(paths=["/x"]), **when("request.headers[x-user]", "ann")}  # fmt: skip
    await mesh.apply(policy("ALLOW", both))
    assert await status(mesh, path="x", headers={"x-user": "ann"}) == 200
    assert await status(mesh, path="x") == 403
    assert await status(mesh, path="y", headers={"x-user": "ann"}) == 403


async def test_a_policy_of_the_root_namespace_is_for_all_and_of_another_for_nobody_here(mesh):
    await mesh.apply(policy("DENY", operation(paths=["/r"]), app="", namespace="istio-system"))
    assert await status(mesh, path="r") == 403
    await mesh.apply(policy("DENY", operation(paths=["/o"]), app="", namespace="other"))
    assert await status(mesh, path="o") == 200


async def test_a_dry_run_denies_nothing_and_counts_what_it_would(mesh):
    denies = "istio_dry_run_deny_.shadow_denied"
    await mesh.apply(policy("DENY", operation(paths=["/dry"]), annotations={"istio.io/dry-run": "true"}))
    assert await status(mesh, path="dry") == 200
    assert await stats(mesh, "catalog", denies) == 1


async def test_an_audited_request_passes_and_is_counted(mesh):
    await mesh.apply(policy("AUDIT", operation(paths=["/audited"])))
    assert await status(mesh, path="audited") == 200
    assert await status(mesh, path="other") == 200
    assert await stats(mesh, "catalog", "istio_audit_.shadow_allowed") == 1


async def test_connections_are_judged_by_what_tcp_shows(mesh):
    port = mesh.workloads["db"].port
    await mesh.apply(policy("ALLOW", source(serviceAccounts=["frontend"]) | operation(ports=[str(port)]), app="db"))
    assert await echoed(mesh, "frontend") == b"hello"
    assert await echoed(mesh, "orders") == b""


async def test_what_tcp_does_not_show_never_allows_and_does_not_narrow_a_deny(mesh):
    await mesh.apply(policy("ALLOW", operation(methods=["GET"]), app="db"))
    assert await echoed(mesh, "frontend") == b""
    await mesh.apply(policy("DENY", operation(methods=["GET"], ports=["1"]), app="db"))
    assert await echoed(mesh, "frontend") == b"hello"
    await mesh.apply(policy("DENY", operation(methods=["GET"]), app="db"))
    assert await echoed(mesh, "frontend") == b""


async def test_a_gateway_has_policies_of_its_own(mesh):
    def call(path):
        return mesh.send(f"http://{mesh.workloads['ingress'].address}:9080/{path}", "shop.example.com")

    gateway = mesh.store.current.objects
    assert ObjectKey("networking.istio.io", "Gateway", "shop", "ingress") in gateway
    rules = policy("DENY", operation(paths=["/internal*"], ports=["9080"])).replace("app: catalog", "istio: ingress")
    await mesh.apply(rules)
    assert (await call("internal/x")).status == 403
    assert (await call("")).status == 200


async def peers(mesh, spec, name="default"):
    metadata = {"name": name}
    kind = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication"}
    await mesh.apply(yaml.safe_dump({**kind, "metadata": metadata, "spec": spec}))


async def plaintext(mesh, port=15006):
    try:
        address = mesh.workloads["catalog"].address
        return (await mesh.send(f"http://{address}:{port}/", "catalog", headers={"Connection": "close"})).status
    except aiohttp.ClientConnectionError:
        return "refused"


async def test_one_port_may_ask_for_other_proof_than_the_rest(mesh):
    catalog = {"selector": {"matchLabels": {"app": "catalog"}}}
    own = str(mesh.workloads["catalog"].port)
    await peers(mesh, {"mtls": {"mode": "STRICT"}})
    await peers(mesh, catalog | {"portLevelMtls": {own: {"mode": "DISABLE"}}}, "catalog")
    assert (await plaintext(mesh), await status(mesh)) == (200, 200)
    await peers(mesh, catalog | {"portLevelMtls": {own: {"mode": "UNSET"}}}, "catalog")
    assert (await plaintext(mesh), await status(mesh)) == ("refused", 200)
    await peers(mesh, catalog | {"mtls": {"mode": "PERMISSIVE"}, "portLevelMtls": {"1": {"mode": "STRICT"}}}, "catalog")
    assert (await plaintext(mesh), await status(mesh)) == (200, 200)


@pytest.mark.parametrize(
    ("accepted", "sent", "mutual"),
    [
        ("STRICT", "", True),
        ("PERMISSIVE", "", True),
        ("DISABLE", "", False),
        ("PERMISSIVE", ", tls: {mode: DISABLE}", False),
        ("PERMISSIVE", ", tls: {mode: ISTIO_MUTUAL}", True),
    ],
)
async def test_callers_use_mutual_tls_where_it_is_taken_unless_a_rule_says_otherwise(mesh, accepted, sent, mutual):
    await peers(mesh, {"mtls": {"mode": accepted}})
    await mesh.apply(FRESH_CONNECTIONS.replace("}}}", f"}}}}{sent}}}"))
    try:
        seen = (await mesh.get(mesh.workloads["frontend"], "catalog/")).seen["headers"]
        assert ("x-forwarded-client-cert" in seen) is mutual
    finally:
        await mesh.apply(FRESH_CONNECTIONS)


async def test_of_two_policies_for_the_whole_namespace_the_older_is_heard_even_when_it_is_changed(mesh):
    await peers(mesh, {"mtls": {"mode": "PERMISSIVE"}}, "second")
    await peers(mesh, {"mtls": {"mode": "STRICT"}}, "first")
    assert await plaintext(mesh) == 200
    said = {note for proxy in mesh.control.status() for note in proxy.notes}
    older = "PeerAuthentication shop/second is for the same namespace, and older"
    assert said == {f"PeerAuthentication shop/first is not heard: {older}"}
    await peers(mesh, {"mtls": {"mode": "STRICT"}}, "second")
    await peers(mesh, {"mtls": {"mode": "PERMISSIVE"}}, "first")
    assert await plaintext(mesh) == "refused"


@pytest.mark.parametrize(
    ("domain", "let_in"), [("old.example", True), ("cluster.local", True), ("evil.example", False)]
)
async def test_callers_of_an_alias_of_the_trust_domain_are_let_in_and_no_others(mesh, tmp_path, domain, let_in):
    await peers(mesh, {"mtls": {"mode": "STRICT"}})
    leaf = mesh.authority.issue(spiffe_id("shop", "tester").replace("cluster.local", domain))
    (tmp_path / "leaf.pem").write_text(leaf.chain_pem + leaf.key_pem)
    context = ssl.create_default_context(cadata=mesh.authority.root_pem)
    context.check_hostname = False
    context.load_cert_chain(tmp_path / "leaf.pem")
    context.set_alpn_protocols(["istio", "http/1.1"])
    reader, writer = await asyncio.open_connection(mesh.workloads["catalog"].address, 15006, ssl=context)
    writer.write(b"GET / HTTP/1.1\r\nHost: catalog\r\nConnection: close\r\n\r\n")
    try:
        answer = await reader.read()
    except (ConnectionError, ssl.SSLError):
        answer = b""
    assert (b"200 OK" in answer) is let_in


async def test_an_application_learns_who_calls_in_istios_form(mesh):
    seen = (await mesh.get(mesh.workloads["frontend"], "catalog/")).seen["headers"]
    parts = dict(part.split("=", 1) for part in seen["x-forwarded-client-cert"].split(";"))
    assert parts["By"] == spiffe_id("shop", "catalog")
    assert parts["URI"] == spiffe_id("shop", "frontend")
    assert parts["Subject"] == '""'
    assert len(parts["Hash"]) == 64
