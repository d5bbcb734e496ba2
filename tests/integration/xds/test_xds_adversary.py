"""Ways around the mesh's security, as somebody who wants to get past it would try them."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import ssl
import time

import pytest
import pytest_asyncio
import yaml
from own_ca import OwnCA, tls_secret
from tls_visits import visit
from xds_mesh import FRESH_CONNECTIONS, PATIENCE_S, Mesh, listening, mesh_config, together

from mesh_runtime.identity.authority import Authority, spiffe_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

CA, CLIENTS = OwnCA("servers"), OwnCA("clients")
PAIR = CA.issue("*.example.com")
INBOUND, PLAIN, REDIRECTED, SECURED = 15006, 9080, 9081, 9443

CONFIG = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress}
spec:
  selector: {istio: ingress}
  servers:
  - {port: {number: 9080, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 9081, name: http-old, protocol: HTTP}, hosts: ["*"], tls: {httpsRedirect: true}}
  - port: {number: 9443, name: https-mutual, protocol: HTTPS}
    hosts: [mutual.example.com]
    tls: {mode: MUTUAL, credentialName: mutual}
  - port: {number: 9443, name: https-simple, protocol: HTTPS}
    hosts: [simple.example.com]
    tls: {mode: SIMPLE, credentialName: simple}
  - port: {number: 9443, name: https-any, protocol: HTTPS}
    hosts: ["*.example.com"]
    tls: {mode: SIMPLE, credentialName: simple}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*.example.com"]
  gateways: [ingress]
  http: [{route: [{destination: {host: catalog}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all}
spec:
  hosts: ["*"]
  gateways: [ingress]
  http: [{match: [{uri: {prefix: /far}}], route: [{destination: {host: "*.far.localhost"}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far}
spec:
  hosts: ["*.far.localhost"]
  ports: [{number: %d, name: http, protocol: HTTP}]
  location: MESH_EXTERNAL
  resolution: DYNAMIC_DNS
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        await mesh.gateway("ingress", istio="ingress")
        mesh.far, mesh.victim = await mesh.application("far"), await mesh.application("victim")
        secrets = [tls_secret("simple", PAIR), tls_secret("mutual", PAIR, authority=CLIENTS)]
        await mesh.apply(together(CONFIG % mesh.far, FRESH_CONNECTIONS, *secrets))
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def no_policies_left(mesh):
    yield
    await mesh.forget("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication", "ConfigMap")


async def send(address, port, text, context=None):
    """Send bytes as they are: the status of the answer; 0 where there is none."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            reader, writer = await asyncio.open_connection(address, port, ssl=context)
            writer.write(text.encode("latin1"))
            line = await reader.readline()
            writer.close()
        except (ConnectionError, ssl.SSLError):
            return 0
    return int(line.split()[1]) if line else 0


async def ask(mesh, target, host="catalog", *, name="catalog", port=INBOUND, method="GET", headers=()):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return await send(mesh.workloads[name].address, port, "\r\n".join(lines))


def secure(kind, spec, app="catalog"):
    label = {"istio": "ingress"} if app == "ingress" else {"app": app}
    head = {"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": {"name": "test"}}
    return yaml.safe_dump({**head, "spec": {"selector": {"matchLabels": label}, **spec}})


def deny(**operation):
    return secure("AuthorizationPolicy", {"action": "DENY", "rules": [{"to": [{"operation": operation}]}]})


# What a request says of its path and host.

ALWAYS = ["/admin?x", "/admin;x", "/%61dmin", "/./admin", "/a/../admin", "/a/%2e%2e/admin", "/x/..;/admin",
          "http://catalog/admin", "/v1/a/items?x=1", "/v1/a%2fb/items"]  # fmt: skip
SLASHES = ["//admin", "/\\admin", "http://catalog//admin"]
ESCAPED = ["/%2fadmin", "/a%2f..%2fadmin", "/a%5c..%5cadmin"]


@pytest.mark.parametrize(
    ("normalization", "caught"),
    [("BASE", ALWAYS), ("MERGE_SLASHES", ALWAYS + SLASHES), ("DECODE_AND_MERGE_SLASHES", ALWAYS + SLASHES + ESCAPED)],
)
async def test_a_path_is_recognised_in_what_the_mesh_config_takes_for_the_same(mesh, normalization, caught):
    await mesh.apply(mesh_config(f"pathNormalization: {{normalization: {normalization}}}"))
    await mesh.apply(deny(paths=["/admin*", "/v1/{*}/items"]))
    found = {path: await ask(mesh, path) for path in ALWAYS + SLASHES + ESCAPED}
    if normalization == "DECODE_AND_MERGE_SLASHES":
        assert found.pop("/v1/a%2fb/items") == 200  # it has become /v1/a/b/items, which is another path
    assert {path for path, status in found.items() if status == 403} == set(caught) & set(found)


