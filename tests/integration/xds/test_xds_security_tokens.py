"""Tokens: whose are believed, where they are found, and what they allow."""

import base64
import json

import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from xds_mesh import FRESH_CONNECTIONS, GATEWAY, TO_CATALOG, Mesh, together, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Issuer:
    """Signs tokens; its keys are served over HTTP when asked for."""

    def __init__(self, name):
        self.name = name
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.hides = False

    @property
    def jwks(self):
        numbers = self.key.public_key().public_numbers()
        modulus = numbers.n.to_bytes(256, "big")
        return json.dumps({"keys": [{"kty": "RSA", "kid": self.name, "e": "AQAB", "n": encoded(modulus)}]})

    def token(self, **claims):
        head = {"alg": "RS256", "typ": "JWT", "kid": self.name}
        body = {"iss": self.name, "sub": "ann", "exp": 4_000_000_000, **claims}
        signed = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(body).encode())}"
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{encoded(signature)}"


def encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


USERS, PARTNERS, STRANGERS = Issuer("users@test"), Issuer("https://partners.test/x"), Issuer("users@test")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        await mesh.gateway("ingress", istio="ingress")
        await mesh.apply(together(FRESH_CONNECTIONS, GATEWAY, TO_CATALOG))
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def no_policies_left(mesh):
    yield
    await mesh.forget("AuthorizationPolicy", "RequestAuthentication")


def security(kind, spec, *, labels, name="test"):
    selector = {"selector": {"matchLabels": labels}}
    head = {"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": {"name": name}}
    return yaml.safe_dump({**head, "spec": {**selector, **spec}})


async def believe(mesh, *rules, labels=None):
    await mesh.apply(security("RequestAuthentication", {"jwtRules": list(rules)}, labels=labels or {"app": "catalog"}))


async def allow(mesh, rule, labels=None):
    spec = {"action": "ALLOW", "rules": [rule]}
    await mesh.apply(security("AuthorizationPolicy", spec, labels=labels or {"app": "catalog"}))


def rule(issuer, **fields):
    return {"issuer": issuer.name, "jwks": issuer.jwks, **fields}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


async def ask(mesh, headers=None, path=""):
    return await mesh.get(mesh.workloads["frontend"], f"catalog/{path}", headers=headers)


async def test_a_bad_token_is_refused_and_none_at_all_is_not(mesh):
    await believe(mesh, rule(USERS))
    assert (await ask(mesh)).status == 200
    assert (await ask(mesh, bearer(USERS.token()))).status == 200
    for bad in (STRANGERS.token(), USERS.token(exp=1), PARTNERS.token(), "rubbish"):
        assert (await ask(mesh, bearer(bad))).status == 401
    assert (await ask(mesh, path=f"?access_token={USERS.token()}")).status == 200


async def test_a_policy_may_demand_a_token(mesh):
    await believe(mesh, rule(USERS))
    await allow(mesh, {"from": [{"source": {"requestPrincipals": ["users@test/ann"]}}]})
    assert (await ask(mesh)).status == 403
    assert (await ask(mesh, bearer(USERS.token()))).status == 200
    assert (await ask(mesh, bearer(USERS.token(sub="bob")))).status == 403


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [("*", True), ("users@test/*", True), ("*/ann", True), ("users*", True), ("*ann", True), ("other/ann", False)],
)
async def test_a_request_principal_may_be_a_pattern(mesh, principal, allowed):
    await believe(mesh, rule(USERS))
    await allow(mesh, {"from": [{"source": {"requestPrincipals": [principal]}}]})
    assert ((await ask(mesh, bearer(USERS.token()))).status == 200) is allowed


@pytest.mark.parametrize(
    ("key", "values", "allowed"),
    [
        ("request.auth.claims[role]", ["admin"], True),
        ("request.auth.claims[groups]", ["staff*"], True),
        ("request.auth.claims[realm][roles]", ["writer"], True),
        ("request.auth.claims[realm][roles]", ["owner"], False),
        ("request.auth.claims[scope]", ["read"], True),
        ("request.auth.claims[permits]", ["two"], True),
        ("request.auth.audiences", ["shop"], True),
        ("request.auth.presenter", ["app"], True),
        ("request.auth.principal", ["users@test/ann"], True),
    ],
)
async def test_a_condition_may_ask_for_claims(mesh, key, values, allowed):
    claims = {"role": "admin", "groups": ["x", "staff-1"], "realm": {"roles": ["reader", "writer"]}}
    more = {"scope": "read write", "permits": "one two", "aud": ["shop", "other"], "azp": "app"}
    await believe(mesh, rule(USERS, spaceDelimitedClaims=["permits"]))
    await allow(mesh, {"when": [{"key": key, "values": values}]})
    assert ((await ask(mesh, bearer(USERS.token(**claims, **more)))).status == 200) is allowed


async def test_only_the_audiences_that_are_named_will_do(mesh):
    await believe(mesh, rule(USERS, audiences=["shop", "till"]))
    assert (await ask(mesh, bearer(USERS.token(aud="till")))).status == 200
    assert (await ask(mesh, bearer(USERS.token(aud="bank")))).status == 403


async def test_tokens_are_found_where_the_rule_says(mesh):
    places = {"fromHeaders": [{"name": "x-token", "prefix": "Token "}], "fromParams": ["t"], "fromCookies": ["session"]}
    await believe(mesh, rule(USERS, **places))
    await allow(mesh, {"from": [{"source": {"requestPrincipals": ["*"]}}]})
    token = USERS.token()
    assert (await ask(mesh, {"x-token": f"Token {token}"})).status == 200
    assert (await ask(mesh, path=f"?t={token}")).status == 200
    assert (await ask(mesh, {"Cookie": f"session={token}"})).status == 200
    assert (await ask(mesh, bearer(token))).status == 403


