"""TLS at a gateway: every mode, with certificates from Secrets, told apart by SNI."""

import asyncio
import base64
import hashlib
import json
import ssl

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from own_ca import OwnCA, rsa_key, secret, tls_secret
from tls_visits import echoed, is_refused, visit
from xds_mesh import PATIENCE_S, Mesh, free_echo_server, mesh_config, until

from mesh_runtime.api.objects import ObjectKey
from mesh_runtime.xds.translate import MeshSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

CA, CLIENTS = OwnCA("servers"), OwnCA("clients")
ALICE, BOB = CLIENTS.issue("alice.example.com"), CLIENTS.issue("bob.example.com")
STRANGER = OwnCA("strangers").issue("alice.example.com")
PORT = 8443
"""Where 443 is opened for those who may not bind it."""

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: other}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: 443, name: https-simple, protocol: HTTPS}
    hosts: [simple.example.com]
    tls: {mode: SIMPLE, credentialName: simple}
  - port: {number: 443, name: https-mutual, protocol: HTTPS}
    hosts: [mutual.example.com]
    tls: {mode: MUTUAL, credentialName: mutual}
  - port: {number: 443, name: https-optional, protocol: HTTPS}
    hosts: [optional.example.com]
    tls: {mode: OPTIONAL_MUTUAL, credentialName: mutual}
  - port: {number: 443, name: https-alice, protocol: HTTPS}
    hosts: [alice-only.example.com]
    tls: {mode: MUTUAL, credentialName: mutual, subjectAltNames: [alice.example.com]}
  - port: {number: 443, name: https-pinned, protocol: HTTPS}
    hosts: [pinned.example.com]
    tls: {mode: MUTUAL, credentialName: mutual, verifyCertificateSpki: ["%(spki)s"]}
  - port: {number: 443, name: https-missing, protocol: HTTPS}
    hosts: [missing.example.com]
    tls: {mode: SIMPLE, credentialName: missing}
  - port: {number: 443, name: https-foreign, protocol: HTTPS}
    hosts: [foreign.example.com]
    tls: {mode: SIMPLE, credentialName: other/foreign}
  - port: {number: 443, name: https-old, protocol: HTTPS}
    hosts: [old.example.com]
    tls: {mode: SIMPLE, credentialName: simple, maxProtocolVersion: TLSV1_2, cipherSuites: [fake, ECDHE-ECDSA-AES256-GCM-SHA384]}
  - port: {number: 443, name: https-new, protocol: HTTPS}
    hosts: [new.example.com]
    tls: {mode: SIMPLE, credentialName: simple, minProtocolVersion: TLSV1_3}
  - port: {number: 443, name: https-both, protocol: HTTPS}
    hosts: [both.example.com]
    tls: {mode: SIMPLE, credentialNames: [simple, rsa]}
  - port: {number: 443, name: https-any, protocol: HTTPS}
    hosts: ["*.example.com"]
    tls: {mode: SIMPLE, credentialName: any}
  - port: {number: 443, name: tls-pass, protocol: TLS}
    hosts: [raw.example.com]
    tls: {mode: PASSTHROUGH}
  - port: {number: 443, name: tls-end, protocol: TLS}
    hosts: [echo.example.com]
    tls: {mode: SIMPLE, credentialName: any}
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [simple.example.com, bare.example.com]
    tls: {httpsRedirect: true}
  - port: {number: 80, name: http-plain, protocol: HTTP}
    hosts: [plain.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: ["*.example.com"]
  gateways: [other/web]
  http:
  - match: [{uri: {prefix: /sealed}}]
    redirect: {scheme: https}
  - route: [{destination: {host: frontend}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: raw}
spec:
  hosts: [raw.example.com]
  gateways: [other/web]
  tls:
  - match: [{port: 443, sniHosts: [raw.example.com]}]
    route: [{destination: {host: vault}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo.example.com]
  gateways: [other/web]
  tcp:
  - match: [{port: 443}]
    route: [{destination: {host: echo}}]
"""
RSA = CA.issue("*.example.com", key=rsa_key())
ANY = CA.issue("*.example.com")
SECRETS = [
    tls_secret("simple", ANY),
    tls_secret("mutual", ANY, authority=CLIENTS),
    secret("any", {"cert": ANY.pem, "key": ANY.key_pem}),
    secret("rsa", {"cert": RSA.pem, "key": RSA.key_pem}),
    tls_secret("foreign", ANY, namespace="other"),
]


def spki(pair):
    key = pair.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


async def vault(mesh):
    """An application that speaks TLS itself, and wants to know its clients."""

    async def answer(reader, writer):
        writer.write(await reader.read(1024))
        writer.close()

    context = CA.server(CA.issue("raw.example.com"), clients=CLIENTS)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)

    async def close():
        server.close()

    mesh.stack.push_async_callback(close)
    return server.sockets[0].getsockname()[1]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh(settings=MeshSettings(unprivileged_from=1024)) as mesh:
        await mesh.workload("frontend")
        await mesh.workload("vault", protocol="tcp", app=vault)
        await mesh.workload("echo", protocol="tcp", app=free_echo_server)
        await mesh.gateway("ingress", istio="ingress")
        await mesh.apply("\n---\n".join([GATEWAY % {"spki": spki(ALICE)}, *SECRETS]))
        yield mesh


def go(mesh, name, pair=None, **options):
    context = CA.client(pair, alpn=options.pop("alpn", ()), version=options.pop("version", None))
    return visit(mesh.workloads["ingress"].address, PORT, name, context, **options)


async def test_tls_ends_at_the_gateway_and_goes_on_as_mutual_tls(mesh):
    answer = await go(mesh, "simple.example.com")
    assert answer.status == 200
    seen = json.loads(answer.text)
    assert seen["app"] == "frontend"
    assert seen["headers"]["x-forwarded-proto"] == "https"
    assert "URI=spiffe://cluster.local/ns/shop/sa/ingress" in seen["headers"]["x-forwarded-client-cert"]


async def test_both_versions_of_http_are_offered(mesh):
    assert (await go(mesh, "simple.example.com", alpn=["http/1.1"])).alpn == "http/1.1"
    _, writer = await asyncio.open_connection(
        mesh.workloads["ingress"].address,
        PORT,
        ssl=CA.client(alpn=["h2", "http/1.1"]),
        server_hostname="simple.example.com",
    )
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.close()


async def test_without_a_certificate_a_client_of_a_mutual_server_is_refused(mesh):
    assert await is_refused(go(mesh, "mutual.example.com"))
    assert await is_refused(go(mesh, "mutual.example.com", STRANGER))
    assert (await go(mesh, "mutual.example.com", ALICE)).status == 200


async def test_a_certificate_is_optional_but_must_be_valid(mesh):
    assert (await go(mesh, "optional.example.com")).status == 200
    assert (await go(mesh, "optional.example.com", ALICE)).status == 200
    assert await is_refused(go(mesh, "optional.example.com", STRANGER))


@pytest.mark.parametrize("name", ["alice-only.example.com", "pinned.example.com"])
async def test_only_the_client_that_is_meant_is_let_in(mesh, name):
    assert (await go(mesh, name, ALICE)).status == 200
    assert await is_refused(go(mesh, name, BOB))


async def test_a_wildcard_serves_what_no_other_server_names(mesh):
    assert (await go(mesh, "whatever.example.com")).status == 200
    assert await is_refused(go(mesh, "elsewhere.org"))


async def test_a_host_that_is_not_the_server_s_is_not_found(mesh):
    assert (await go(mesh, "simple.example.com", host="mutual.example.com")).status == 404


async def test_a_missing_secret_concerns_its_own_server_only_and_is_said(mesh):
    for name in ("missing.example.com", "foreign.example.com"):
        assert await is_refused(go(mesh, name))
    assert (await go(mesh, "simple.example.com")).status == 200
    (status,) = [one for one in mesh.control.status() if one.workload == "ingress"]
    assert [note for note in status.notes if "missing" in note] == [
        "Gateway other/web port 443 (https-missing) is not served: there is no Secret shop/missing"
    ]
    assert any("other/foreign is of another namespace" in note for note in status.notes)


async def test_a_secret_that_comes_later_is_served_at_once_and_its_end_is_noticed(mesh):
    await mesh.apply(tls_secret("missing", ANY))
    assert (await go(mesh, "missing.example.com")).status == 200
    await mesh.delete(ObjectKey("", "Secret", "shop", "missing"))
    assert await is_refused(go(mesh, "missing.example.com"))
    assert (await go(mesh, "simple.example.com")).status == 200


async def test_versions_are_kept_to_and_unknown_cipher_suites_are_left_out(mesh):
    old, new = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    assert (await go(mesh, "old.example.com", version=old)).status == 200
    assert await is_refused(go(mesh, "old.example.com", version=new))
    assert (await go(mesh, "new.example.com", version=new)).status == 200
    assert await is_refused(go(mesh, "new.example.com", version=old))
    only_other = CA.client(version=old)
    only_other.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    ingress = mesh.workloads["ingress"]
    assert await is_refused(visit(ingress.address, PORT, "old.example.com", only_other))


async def test_the_mesh_says_what_holds_for_tls_where_a_server_says_nothing(mesh):
    old, ingress = ssl.TLSVersion.TLSv1_2, mesh.workloads["ingress"]
    narrow = CA.client()
    narrow.set_ecdh_curve("prime256v1")
    assert (await go(mesh, "simple.example.com", version=old)).status == 200
    assert (await visit(ingress.address, PORT, "simple.example.com", narrow)).status == 200
    await mesh.apply(mesh_config("tlsDefaults: {minProtocolVersion: TLSV1_3, ecdhCurves: [P-384, P-384]}"))
    try:
        assert await is_refused(go(mesh, "simple.example.com", version=old))
        assert await is_refused(visit(ingress.address, PORT, "simple.example.com", narrow))
        assert (await go(mesh, "simple.example.com")).status == 200
        assert (await go(mesh, "old.example.com", version=old)).status == 200
    finally:
        await mesh.forget("ConfigMap")


async def test_a_server_may_have_certificates_of_two_kinds(mesh):
    for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
        context = CA.client(version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(suite)
        assert (await visit(mesh.workloads["ingress"].address, PORT, "both.example.com", context)).status == 200


async def test_tls_is_passed_on_as_it_is_to_whom_sni_names(mesh):
    address = mesh.workloads["ingress"].address
    assert await echoed(address, PORT, b"sealed", CA.client(ALICE), "raw.example.com") == b"sealed"
    assert await is_refused(echoed(address, PORT, b"sealed", CA.client(), "raw.example.com"))


async def test_bytes_come_out_of_tls_for_an_application_without_it(mesh):
    address = mesh.workloads["ingress"].address
    assert await echoed(address, PORT, b"opened", CA.client(), "echo.example.com") == b"opened"


@pytest.mark.parametrize("host", ["simple.example.com", "bare.example.com"])
async def test_plain_requests_are_told_to_come_back_over_tls(mesh, host):
    for named in (f"{host}:8080", host):
        answer = await mesh.send(f"http://{mesh.workloads['ingress'].address}:8080/a?b=c", named)
        assert (answer.status, answer.headers["location"]) == (301, f"https://{host}:{PORT}/a?b=c")


async def test_a_rule_that_redirects_to_https_means_the_port_where_that_is(mesh):
    answer = await mesh.send(f"http://{mesh.workloads['ingress'].address}:8080/sealed", "plain.example.com:8080")
    assert (answer.status, answer.headers["location"]) == (301, f"https://plain.example.com:{PORT}/sealed")


async def test_other_servers_of_that_port_do_not_redirect(mesh):
    answer = await mesh.send(f"http://{mesh.workloads['ingress'].address}:8080/", "plain.example.com")
    assert answer.app == "frontend"


async def test_a_certificate_is_replaced_under_traffic_without_a_failure(mesh):
    async def many(count):
        answers = [await go(mesh, "simple.example.com") for _ in range(count)]
        assert {answer.status for answer in answers} == {200}
        return {answer.certificate["serialNumber"].lstrip("0") for answer in answers}

    fresh = CA.issue("*.example.com", key=rsa_key())
    async with asyncio.TaskGroup() as group:
        seen = [group.create_task(many(50)) for _ in range(4)]
        await asyncio.sleep(0)
        await mesh.apply(tls_secret("simple", fresh))
    assert set().union(*(one.result() for one in seen)) <= {ANY.serial.lstrip("0"), fresh.serial.lstrip("0")}
    assert await many(1) == {fresh.serial.lstrip("0")}
    await mesh.apply(tls_secret("simple", ANY))


async def test_a_connection_outlives_the_replacement_of_its_certificate_and_changes_of_other_servers(mesh):
    address = mesh.workloads["ingress"].address
    reader, writer = await asyncio.open_connection(address, PORT, ssl=CA.client(), server_hostname="echo.example.com")
    writer.write(b"before")
    assert await reader.readexactly(6) == b"before"
    await mesh.apply(secret("any", {"cert": RSA.pem, "key": RSA.key_pem}))
    await mesh.apply(
        GATEWAY.split("---", maxsplit=1)[0].replace("minProtocolVersion: TLSV1_3", "minProtocolVersion: TLSV1_2")
        % {"spki": spki(ALICE)}
    )
    await asyncio.sleep(1.5)  # longer than the proxy gives to what it drains
    writer.write(b"after")
    assert await reader.readexactly(5) == b"after"
    writer.close()


async def test_only_proxies_that_use_a_secret_have_it(mesh):
    def names(service):
        found = mesh.control.resources(mesh.workloads[service].grant.node_id, "secrets")
        return {one["name"] for one in found if "://" in one["name"]}

    mine = {"simple", "mutual", "mutual-cacert", "any", "rsa"}
    assert names("ingress") == {f"kubernetes://shop/{name}" for name in mine}
    assert names("frontend") == set()


async def test_what_is_told_of_a_proxy_holds_no_key(mesh):
    node = mesh.workloads["ingress"].grant.node_id
    told = repr([mesh.control.resources(node, kind) for kind in ("secrets", "listeners", "bootstrap")])
    encoded = base64.b64encode(ANY.key_pem.encode()).decode()
    assert encoded[60:100] not in told
    assert ANY.key_pem.splitlines()[1] not in told
    log = (mesh.dir / "ingress.log").read_text()
    assert ANY.key_pem.splitlines()[1] not in log


async def test_what_was_verified_of_a_client_reaches_the_application(mesh):
    answer = await go(mesh, "mutual.example.com", ALICE, headers=["x-forwarded-client-cert: By=me;Subject=forged"])
    told = json.loads(answer.text)["headers"]["x-forwarded-client-cert"]
    assert "CN=alice.example.com" in told
    assert "forged" not in told
    assert told.endswith("URI=spiffe://cluster.local/ns/shop/sa/ingress")


async def test_a_client_s_revoked_certificate_is_refused(mesh):
    crl = {"ca.crl": CLIENTS.revoke(BOB)}
    await mesh.apply(tls_secret("mutual", ANY, authority=CLIENTS, **crl))
    try:
        assert (await go(mesh, "mutual.example.com", ALICE)).status == 200
        assert await is_refused(go(mesh, "mutual.example.com", BOB))
    finally:
        await mesh.apply(tls_secret("mutual", ANY, authority=CLIENTS))
    assert (await go(mesh, "mutual.example.com", BOB)).status == 200


FILES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: files}}
spec:
  selector: {{istio: ingress}}
  servers:
  - port: {{number: 9443, name: https-files, protocol: HTTPS}}
    hosts: [files.example.com]
    tls: {{mode: MUTUAL, serverCertificate: {0}/a.pem, privateKey: {0}/a.key, caCertificates: {0}/ca.pem}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: files}}
spec:
  hosts: [files.example.com]
  gateways: [files]
  http:
  - route: [{{destination: {{host: frontend}}}}]
"""


async def test_certificates_may_be_in_files_and_are_read_again_when_they_are_replaced(mesh, tmp_path):
    def put(pair):
        for name, content in (("a.pem", pair.pem), ("a.key", pair.key_pem), ("ca.pem", CLIENTS.pem)):
            (tmp_path / f"new-{name}").write_text(content)
            (tmp_path / f"new-{name}").rename(tmp_path / name)

    async def served():
        answer = await visit(mesh.workloads["ingress"].address, 9443, "files.example.com", CA.client(ALICE))
        return answer.certificate["serialNumber"].lstrip("0")

    put(ANY)
    await mesh.apply(FILES.format(tmp_path))
    try:
        assert await served() == ANY.serial.lstrip("0")
        put(RSA)

        async def is_new():
            return await served() == RSA.serial.lstrip("0")

        await until(is_new)
    finally:
        await mesh.delete(
            *(ObjectKey("networking.istio.io", kind, "shop", "files") for kind in ("Gateway", "VirtualService"))
        )


TOPOLOGY = mesh_config("defaultConfig: {gatewayTopology: %s}")


@pytest.mark.parametrize(("trusted", "told"), [(0, "https"), (1, "http")])
async def test_the_word_of_trusted_proxies_before_the_gateway_is_taken(mesh, trusted, told):
    await mesh.apply(TOPOLOGY % f"{{numTrustedProxies: {trusted}}}")
    try:
        headers = ["x-forwarded-proto: http", "x-forwarded-for: 9.9.9.9"]
        answer = await go(mesh, "simple.example.com", headers=headers)
        assert json.loads(answer.text)["headers"]["x-forwarded-proto"] == told
    finally:
        await mesh.forget("ConfigMap")


async def test_the_proxy_protocol_names_the_client(mesh):
    await mesh.apply(TOPOLOGY % "{proxyProtocol: {}}")
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(mesh.workloads["ingress"].address, 8080)
            writer.write(b"PROXY TCP4 9.9.9.9 1.1.1.1 1 2\r\nGET / HTTP/1.1\r\nHost: plain.example.com\r\n")
            writer.write(b"Connection: close\r\n\r\n")
            answer = (await reader.read()).decode()
            writer.close()
        assert json.loads(answer.partition("\r\n\r\n")[2])["headers"]["x-forwarded-for"].startswith("9.9.9.9")
    finally:
        await mesh.forget("ConfigMap")
