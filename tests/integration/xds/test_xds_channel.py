"""The channel between proxies and control plane: who may ask for what, what is refused, and what survives."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import grpc
import pytest
import pytest_asyncio
from free_ports import free_port
from xds_mesh import PATIENCE_S, Mesh, until

from mesh_runtime.identity.authority import spiffe_id
from mesh_runtime.registration import InvalidRegistrationError
from mesh_runtime.sidecar.bootstrap import TOKEN_KEY
from mesh_runtime.xds import protos
from mesh_runtime.xds.snapshot import Kind

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog", "v1")
        await mesh.apply(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
            "metadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n"
        )
        yield mesh


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


REFUSED = (PermissionError, grpc.aio.AioRpcError, asyncio.InvalidStateError)
"""How the end of a stream shows, depending on what the client was about to do."""


async def refusal(client, kind, node):
    """Ask, and give the end of the stream that comes instead of an answer."""
    with suppress(*REFUSED):
        await client.ask(kind, "default", node=node)
        while True:
            await client.answer()
    return await client.call.code(), await client.call.details()


class Client:
    """A proxy that asks as it likes."""

    def __init__(self, target, token=None, credentials=None):
        self.channel = (
            grpc.aio.secure_channel(target, credentials) if credentials else grpc.aio.insecure_channel(target)
        )
        call = self.channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=protos.message_class(protos.DELTA_RESPONSE).FromString,
        )
        self.call = call(metadata=((TOKEN_KEY, token),) if token else None)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.call.cancel()
        await self.channel.close()

    async def ask(self, kind, *names, node="", **more):
        request = {"node": {"id": node}, "type_url": kind.type_url, "resource_names_subscribe": names, **more}
        await self.call.write(protos.message(protos.DELTA_REQUEST, request))

    async def answer(self):
        async with asyncio.timeout(PATIENCE_S):
            answer = await self.call.read()
        if answer is grpc.aio.EOF:
            raise PermissionError(await self.call.code(), await self.call.details())
        return answer


def target(mesh):
    return f"unix:{mesh.control._socket}"


async def enrol(mesh, service):
    """Register an instance without starting a proxy for it."""
    registration = replace(mesh.workloads["frontend"].registration, service=service, admin="")
    return await mesh.control.register(registration)


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_without_the_proxy_s_token_nothing_is_answered(mesh, frontend, token):
    refused = mesh.control.server.counters.refused_identities
    async with Client(target(mesh), token) as client:
        code, _ = await refusal(client, Kind.SDS, frontend.grant.node_id)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert mesh.control.server.counters.refused_identities == refused + 1


async def test_a_token_is_good_for_its_own_proxy_only(mesh, frontend):
    grant = await enrol(mesh, "mallory")
    async with Client(target(mesh), grant.token) as client:
        code, details = await refusal(client, Kind.SDS, frontend.grant.node_id)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "not the one issued" in details


async def test_another_identity_s_key_is_refused_and_counted(mesh):
    grant = await enrol(mesh, "mallory")
    refused = mesh.control.server.counters.refused_secrets
    names = ("frontend", spiffe_id("shop", "frontend"), "default@frontend")
    async with Client(target(mesh), grant.token) as client:
        await client.ask(Kind.SDS, *names, "default", node=grant.node_id)
        answer = await client.answer()
    assert [resource.name for resource in answer.resources] == ["default"]
    assert sorted(answer.removed_resources) == sorted(names)
    assert mesh.control.server.counters.refused_secrets == refused + 3
    secret = protos.message_class(protos.SECRET).FromString(answer.resources[0].resource.value)
    mine, frontends = (
        next(certificate for certificate in mesh.control.certificates() if certificate.node_id == node_id)
        for node_id in (grant.node_id, mesh.workloads["frontend"].grant.node_id)
    )
    assert mine.identity == spiffe_id("shop", "mallory")
    assert mine.serial != frontends.serial
    assert "PRIVATE KEY" in secret.tls_certificate.private_key.inline_string


async def test_keys_are_never_shown(mesh, frontend):
    shown = repr([mesh.control.resources(frontend.grant.node_id, kind) for kind in ("secrets", "bootstrap")])
    assert "redacted" in shown
    assert "PRIVATE KEY" not in shown
    assert frontend.grant.token not in shown


async def test_an_instance_that_was_removed_loses_its_stream_and_its_token(mesh):
    grant = await enrol(mesh, "shortlived")
    async with Client(target(mesh), grant.token) as client:
        await client.ask(Kind.CDS, node=grant.node_id)
        await client.answer()
        await mesh.control.deregister(grant.id)
        with suppress(*REFUSED):
            while True:
                await client.answer()
    async with Client(target(mesh), grant.token) as client:
        code, _ = await refusal(client, Kind.SDS, grant.node_id)
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_an_id_can_be_registered_again_only_with_its_token(mesh, frontend):
    again = replace(frontend.registration, id=frontend.grant.id, token="guess")
    with pytest.raises(InvalidRegistrationError, match="another token"):
        await mesh.control.register(again)


async def test_a_rejected_listener_is_shown_with_envoy_s_reason_and_goes_when_the_cause_does(mesh):
    gateway = await mesh.gateway("edge", istio="edge")
    taken = await asyncio.start_server(lambda *_: None, gateway.address, 18080)
    manifest = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: edge}
  servers: [{port: {number: %d, name: http, protocol: HTTP}, hosts: ["*"]}]
"""
    async with taken:
        revision = await mesh.apply(manifest % 18080, settle=False)
        settled = await mesh.control.settled(revision.number, PATIENCE_S)
        assert "cannot bind" in settled.rejected[gateway.grant.id]
        assert len(settled.acknowledged) >= 2
        status = next(one for one in mesh.control.status() if one.instance_id == gateway.grant.id)
        assert not status.in_sync
        assert "18080" in status.types["LDS"].rejected
    await mesh.apply(manifest % 18081)
    status = next(one for one in mesh.control.status() if one.instance_id == gateway.grant.id)
    assert status.in_sync
    assert not status.types["LDS"].rejected