@pytest.mark.parametrize("path", ["/admin#x", "/x#/../admin", "/admin%00", "\\admin", "admin", "*", "?/admin"])
async def test_a_target_that_is_none_is_refused(mesh, path):
    await mesh.apply(deny(paths=["/admin*"]))
    assert await ask(mesh, path) in {400, 403, 404}


async def test_the_host_is_the_one_that_counts_whoever_else_is_named(mesh):
    await mesh.apply(deny(hosts=["secret.test"]))
    assert await ask(mesh, "/", "SECRET.Test") == 403
    assert await ask(mesh, "http://secret.test/", "catalog") == 403
    seen = mesh.workloads["catalog"].requests
    assert await ask(mesh, "http://catalog/", "secret.test") == 200
    assert seen[-1]["headers"]["host"] == "catalog"


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 6", "Transfer-Encoding: chunked", "", "0", "", "G"],
        ["Transfer-Encoding: xchunked", "Content-Length: 3", "", "abc"],
        ["Transfer-Encoding : chunked", "Content-Length: 3", "", "abc"],
        ["Transfer-Encoding: chunked, identity", "", "0", "", ""],
        ["Content-Length: 3", "Content-Length: 4", "", "abcd"],
        ["Content-Length: +3", "", "abc"],
        ["X: a\nGET /admin HTTP/1.1", "", ""],
        ["X: a\0b", "", ""],
        [" Folded: x", "", ""],
    ],
)
async def test_a_request_of_which_two_could_be_made_reaches_nobody(mesh, lines):
    seen = len(mesh.workloads["catalog"].requests)
    text = "\r\n".join(["POST / HTTP/1.1", "Host: catalog", *lines])
    assert await send(mesh.workloads["catalog"].address, INBOUND, text) in {400, 501}
    assert len(mesh.workloads["catalog"].requests) == seen


async def test_another_protocol_over_the_same_connection_is_held_to_the_policies_too(mesh):
    await mesh.apply(deny(paths=["/admin*"]))
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"]
    assert await ask(mesh, "/admin", headers=upgrade) == 403
    assert await ask(mesh, "127.0.0.1:80", "127.0.0.1:80", method="CONNECT") == 404
    h2c = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]
    assert await ask(mesh, "/admin", headers=h2c) == 403
    assert await ask(mesh, "/", headers=h2c) == 200
    assert "upgrade" not in mesh.workloads["catalog"].requests[-1]["headers"]


# Who somebody is.


def credentials(mesh, tmp_path, chain_pem, key_pem):
    (tmp_path / "leaf.pem").write_text(chain_pem + key_pem)
    context = ssl.create_default_context(cadata=mesh.authority.root_pem)
    context.check_hostname = False
    context.load_cert_chain(tmp_path / "leaf.pem")
    context.set_alpn_protocols(["istio", "http/1.1"])
    return context


def impostors(mesh):
    own = spiffe_id("shop", "frontend")
    foreign = OwnCA("foreign").issue(own)
    late = Authority(mesh.dir / "ca", lambda: mesh.clock.now_ms() - 3 * 3600 * 1000).issue(own)
    domain = mesh.authority.issue(own.replace("cluster.local", "cluster.local.evil.example"))
    return {
        "nobody": mesh.authority.issue_server(["frontend"]),
        "a workload of another domain": domain,
        "a workload of long ago": late,
        "a workload of another authority": foreign,
    }


@pytest.mark.parametrize(
    "who", ["nobody", "a workload of another domain", "a workload of long ago", "a workload of another authority"]
)
async def test_a_strict_port_lets_in_no(mesh, tmp_path, who):
    await mesh.apply(secure("PeerAuthentication", {"mtls": {"mode": "STRICT"}}))
    request = "GET / HTTP/1.1\r\nHost: catalog\r\n\r\n"
    address = mesh.workloads["catalog"].address
    right = mesh.authority.issue(spiffe_id("shop", "frontend"))
    trusted = credentials(mesh, tmp_path, right.chain_pem, right.key_pem)
    assert await send(address, INBOUND, request, trusted) == 200
    wrong = impostors(mesh)[who]
    chain = getattr(wrong, "chain_pem", "") or wrong.pem
    assert await send(address, INBOUND, request, credentials(mesh, tmp_path, chain, wrong.key_pem)) == 0


