"""Calls that leave the mesh: TLS that the caller's proxy adds, tunnels, the PROXY protocol, and raw connections."""

import asyncio
import json
from collections import Counter
from dataclasses import replace

import pytest
import pytest_asyncio
from own_ca import OwnCA, secret, tls_secret
from xds_mesh import NAMESPACE, Mesh, ended, listening, mesh_config, until

from mesh_runtime.api import ObjectKey

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "pay.example.com"


class TlsServer:
    """An HTTPS server that answers with what it learnt of its caller."""

    def __init__(self):
        self.agreed = []
        """The protocol of each connection."""

    async def start(self, mesh, context):
        def name(connection, asked, _context):
            connection.asked = asked or ""

        context.sni_callback = name
        context.set_alpn_protocols(["h2", "http/1.1"])
        return await listening(mesh, self._answer, ssl=context)

    async def _answer(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        connection = writer.get_extra_info("ssl_object")
        self.agreed.append(connection.selected_alpn_protocol())
        peer = connection.getpeercert() or {}
        body = json.dumps(
            {
                "asked": connection.asked if hasattr(connection, "asked") else "",
                "caller": dict(pair for group in peer.get("subject", ()) for pair in group).get("commonName", ""),
            }
        ).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()


class Authorities:
    """Who vouches for the servers and clients of these tests, with files for those who read them from there."""

    def __init__(self, directory):
        self.servers, self.clients = OwnCA("servers"), OwnCA("clients")
        self.server = self.servers.issue(HOST)
        self.client = self.clients.issue("frontend.example.com")
        self.ca = self._file(directory / "ca.pem", self.servers.pem)
        self.certificate = self._file(directory / "client.pem", self.client.pem)
        self.key = self._file(directory / "client.key", self.client.key_pem)
        self.revoked = self._file(directory / "crl.pem", self.servers.revoke(self.server))

    @staticmethod
    def _file(path, text):
        path.write_text(text)
        return path


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def known(mesh):
    return Authorities(mesh.dir)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def simple_port(mesh, known):
    return await TlsServer().start(mesh, known.servers.server(known.server))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mutual_port(mesh, known):
    return await TlsServer().start(mesh, known.servers.server(known.server, clients=known.clients))


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def plain(mesh):
    kinds = {"DestinationRule", "ServiceEntry", "Secret"}
    await mesh.forget(kinds)


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


def outside(policy, *ports, protocol="HTTP", host=HOST):
    """A server outside the mesh, on some ports of this machine, and how it is called."""
    endpoints = ", ".join(f"{{address: 127.0.0.1, ports: {{one: {port}}}}}" for port in ports)
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: outside}}
spec:
  hosts: [{host}]
  ports: [{{number: 7000, name: one, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{endpoints}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: outside}}
spec: {{host: {host}, trafficPolicy: {{{policy}}}}}
"""


async def refused(mesh, caller):
    assert (await mesh.get(caller, f"{HOST}/")).status == 503


async def unverified(mesh, caller):
    """Check that the server is not believed, and that this is why there is no answer."""

    async def doubts():
        page = (await mesh.admin(caller, "/stats?filter=ssl.fail_verify")).text
        return sum(int(line.rpartition(" ")[2]) for line in page.splitlines())

    before = await doubts()
    await refused(mesh, caller)
    assert await doubts() > before


async def seen(mesh, caller):
    answer = await mesh.get(caller, f"{HOST}/")
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


async def test_simple_tls_asks_for_the_host_and_trusts_whom_the_rule_names(mesh, frontend, known, simple_port):
    await mesh.apply(outside(f"tls: {{mode: SIMPLE, caCertificates: {known.ca}}}", simple_port))
    assert await seen(mesh, frontend) == {"asked": HOST, "caller": ""}


@pytest.mark.parametrize(("policy", "agreed"), [("UPGRADE", "h2"), ("DO_NOT_UPGRADE", "http/1.1")])
async def test_tls_agrees_on_http2_where_it_is_spoken(mesh, frontend, known, policy, agreed):
    server = TlsServer()
    port = await server.start(mesh, known.servers.server(known.server))
    pool = f"connectionPool: {{http: {{h2UpgradePolicy: {policy}}}}}"
    await mesh.apply(outside(f"tls: {{mode: SIMPLE, caCertificates: {known.ca}}}, {pool}", port))
    await mesh.get(frontend, f"{HOST}/")
    assert set(server.agreed) == {agreed}


async def test_the_mesh_says_which_curves_servers_outside_are_offered(mesh, frontend, known):
    context = known.servers.server(known.server)
    context.set_ecdh_curve("secp384r1")
    port = await TlsServer().start(mesh, context)
    await mesh.apply(outside(f"tls: {{mode: SIMPLE, caCertificates: {known.ca}}}", port))
    assert (await mesh.get(frontend, f"{HOST}/")).status == 503
    await mesh.apply(mesh_config("tlsDefaults: {ecdhCurves: [X25519, P-384]}"))
    assert (await seen(mesh, frontend))["asked"] == HOST
    await mesh.forget("ConfigMap")


async def test_nobody_is_trusted_whom_the_machine_does_not_trust(mesh, frontend, simple_port):
    await mesh.apply(outside("tls: {mode: SIMPLE}", simple_port))
    await unverified(mesh, frontend)
    await mesh.apply(outside("tls: {mode: SIMPLE, insecureSkipVerify: true}", simple_port))
    assert (await seen(mesh, frontend))["asked"] == HOST


async def test_the_server_s_name_is_asked_for_and_verified_as_the_rule_says(mesh, frontend, known, simple_port):
    tls = f"tls: {{mode: SIMPLE, caCertificates: {known.ca}, sni: other.example.com%s}}"
    await mesh.apply(outside(tls % "", simple_port))
    assert (await seen(mesh, frontend))["asked"] == "other.example.com"
    await mesh.apply(outside(tls % f", subjectAltNames: [nobody.example.com, {HOST}]", simple_port))
    assert (await seen(mesh, frontend))["asked"] == "other.example.com"
    await mesh.apply(outside(tls % ", subjectAltNames: [nobody.example.com]", simple_port))
    await unverified(mesh, frontend)


async def test_a_server_of_another_name_is_refused_where_the_rule_names_none(mesh, frontend, known):
    context = known.servers.server(known.servers.issue("other.example.com"))
    port = await TlsServer().start(mesh, context)
    await mesh.apply(outside(f"tls: {{mode: SIMPLE, caCertificates: {known.ca}}}", port))
    await unverified(mesh, frontend)


async def test_a_server_is_verified_by_the_names_of_its_service_entry_where_the_rule_names_none(
    mesh, frontend, known, simple_port
):
    manifests = outside(f"tls: {{mode: SIMPLE, caCertificates: {known.ca}}}", simple_port)
    for name, verify in ((HOST, seen), ("nobody.example.com", unverified)):
        await mesh.apply(manifests.replace("  resolution", f"  subjectAltNames: [{name}]\n  resolution"))
        await verify(mesh, frontend)


async def test_a_revoked_certificate_is_refused(mesh, frontend, known, simple_port):
    await mesh.apply(outside(f"tls: {{mode: SIMPLE, caCertificates: {known.ca}, caCrl: {known.revoked}}}", simple_port))
    await unverified(mesh, frontend)


async def test_mutual_tls_shows_the_certificate_from_a_file(mesh, frontend, known, mutual_port):
    await mesh.apply(outside(f"tls: {{mode: SIMPLE, caCertificates: {known.ca}}}", mutual_port))
    await refused(mesh, frontend)
    files = f"clientCertificate: {known.certificate}, privateKey: {known.key}, caCertificates: {known.ca}"
    await mesh.apply(outside(f"tls: {{mode: MUTUAL, {files}}}", mutual_port))
    assert (await seen(mesh, frontend))["caller"] == "frontend.example.com"


async def test_a_client_s_certificate_in_files_is_read_again_when_it_is_replaced(mesh, frontend, known, mutual_port):
    files = f"clientCertificate: {known.certificate}, privateKey: {known.key}, caCertificates: {known.ca}"
    await mesh.apply(outside(f"tls: {{mode: MUTUAL, {files}}}", mutual_port))
    assert (await seen(mesh, frontend))["caller"] == "frontend.example.com"
    renewed = known.clients.issue("renewed.example.com")
    for path, content in ((known.certificate, renewed.pem), (known.key, renewed.key_pem)):
        fresh = path.with_suffix(".new")
        fresh.write_text(content)
        fresh.rename(path)

    async def is_shown():
        return (await seen(mesh, frontend))["caller"] == "renewed.example.com"

    await until(is_shown)


async def test_mutual_tls_shows_the_certificate_of_a_secret_and_follows_its_changes(mesh, frontend, known, mutual_port):
    await mesh.apply(outside("tls: {mode: MUTUAL, credentialName: pay}", mutual_port))
    await refused(mesh, frontend)
    assert f"calls of {HOST} port 7000 are answered 503: there is no Secret shop/pay" in told(mesh)
    assert (await mesh.get(frontend, "catalog/")).status == 200
    await mesh.apply(tls_secret("pay", known.client, authority=known.servers))
    assert (await seen(mesh, frontend))["caller"] == "frontend.example.com"
    assert not any("no Secret" in note for note in told(mesh))
    await mesh.apply(tls_secret("pay", known.clients.issue("next.example.com"), authority=known.servers))

    async def renewed():
        return (await seen(mesh, frontend))["caller"] == "next.example.com"

    await until(renewed)
    await mesh.delete(ObjectKey("", "Secret", NAMESPACE, "pay"))
    await refused(mesh, frontend)


def told(mesh):
    return {note for proxy in mesh.control.status() for note in proxy.notes}


async def test_simple_tls_takes_its_authorities_from_a_secret_of_either_form(mesh, frontend, known, simple_port):
    await mesh.apply(outside("tls: {mode: SIMPLE, credentialName: pay}", simple_port))
    for name, key in (("pay", "ca.crt"), ("pay-cacert", "cacert")):
        await mesh.apply(secret(name, {key: known.servers.pem}))
        assert (await seen(mesh, frontend))["asked"] == HOST
        await mesh.delete(ObjectKey("", "Secret", NAMESPACE, name))
        await refused(mesh, frontend)


async def test_a_file_that_is_missing_is_named_and_takes_nothing_else_down(mesh, frontend, known, simple_port):
    revision = await mesh.apply(
        outside("tls: {mode: SIMPLE, caCertificates: /nowhere/ca.pem}", simple_port), settle=False
    )
    settled = await mesh.control.settled(revision.number, 5)
    assert "/nowhere/ca.pem" in settled.rejected[frontend.grant.id]
    assert (await mesh.get(frontend, f"{HOST}/")).status in {503, 502}
    assert (await mesh.get(frontend, "catalog/")).status == 200
    await mesh.apply(outside(f"tls: {{mode: SIMPLE, caCertificates: {known.ca}}}", simple_port))
    assert (await seen(mesh, frontend))["asked"] == HOST


class Listener:
    """A TCP application that keeps the first bytes of each connection, and sends back what follows a line."""

    def __init__(self, answer=b""):
        self.answer = answer
        self.heads = []

    async def start(self, mesh):
        return await listening(mesh, self._serve)

    async def _serve(self, reader, writer):
        if self.answer:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
        while data := await reader.read(65536):
            if not self.answer:
                self.heads.append(data)
            writer.write(data)
            await writer.drain()


async def connect(mesh, caller, service=HOST):
    again = replace(caller.registration, id=caller.grant.id, token=caller.grant.token)
    return await asyncio.open_connection(*(await mesh.control.register(again)).tcp_services[service])


async def exchanged(mesh, caller, data):
    """Send bytes and return as many of what comes back."""
    reader, writer = await connect(mesh, caller)
    writer.write(data)
    back = await reader.read(65536)
    await ended(writer)
    return back


@pytest.mark.parametrize(("version", "head"), [("V1", b"PROXY TCP4 127."), ("V2", b"\r\n\r\n\x00\r\nQUIT\n")])
async def test_the_caller_s_address_is_told_by_the_proxy_protocol(mesh, frontend, version, head):
    listener = Listener()
    port = await listener.start(mesh)
    await mesh.apply(outside(f"proxyProtocol: {{version: {version}}}", port, protocol="TCP"))
    await exchanged(mesh, frontend, b"hello")
    assert listener.heads[0].startswith(head)


@pytest.mark.parametrize("protocol", ["CONNECT", "POST"])
async def test_connections_go_through_a_tunnel(mesh, frontend, protocol):
    proxy = Listener(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" if protocol == "POST" else b"HTTP/1.1 200 OK\r\n\r\n"
    )
    port = await proxy.start(mesh)
    tunnel = f"tunnel: {{protocol: {protocol}, targetHost: far.example.com, targetPort: 443}}"
    await mesh.apply(outside(tunnel, port, protocol="TCP"))
    if protocol == "CONNECT":
        assert await exchanged(mesh, frontend, b"hello") == b"hello"
    else:
        _, writer = await connect(mesh, frontend)
        writer.write(b"hello")

        async def arrived():
            return proxy.heads

        await until(arrived)
        await ended(writer)
    request = proxy.heads[0].decode()
    assert request.startswith("CONNECT far.example.com:443 " if protocol == "CONNECT" else "POST ")
    assert "host: far.example.com:443" in request.lower()


@pytest.mark.parametrize("algorithm", ["maglev: {tableSize: 251}", "ringHash: {minimumRingSize: 64}"])
async def test_connections_of_one_address_go_to_one_instance(mesh, frontend, algorithm):
    listeners = [Listener() for _ in range(3)]
    ports = [await listener.start(mesh) for listener in listeners]
    hashing = f"{{consistentHash: {{useSourceIp: true, {algorithm}}}}}"
    await mesh.apply(outside(f"loadBalancer: {hashing}", *ports, protocol="TCP"))
    for _ in range(12):
        assert await exchanged(mesh, frontend, b"hello") == b"hello"
    assert sorted(len(listener.heads) for listener in listeners) == [0, 0, 12]


async def test_connections_at_once_are_limited(mesh, frontend):
    port = await Listener().start(mesh)
    await mesh.apply(outside("connectionPool: {tcp: {maxConnections: 2}}", port, protocol="TCP"))
    outcomes = Counter()
    held = []
    for _ in range(5):
        reader, writer = await connect(mesh, frontend)
        held.append(writer)
        writer.write(b"hello")
        try:
            outcomes[await reader.read(5)] += 1
        except ConnectionResetError:  # closed before it had read what was said
            outcomes[b""] += 1
    for writer in held:
        await ended(writer)
    assert outcomes == {b"hello": 2, b"": 3}


async def test_a_silent_connection_is_closed(mesh, frontend):
    port = await Listener().start(mesh)
    await mesh.apply(outside("connectionPool: {tcp: {idleTimeout: 1s}}", port, protocol="TCP"))
    reader, writer = await connect(mesh, frontend)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert await reader.read() == b""
    await ended(writer)
