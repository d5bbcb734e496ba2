"""What is in a Kubernetes cluster is known, as it comes, changes and goes, whatever the API server does meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from api_server import HTTP_ROUTES, ISTIO, VIRTUAL_SERVICES, ApiServer
from cluster_objects import deployment, pod, service, virtual_service
from cluster_rig import PATIENCE_S, Cluster, Followed, following, write_kubeconfig

from collectors.kubernetes.api import ApiError
from collectors.kubernetes.config import ClusterConfig


def names(followed: Followed) -> set[str]:
    """Name the workloads that are seen."""
    return {one.owner.name for one in followed.objects.controllers}


class TestAnyCluster:
    """On a real cluster, too, where ``KUBECONFIG`` names one; see ``conftest.py`` on which of these write to it."""

    async def test_what_there_is_is_known(self, read_only: Cluster) -> None:
        async with following(read_only.config) as followed, asyncio.timeout(PATIENCE_S):
            for path, seen in (
                ("/api/v1/namespaces", lambda: [one for one in followed.objects.declared if one.kind == "Namespace"]),
                ("/api/v1/services", lambda: [one for one in followed.objects.declared if one.kind == "Service"]),
                ("/api/v1/pods", lambda: followed.objects.pods),
            ):
                # asked again each time: in a real cluster things come and go
                while not await read_only.names(path) <= {(one.namespace, one.name) for one in seen()}:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert followed.objects.pods

    async def test_what_appears_is_known_and_what_is_deleted_goes(self, cluster: Cluster) -> None:
        front = deployment("front", namespace=cluster.namespace)
        async with following(cluster.config) as followed:
            await cluster.apply(front)
            await followed.until(lambda seen: seen.has("Deployment", "front-v1"))
            await cluster.apply(service("front", namespace=cluster.namespace))
            await followed.until(lambda seen: seen.has("Service", "front"))
            await cluster.delete(front)
            await followed.until(lambda seen: not seen.has("Deployment", "front-v1"))
            assert followed.has("Service", "front")

    async def test_what_is_changed_is_known_with_who_changed_it(self, cluster: Cluster) -> None:
        await cluster.apply(service("front", namespace=cluster.namespace))
        async with following(cluster.config) as followed:
            await cluster.apply(
                {**service("front", namespace=cluster.namespace), "spec": {"ports": [{"name": "grpc", "port": 81}]}},
                manager="somebody-else",
                force="true",
            )
            await followed.until(
                lambda seen: any(
                    one.changed_by == "somebody-else" and one.manifest["spec"]["ports"][-1]["port"] == 81
                    for one in seen.objects.declared
                )
            )

    async def test_a_write_on_what_was_changed_since_is_a_conflict(self, cluster: Cluster) -> None:
        first = await cluster.apply(service("front", namespace=cluster.namespace))
        later = service("front", namespace=cluster.namespace)
        later["spec"]["ports"][0]["port"] = 82
        await cluster.apply(later)
        first = {**later, "metadata": {**later["metadata"], "resourceVersion": first["metadata"]["resourceVersion"]}}
        with pytest.raises(ApiError) as refusal:
            await cluster.apply(first)
        assert refusal.value.status == 409


class TestTrouble:
    """On the stand-in, which can be told to make trouble."""

    async def test_long_lists_are_read_page_by_page(self, server: ApiServer, config: ClusterConfig) -> None:
        for number in range(600):
            server.put(service(f"service-{number:03}"))
        async with following(config) as followed:
            await followed.until(lambda seen: len(seen.objects.declared) == 600)
        assert [asked.get("limit") for asked in server.lists if asked.get("continue")] == ["250", "250"]
        assert "secrets" not in {asked["plural"] for asked in server.lists}

    @pytest.mark.parametrize("forgets_with_status", [True, False])
    async def test_nothing_is_lost_when_the_server_forgets_where_a_watch_ended(
        self, server: ApiServer, config: ClusterConfig, *, forgets_with_status: bool
    ) -> None:
        server.forgets_with_status = forgets_with_status
        server.put(deployment("old"))
        async with following(config) as followed:
            await followed.until(lambda seen: names(seen) == {"old-v1"})
            await server.stop()
            server.put(deployment("new"))
            server.remove("deployments", "shop", "old-v1")
            server.forget()
            await server.start()
            await followed.until(lambda seen: names(seen) == {"new-v1"})
            await followed.until(lambda seen: not seen.watch.state.error)

    async def test_a_watch_goes_on_where_it_was_cut_off(self, server: ApiServer, config: ClusterConfig) -> None:
        async with following(config) as followed:
            server.put(deployment("one"))
            await followed.until(lambda seen: names(seen) == {"one-v1"})
            listed = len(server.lists)
            server.end_watches()
            server.put(deployment("two"))
            await followed.until(lambda seen: names(seen) == {"one-v1", "two-v1"})
        assert len(server.lists) == listed

    async def test_a_server_that_is_away_is_told_and_what_was_known_stays(
        self, server: ApiServer, config: ClusterConfig
    ) -> None:
        server.put(deployment("front"))
        async with following(config) as followed:
            await followed.until(lambda seen: names(seen) == {"front-v1"})
            await server.stop()
            await followed.until(lambda seen: bool(seen.watch.state.error))
            assert f"127.0.0.1:{server.port} does not answer" in followed.watch.state.error
            await followed.until(lambda seen: seen.watch.state.since_ms > 0)
            assert names(followed) == {"front-v1"}
            await server.start()
            await followed.until(lambda seen: not seen.watch.state.error and not seen.watch.state.since_ms)

    async def test_a_server_that_is_away_at_the_start_is_found_when_it_comes(
        self, server: ApiServer, config: ClusterConfig
    ) -> None:
        server.put(deployment("front"))
        await server.stop()
        async with following(config) as followed:
            await followed.until(lambda seen: bool(seen.watch.state.error))
            await server.start()
            await followed.until(lambda seen: names(seen) == {"front-v1"})

    async def test_a_mesh_that_is_installed_later_is_found_and_one_that_is_uninstalled_goes(
        self, server: ApiServer, config: ClusterConfig
    ) -> None:
        server.kinds = [kind for kind in server.kinds if kind not in ISTIO]
        async with following(config) as followed:
            await followed.until(
                lambda seen: "networking.istio.io" in seen.watch.state.absent and seen.watch.state.kinds
            )
            server.kinds += ISTIO
            server.put(virtual_service("front"))
            await followed.until(lambda seen: seen.has("VirtualService", "front"))
            assert "networking.istio.io" not in followed.watch.state.absent
            server.uninstall("virtualservices")
            await followed.until(lambda seen: not seen.has("VirtualService", "front"))
            assert not followed.watch.state.error

    async def test_a_kind_that_gets_a_newer_version_is_not_there_twice(
        self, server: ApiServer, config: ClusterConfig
    ) -> None:
        server.kinds.remove(VIRTUAL_SERVICES)
        server.put({**virtual_service("front"), "apiVersion": "networking.istio.io/v1beta1"})
        async with following(config) as followed:
            await followed.until(lambda seen: seen.has("VirtualService", "front"))
            server.kinds.insert(0, VIRTUAL_SERVICES)
            server.kinds.append(HTTP_ROUTES)
            server.put({**virtual_service("late"), "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"})
            await followed.until(lambda seen: seen.has("HTTPRoute", "late"))
            assert len(followed.objects.declared) == 2

    async def test_what_may_not_be_read_is_told_and_read_once_it_may(
        self, server: ApiServer, config: ClusterConfig
    ) -> None:
        server.put(deployment("front"))
        server.put(virtual_service("front"))
        server.forbidden = {"virtualservices", "destinationrules"}
        async with following(config) as followed:
            await followed.until(lambda seen: names(seen) == {"front-v1"})
            await followed.until(lambda seen: len(seen.watch.state.forbidden) == 2)
            assert not followed.watch.state.error
            server.forbidden.clear()
            await followed.until(lambda seen: seen.has("VirtualService", "front"))
            assert not followed.watch.state.forbidden

    async def test_only_the_namespaces_that_one_names_are_read(self, server: ApiServer, config: ClusterConfig) -> None:
        for namespace in ("shop", "bank"):
            server.put(deployment(namespace, namespace=namespace))
        chosen = ClusterConfig(kubeconfig=config.kubeconfig, namespaces=("bank",))
        async with following(chosen) as followed:
            await followed.until(lambda seen: names(seen) == {"bank-v1"})

    async def test_credentials_are_read_anew_when_they_are_refused(
        self, server: ApiServer, config: ClusterConfig, caplog: pytest.LogCaptureFixture
    ) -> None:
        kubeconfig = Path(config.kubeconfig)
        async with following(config) as followed:
            await followed.until(lambda seen: seen.watch.state.kinds > 0)
            old, server.token = server.token, "another-token"
            server.end_watches()
            await followed.until(lambda seen: "401" in seen.watch.state.error)
            assert old not in followed.watch.state.error
            await asyncio.to_thread(write_kubeconfig, kubeconfig, token=server.token, prod=server.url)
            server.put(pod("front"))
            await followed.until(lambda seen: bool(seen.objects.pods) and not seen.watch.state.error)
        assert old not in caplog.text