def resumed(address, context, session=None):
    """Visit with what an earlier visit left to go on with: the status, whether that was taken, and what is left."""
    with (
        socket.create_connection((address, INBOUND), timeout=60) as plain,
        context.wrap_socket(plain, session=session) as wire,
    ):
        wire.sendall(b"GET / HTTP/1.1\r\nHost: catalog\r\n\r\n")
        line = wire.recv(4096).split(b"\r\n")[0]
        return int(line.split()[1]) if line else 0, wire.session_reused, wire.session


async def test_a_root_that_was_replaced_vouches_for_nobody_not_even_in_a_session_that_goes_on(mesh, tmp_path):
    await mesh.apply(secure("PeerAuthentication", {"mtls": {"mode": "STRICT"}}))
    address = mesh.workloads["catalog"].address
    old = mesh.authority.issue(spiffe_id("shop", "frontend"))
    context = credentials(mesh, tmp_path, old.chain_pem, old.key_pem)
    status, _, session = await asyncio.to_thread(resumed, address, context)
    assert status == 200
    status, goes_on, session = await asyncio.to_thread(resumed, address, context, session)
    assert (status, goes_on) == (200, True)
    await mesh.control.rotate_root()
    await mesh.drained()
    context.load_verify_locations(cadata=mesh.authority.root_pem)
    for left in (None, session):
        try:
            status, _, _ = await asyncio.to_thread(resumed, address, context, left)
        except (OSError, ssl.SSLError):
            status = 0
        assert status == 0
    assert (await mesh.get(mesh.workloads["frontend"], "catalog/")).status == 200


@pytest.mark.parametrize(("namespace", "status"), [("shop", 200), ("evil", 503)])
async def test_a_certificate_of_another_namespace_does_not_answer_for_a_service(mesh, tmp_path, namespace, status):
    """Its account has the right name, but not there where the service is."""
    leaf = mesh.authority.issue(spiffe_id(namespace, "catalog"))
    (tmp_path / "leaf.pem").write_text(leaf.chain_pem + leaf.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "leaf.pem")

    async def impostor(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    port = await listening(mesh, impostor, ssl=context)
    entry = yaml.safe_dump(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "bank"},
            "spec": {
                "hosts": ["bank.shop.svc.cluster.local"],
                "location": "MESH_INTERNAL",
                "resolution": "STATIC",
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "endpoints": [{"address": "127.0.0.1", "serviceAccount": "catalog", "ports": {"http": port}}],
            },
        }
    )
    await mesh.apply(entry)
    await mesh.apply(tls_rule("bank.shop.svc.cluster.local"))
    assert (await mesh.get(mesh.workloads["frontend"], "bank.shop.svc.cluster.local/")).status == status


def tls_rule(host):
    spec = {"host": host, "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
    head = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "bank"}}
    return yaml.safe_dump({**head, "spec": spec})


async def test_a_name_in_a_header_is_no_identity(mesh):
    rule = {"from": [{"source": {"principals": ["*"]}}]}
    await mesh.apply(secure("AuthorizationPolicy", {"action": "ALLOW", "rules": [rule]}))
    claimed = [f"x-forwarded-client-cert: By=x;URI={spiffe_id('shop', 'frontend')}"]
    assert await ask(mesh, "/", headers=claimed) == 403
    assert (await mesh.get(mesh.workloads["frontend"], "catalog/")).status == 200


# What a token says.


class Issuer:
    """Its tokens may be as wrong as is wanted."""

    secret = b"a secret that is long enough for the key"

    @property
    def jwks(self):
        key = {"kty": "oct", "alg": "HS256", "kid": "k", "k": encoded(self.secret)}
        return json.dumps({"keys": [key]})

    def token(self, *, alg="HS256", signed_with=None, **claims):
        head = {"alg": alg, "typ": "JWT", "kid": "k"}
        body = {"iss": "users@test", "sub": "ann", "exp": 4_000_000_000, **claims}
        signed = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(body).encode())}"
        signature = hmac.digest(signed_with or self.secret, signed.encode(), hashlib.sha256)
        return f"{signed}.{'' if alg == 'none' else encoded(signature)}"


def encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


USERS = Issuer()