async def test_the_application_gets_what_the_rule_passes_on(mesh):
    claims = [{"header": "x-sub", "claim": "sub"}, {"header": "x-role", "claim": "realm.role"}]
    await believe(mesh, rule(USERS, outputPayloadToHeader="x-payload", outputClaimToHeaders=claims))
    seen = (await ask(mesh, bearer(USERS.token(realm={"role": "admin"})))).seen["headers"]
    assert (seen["x-sub"], seen["x-role"]) == ("ann", "admin")
    assert json.loads(base64.urlsafe_b64decode(seen["x-payload"] + "=="))["sub"] == "ann"
    assert "authorization" not in seen
    await believe(mesh, rule(USERS, forwardOriginalToken=True))
    assert "authorization" in (await ask(mesh, bearer(USERS.token()))).seen["headers"]


async def test_of_several_issuers_any_will_do_and_each_token_must_be_good(mesh):
    other_place = {"fromHeaders": [{"name": "x-partner"}]}
    await believe(mesh, rule(USERS), rule(PARTNERS))
    for issuer in (USERS, PARTNERS):
        assert (await ask(mesh, bearer(issuer.token()))).status == 200
    assert (await ask(mesh, bearer(STRANGERS.token()))).status == 401
    assert (await ask(mesh)).status == 200
    await believe(mesh, rule(USERS), rule(PARTNERS, **other_place))
    assert (await ask(mesh, {"x-partner": PARTNERS.token()})).status == 200
    assert (await ask(mesh, {"x-partner": "rubbish"})).status == 401


async def keys_server(mesh, issuer, asked):
    """Serve keys; and where they are, by OpenID Connect Discovery, unless the issuer hides it."""

    async def serve(request):
        asked.append(request.path)
        if request.path != "/.well-known/openid-configuration":
            return web.Response(text=issuer.jwks, content_type="application/json")
        return web.json_response({"jwks_uri": f"{issuer.name}/keys.json"}, status=503 if issuer.hides else 200)

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    mesh.stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner.addresses[0][1]


async def test_keys_are_fetched_from_a_server_outside_the_mesh(mesh):
    asked = []
    port = await keys_server(mesh, USERS, asked)
    await believe(mesh, {"issuer": USERS.name, "jwksUri": f"http://localhost:{port}/keys.json", "timeout": "2s"})
    assert (await ask(mesh, bearer(USERS.token()))).status == 200
    assert (await ask(mesh, bearer(STRANGERS.token()))).status == 401
    assert set(asked) == {"/keys.json"}


async def test_keys_are_fetched_from_a_service_of_the_mesh(mesh):
    asked = []
    await mesh.workload("keys", app=lambda mesh: keys_server(mesh, PARTNERS, asked))
    uri = "http://keys.shop.svc.cluster.local/keys.json"
    await believe(mesh, {"issuer": PARTNERS.name, "jwksUri": uri})
    assert (await ask(mesh, bearer(PARTNERS.token()))).status == 200
    assert asked
    assert await mesh.metrics(mesh.workloads["keys"], "istio_requests_total", connection_security_policy="mutual_tls")


async def test_without_its_keys_no_token_of_an_issuer_is_good(mesh):
    await believe(mesh, {"issuer": USERS.name, "jwksUri": "https://localhost:1/keys.json", "timeout": "1s"})
    assert (await ask(mesh)).status == 200
    assert (await ask(mesh, bearer(USERS.token()))).status == 401


async def test_an_issuer_is_asked_where_its_keys_are(mesh):
    asked, issuer = [], Issuer("")
    issuer.name = f"http://localhost:{await keys_server(mesh, issuer, asked)}"
    await believe(mesh, {"issuer": issuer.name})
    await until(lambda: answers(mesh, 200, issuer))
    assert (await ask(mesh, bearer(STRANGERS.token(iss=issuer.name)))).status == 401
    assert set(asked) == {"/.well-known/openid-configuration", "/keys.json"}


async def test_an_issuer_of_the_mesh_is_asked_where_its_keys_are(mesh):
    issuer = Issuer("http://login.shop.svc.cluster.local")
    await mesh.workload("login", app=lambda mesh: keys_server(mesh, issuer, []))
    await believe(mesh, {"issuer": issuer.name})
    await until(lambda: answers(mesh, 200, issuer))


async def test_no_token_is_good_until_its_issuer_has_said_where_its_keys_are(mesh):
    issuer = Issuer("")
    issuer.hides = True
    issuer.name = f"http://localhost:{await keys_server(mesh, issuer, [])}"
    await believe(mesh, {"issuer": issuer.name})
    assert (await ask(mesh)).status == 200
    assert await answers(mesh, 401, issuer)

    async def is_said():
        notes = [note for proxy in mesh.control.status() for note in proxy.notes]
        return any(f"takes no token of {issuer.name}" in note and "status 503" in note for note in notes)

    await until(is_said)
    issuer.hides = False
    await until(lambda: answers(mesh, 200, issuer))
    assert not await is_said()


async def answers(mesh, status, issuer):
    return (await ask(mesh, bearer(issuer.token()))).status == status


async def test_a_gateway_looks_at_tokens_too(mesh):
    labels = {"istio": "ingress"}
    await believe(mesh, rule(USERS), labels=labels)
    await allow(mesh, {"from": [{"source": {"requestPrincipals": ["*"]}}]}, labels)
    url = f"http://{mesh.workloads['ingress'].address}:9080/"

    async def refused():
        return (await mesh.send(url, "shop.example.com")).status == 403

    await until(refused)
    assert (await mesh.send(url, "shop.example.com", headers=bearer(USERS.token()))).status == 200
    assert (await mesh.send(url, "shop.example.com", headers=bearer("rubbish"))).status == 401