async def test_all_certificates_rotate_while_no_request_fails(mesh, frontend):
    statuses = Counter()
    stop = asyncio.Event()
    # Every request makes a new connection between the sidecars, and so a handshake.
    await mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: catalog}\n"
        "spec: {host: catalog, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}}\n"
    )

    async def load():
        while not stop.is_set():
            answer = await mesh.get(frontend, "catalog/")
            statuses[answer.status] += 1
            assert "URI=spiffe://cluster.local/ns/shop/sa/frontend" in answer.text

    before = {certificate.serial for certificate in mesh.control.certificates()}
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(load())
        for _ in range(10):
            mesh.control.rotate()
            settled = await mesh.control.settled(mesh.store.current.revision, PATIENCE_S)
            assert not settled.waiting
            enough = statuses[200] + 20

            async def went_on(enough=enough):
                return statuses[200] >= enough

            await until(went_on)
        stop.set()
    assert set(statuses) == {200}
    assert not before & {certificate.serial for certificate in mesh.control.certificates()}
    assert await mesh.metrics(frontend, "istio_requests_total", response_code="200", response_flags="-") >= 200


async def test_a_restarted_control_plane_changes_nothing_for_the_proxies(mesh, frontend):
    def changes(page):
        wanted = (
            "cluster_modified",
            "cluster_added",
            "cluster_removed",
            "listener_modified",
            "listener_create_success",
        )
        return [line for line in page.splitlines() if any(name in line for name in wanted)]

    before = changes((await mesh.admin(frontend, "/stats")).text)
    assert before
    statuses = Counter()
    stop = asyncio.Event()

    async def load():
        while not stop.is_set():
            statuses[(await mesh.get(frontend, "catalog/")).status] += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(load())
        await mesh.stop_control()
        await mesh.start_control()

        async def is_back():
            return frontend.grant.node_id in {status.node_id for status in mesh.control.status() if status.in_sync}

        await until(is_back)
        stop.set()
    assert set(statuses) == {200}
    assert changes((await mesh.admin(frontend, "/stats")).text) == before
    await mesh.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: after}\n")


async def test_the_tls_address_asks_for_the_same_token(mesh, frontend):
    address = f"127.0.0.1:{free_port()}"
    await mesh.stop_control()
    await mesh.start_control(tls_address=address)
    root = grpc.ssl_channel_credentials(mesh.authority.root_pem.encode())
    grant = await enrol(mesh, "remote")
    async with Client(address, grant.token, root) as client:
        await client.ask(Kind.SDS, "default", node=grant.node_id)
        assert (await client.answer()).resources[0].name == "default"
    async with Client(address, None, root) as client:
        code, _ = await refusal(client, Kind.SDS, grant.node_id)
    assert code is grpc.StatusCode.UNAUTHENTICATED