def believe(**fields):
    return secure("RequestAuthentication", {"jwtRules": [{"issuer": "users@test", "jwks": USERS.jwks, **fields}]})


@pytest.mark.parametrize(
    "token",
    [
        USERS.token(alg="none"),
        USERS.token(alg="HS384"),
        USERS.token(alg="RS256"),
        USERS.token(signed_with=USERS.jwks.encode()),
        USERS.token(exp=int(time.time()) - 120),
        USERS.token(nbf=int(time.time()) + 3600),
        USERS.token(iss="users@test.evil"),
        USERS.token().rpartition(".")[0] + ".",
        USERS.token() + ".x",
    ],
)
async def test_a_token_that_is_not_right_is_refused(mesh, token):
    await mesh.apply(believe())
    assert await ask(mesh, "/", headers=[f"Authorization: Bearer {USERS.token()}"]) == 200
    assert await ask(mesh, "/", headers=[f"Authorization: Bearer {token}"]) == 401


async def test_a_second_token_beside_a_good_one_does_not_count(mesh):
    await mesh.apply(believe())
    good, bad = (f"Authorization: Bearer {token}" for token in (USERS.token(), USERS.token(alg="none")))
    for pair in ((good, bad), (bad, good)):
        assert await ask(mesh, "/", headers=pair) == 401
    assert await ask(mesh, f"/?access_token={USERS.token(alg='none')}", headers=[good]) == 401


async def test_what_a_token_would_say_cannot_be_said_without_one(mesh):
    passed = [{"header": "x-sub", "claim": "sub"}, {"header": "x-role", "claim": "role"}]
    await mesh.apply(believe(outputClaimToHeaders=passed, outputPayloadToHeader="x-payload"))
    seen = mesh.workloads["catalog"].requests
    claimed = ["x-sub: root", "x-role: admin", "x-payload: forged"]
    assert await ask(mesh, "/", headers=claimed) == 200
    assert not {"x-sub", "x-role", "x-payload"} & set(seen[-1]["headers"])
    assert await ask(mesh, "/", headers=[*claimed, f"Authorization: Bearer {USERS.token()}"]) == 200
    assert seen[-1]["headers"]["x-sub"] == "ann"
    assert "x-role" not in seen[-1]["headers"]
    assert "authorization" not in seen[-1]["headers"]


async def test_a_principal_cannot_be_claimed_nor_be_left_out_by_a_preflight(mesh):
    await mesh.apply(believe())
    rule = {"from": [{"source": {"requestPrincipals": ["users@test/ann"]}}]}
    await mesh.apply(secure("AuthorizationPolicy", {"action": "ALLOW", "rules": [rule]}))
    for claimed in ("request.auth.principal: users@test/ann", "@request.auth.principal: users@test/ann", "x-a: b"):
        assert await ask(mesh, "/", headers=[claimed]) in {400, 403}
    preflight = ["Origin: https://evil.example", "Access-Control-Request-Method: GET"]
    assert await ask(mesh, "/", method="OPTIONS", headers=preflight) == 403
    assert await ask(mesh, "/", headers=[f"Authorization: Bearer {USERS.token(sub='ann/x')}"]) == 403


# What comes from outside.


@pytest.mark.parametrize("host", ["127.0.0.1:{victim}", "localhost:{victim}", "a.far.localhost:{victim}",
                                  "x@a.far.localhost:{far}", "127.0.0.1:{victim},a.far.localhost:{far}"])  # fmt: skip
async def test_a_request_does_not_choose_where_a_gateway_connects(mesh, host):
    assert await ask(mesh, "/far", f"a.far.localhost:{mesh.far}", name="ingress", port=PLAIN) == 200
    named = host.format(far=mesh.far, victim=mesh.victim)
    assert await ask(mesh, "/far", named, name="ingress", port=PLAIN) in {400, 404, 503}
    assert await ask(mesh, "/", named, name="ingress", port=PLAIN) in {400, 404}
    assert await ask(mesh, f"http://{named}/", "a.example.com", name="ingress", port=PLAIN) in {400, 404}
    assert await ask(mesh, named, named, method="CONNECT", name="ingress", port=PLAIN) in {400, 404}


@pytest.mark.parametrize("host", ["mutual.example.com", "MUTUAL.example.com:9443", "simple.example.com"])
async def test_a_host_with_a_server_of_its_own_is_not_reached_by_the_name_of_another(mesh, host):
    address = mesh.workloads["ingress"].address
    assert (await visit(address, SECURED, "a.example.com", CA.client())).status == 200
    assert (await visit(address, SECURED, "a.example.com", CA.client(), host=host)).status == 421
    with_certificate = CA.client(CLIENTS.issue("alice"))
    assert (await visit(address, SECURED, "mutual.example.com", with_certificate)).status == 200


