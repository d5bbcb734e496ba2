"""Routes of a gateway that go by what a request's token claims."""

import base64
import json

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from xds_mesh import GATEWAY, Mesh, until

from mesh_runtime.api.objects import ObjectKey

pytestmark = pytest.mark.asyncio(loop_scope="module")

ISSUER = "users@test"
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [ingress]
  http:
  - match: [{%s}]
    route: [{destination: {host: catalog}}]
"""
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def bearer(**claims):
    head = encoded(json.dumps({"alg": "RS256", "typ": "JWT", "kid": "one"}).encode())
    body = encoded(json.dumps({"iss": ISSUER, "sub": "ann", "exp": 4_000_000_000, **claims}).encode())
    signature = encoded(KEY.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256()))
    return {"Authorization": f"Bearer {head}.{body}.{signature}"}


def request_authentication():
    modulus = encoded(KEY.public_key().public_numbers().n.to_bytes(256, "big"))
    jwks = json.dumps({"keys": [{"kty": "RSA", "kid": "one", "e": "AQAB", "n": modulus}]})
    return (
        "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: users}\n"
        f"spec:\n  selector: {{matchLabels: {{istio: ingress}}}}\n  jwtRules: [{{issuer: {ISSUER}, jwks: '{jwks}'}}]\n"
    )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("catalog")
        await mesh.gateway("ingress", istio="ingress")
        await mesh.apply(GATEWAY)
        yield mesh


async def status(mesh, **claims):
    url = f"http://{mesh.workloads['ingress'].address}:9080/"
    return (await mesh.send(url, "shop.example.com", headers=bearer(**claims) if claims else {})).status


@pytest.mark.parametrize(
    ("match", "claims", "expected"),
    [
        ("headers: {'@request.auth.claims.group': {exact: staff}}", {"group": "staff"}, 200),
        ("headers: {'@request.auth.claims.group': {exact: staff}}", {"group": ["guests", "staff"]}, 200),
        ("headers: {'@request.auth.claims.group': {exact: staff}}", {"group": "guests"}, 404),
        ("headers: {'@request.auth.claims.group': {exact: staff}}", {}, 404),
        ("headers: {'@request.auth.claims[a][b-c.d]': {prefix: x}}", {"a": {"b-c.d": "xyz"}}, 200),
        ("headers: {'@request.auth.claims.a.b': {regex: 'x+'}}", {"a": {"b": "xx"}}, 200),
        ("headers: {'@request.auth.claims.a.b': {regex: 'x+'}}", {"a": {"b": "xy"}}, 404),
        ("headers: {'@request.auth.claims.group': {}}", {"group": "any"}, 200),
        ("headers: {'@request.auth.claims.group': {}}", {"other": "any"}, 404),
        ("withoutHeaders: {'@request.auth.claims.group': {exact: staff}}", {"group": "guests"}, 200),
        ("withoutHeaders: {'@request.auth.claims.group': {exact: staff}}", {"group": "staff"}, 404),
    ],
)
async def test_a_route_may_ask_for_a_claim_of_the_token(mesh, match, claims, expected):
    await mesh.apply(RULES % match + request_authentication())
    assert await status(mesh, **claims) == expected


async def test_claims_of_tokens_that_nobody_checks_count_for_nothing(mesh):
    await mesh.apply(RULES % "headers: {'@request.auth.claims.group': {exact: staff}}" + request_authentication())
    assert await status(mesh, group="staff") == 200
    await mesh.delete(ObjectKey("security.istio.io", "RequestAuthentication", "shop", "users"))

    async def unknown():  # connections that are open keep their filters until they are drained
        return await status(mesh, group="staff") == 404

    await until(unknown)
