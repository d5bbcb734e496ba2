"""Proxies are told to log while somebody watches, and no longer; the user's own config is never touched."""

import asyncio
from contextlib import asynccontextmanager

import pytest_asyncio

from collectors.als.tap import TapQuery
from collectors.inventory import inventory_of, workloads_of
from collectors.peers import Peers
from console.clock import SystemClock
from console.tapping.switch import TapSwitch
from mesh_runtime.api.manifest import parse
from mesh_runtime.registry import Instance, RegistryState, Role
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import SqliteConfig

OWN = {"meshscope.dev/made-by": "tap"}
ON = {"accessLogging": [{"providers": [{"name": "envoy"}]}]}
OFF = {"accessLogging": [{"disabled": True}]}


def instance(workload, number=0):
    app = workload.partition("-")[0]
    return Instance(
        id=f"shop/{workload}~{number}",
        role=Role.SIDECAR,
        node_id=f"sidecar~127.64.0.{number}~{workload}.shop",
        namespace="shop",
        workload=workload,
        service=app,
        version="",
        service_account=app,
        labels={"app": app, "copy": str(number), "workload": workload},
        address=f"127.64.0.{number}",
    )


def telemetry(name, spec, **metadata):
    head = {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry"}
    return parse({**head, "metadata": {"name": name, "namespace": "shop", **metadata}, "spec": spec})


class Switched:
    """A switch on a real store, and what there is to watch."""

    def __init__(self, store):
        self.store = store
        self.instances = [instance("web"), instance("catalog-v1", 1), instance("catalog-v1", 2), instance("db", 3)]
        self.switch = TapSwitch(store, self, SystemClock(), peers=self.peers, linger_ms=0)

    @property
    def current(self):
        return RegistryState(instances={one.id: one for one in self.instances})

    def peers(self):
        return Peers(inventory_of([], workloads_of(self.current)), self.current)

    @asynccontextmanager
    async def running(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.switch.run(lambda: None))
            yield
            task.cancel()

    async def becomes(self, *expected):
        """Wait until these objects are all the Telemetry there is."""
        async for config in self.store.watch():
            if self.told(config) == sorted(expected):
                return config
        raise AssertionError

    @staticmethod
    def told(config):
        return sorted(item.key.name for item in config.of("Telemetry"))


@pytest_asyncio.fixture
async def switched():
    async with SqliteConfig(":memory:", clock_ms=lambda: 1) as store:
        yield Switched(store)


async def test_the_caller_logs_while_it_is_watched_and_the_history_says_so(switched):
    async with switched.running():
        with switched.switch.watching(TapQuery(source="web", target="catalog")):
            config = await switched.becomes("meshscope-tap-web")
            [item] = config.of("Telemetry")
            assert item.manifest["metadata"]["labels"] == OWN
            assert item.manifest["spec"]["selector"] == {"matchLabels": {"app": "web", "copy": "0", "workload": "web"}}
            assert item.manifest["spec"]["accessLogging"][0]["match"] == {"mode": "CLIENT"}
        await switched.becomes()
    reasons = [one.reason for one in await switched.store.history() if one.author == "tap"]
    assert reasons == [
        "nobody watches any more: shop/meshscope-tap-web",
        "requests are watched: shop/meshscope-tap-web",
    ]


async def test_callees_log_where_no_caller_is_named_all_copies_by_what_they_share(switched):
    async with switched.running():
        with switched.switch.watching(TapQuery(target="catalog")):
            [item] = (await switched.becomes("meshscope-tap-catalog-v1")).of("Telemetry")
            assert item.manifest["spec"]["selector"] == {"matchLabels": {"app": "catalog", "workload": "catalog-v1"}}
            assert item.manifest["spec"]["accessLogging"][0]["match"] == {"mode": "SERVER"}
            with switched.switch.watching(TapQuery(source="catalog-v1")):
                async for config in switched.store.watch():
                    [item] = config.of("Telemetry")
                    if item.manifest["spec"]["accessLogging"][0]["match"]["mode"] == "CLIENT_AND_SERVER":
                        break


async def test_what_a_user_says_of_access_logs_stays_and_the_reader_is_told(switched):
    mine = telemetry("mine", {"selector": {"matchLabels": {"app": "web"}}, **OFF})
    await switched.store.commit(Change(put=(mine,)))
    query = TapQuery(source="web")
    assert switched.switch.why_not(query) == "Telemetry shop/mine says what shop/web logs, and it logs no access"
    async with switched.running():
        with switched.switch.watching(query), switched.switch.watching(TapQuery(source="db")):
            await switched.becomes("meshscope-tap-db", "mine")
    assert switched.told(switched.store.current) == ["mine"]


async def test_workloads_that_log_anyway_need_nothing(switched):
    await switched.store.commit(Change(put=(telemetry("all", ON),)))
    with switched.switch.watching(TapQuery()):
        await switched.switch.look()
    assert switched.switch.why_not(TapQuery()) == ""
    assert switched.store.current.revision == 1


async def test_what_a_killed_server_left_behind_goes_at_the_next_start_and_nothing_else(switched):
    users = telemetry("meshscope-tap-db", {"selector": {"matchLabels": {"app": "db"}}, "metrics": []})
    left = telemetry("meshscope-tap-web", {"selector": {"matchLabels": {"app": "web"}}, **ON}, labels=OWN)
    await switched.store.commit(Change(put=(users, left)))
    async with switched.running():
        await switched.becomes("meshscope-tap-db")
        with switched.switch.watching(TapQuery(source="db")):
            await switched.switch.look()
    assert switched.store.current.objects[users.key].manifest == users.manifest


async def test_everything_is_taken_back_when_the_server_stops(switched):
    with switched.switch.watching(TapQuery(source="web")):
        async with switched.running():
            await switched.becomes("meshscope-tap-web")
        assert switched.told(switched.store.current) == []


async def test_who_watches_too_many_has_to_choose(switched):
    switched.instances = [instance(f"w{number}", number) for number in range(21)]
    assert "21 workloads are too many" in switched.switch.why_not(TapQuery())
    assert switched.switch.why_not(TapQuery(source="w3")) == ""
    with switched.switch.watching(TapQuery()):
        await switched.switch.look()
    assert switched.told(switched.store.current) == []