async def test_a_gateway_takes_nobody_s_word_for_what_only_proxies_may_say(mesh):
    seen = mesh.workloads["catalog"].requests
    orders = ["x-envoy-upstream-rq-timeout-ms: 1", "x-envoy-internal: true", "x-envoy-retry-on: 5xx",
              "x-envoy-max-retries: 9", "x-envoy-force-trace: 1", "x-envoy-original-path: /admin",
              "x-envoy-decorator-operation: other", "x-envoy-downstream-service-cluster: admin"]  # fmt: skip
    claims = ["x-envoy-attempt-count: 77", "x-forwarded-proto: https", "x-envoy-external-address: 10.0.0.1"]
    client = [f"x-forwarded-client-cert: URI={spiffe_id('shop', 'admin')}"]
    assert await ask(mesh, "/", "a.example.com", name="ingress", port=PLAIN, headers=orders + claims + client) == 200
    found = seen[-1]["headers"]
    assert not {order.partition(":")[0] for order in orders} & set(found)
    assert (found["x-envoy-attempt-count"], found["x-forwarded-proto"]) == ("1", "http")
    assert found["x-envoy-external-address"] != "10.0.0.1"
    assert "admin" not in found["x-forwarded-client-cert"]
    https = ["x-forwarded-proto: https"]
    assert await ask(mesh, "/", "a.example.com", name="ingress", port=REDIRECTED, headers=https) == 301


@pytest.mark.parametrize(
    ("trusted", "forwarded", "status"),
    [
        (0, "203.0.113.7", 403),
        (1, "203.0.113.7, 9.9.9.9", 403),
        (1, "9.9.9.9, 203.0.113.7", 200),
        (2, "203.0.113.7, 9.9.9.9, 8.8.8.8", 403),
    ],
)
async def test_a_client_s_address_is_what_the_trusted_proxies_say(mesh, trusted, forwarded, status):
    await mesh.apply(mesh_config(f"defaultConfig: {{gatewayTopology: {{numTrustedProxies: {trusted}}}}}"))
    rule = {"from": [{"source": {"remoteIpBlocks": ["203.0.113.7"]}}]}
    await mesh.apply(secure("AuthorizationPolicy", {"action": "ALLOW", "rules": [rule]}, app="ingress"))
    headers = [f"x-forwarded-for: {forwarded}"]
    assert await ask(mesh, "/", "a.example.com", name="ingress", port=PLAIN, headers=headers) == status


# What leaves.


@pytest.mark.parametrize(
    "text",
    [
        "GET / HTTP/1.1\r\nHost: {outside}\r\n\r\n",
        "GET http://{outside}/ HTTP/1.1\r\nHost: catalog\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.far.localhost:{victim}\r\n\r\n",
        "CONNECT {outside} HTTP/1.1\r\nHost: {outside}\r\n\r\n",
        "CONNECT {outside} HTTP/1.1\r\nHost: catalog:80\r\n\r\n",
        "CONNECT a.far.localhost:{victim} HTTP/1.1\r\nHost: catalog:80\r\n\r\n",
        "CONNECT {outside}#.far.localhost:{far} HTTP/1.1\r\nHost: catalog:80\r\n\r\n",
    ],
)
async def test_nothing_leaves_but_to_what_is_registered(mesh, text):
    await mesh.apply(mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))
    address = mesh.workloads["frontend"].address
    known = f"GET / HTTP/1.1\r\nHost: a.far.localhost:{mesh.far}\r\n\r\n"
    assert await send(address, 15001, known) == 200
    sent = text.format(outside=f"127.0.0.1:{mesh.victim}", victim=mesh.victim, far=mesh.far)
    assert await send(address, 15001, sent) in {400, 404, 502}


async def test_a_tunnel_to_a_service_carries_no_request_to_anywhere_else(mesh):
    await mesh.apply(mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))
    reader, writer = await asyncio.open_connection(mesh.workloads["frontend"].address, 15001)
    writer.write(b"CONNECT catalog:80 HTTP/1.1\r\nHost: catalog:80\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{mesh.victim}\r\n\r\n".encode())
    assert b" 502 " in await reader.readline()
    writer.close()
