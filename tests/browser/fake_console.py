"""A console whose mesh is played: everything is real except proxies, their readings and their answers.

By hand: ``python tests/browser/fake_console.py 8321``, then look at http://127.0.0.1:8321.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import uvicorn
from fake_shop import Shop
from fake_traces import FakeTraces

from collectors.peers import Peers
from collectors.snapshots import FrameHistory
from console.alerts import AlertBook, rules_of
from console.clock import SystemClock
from console.dash_app import build
from console.datadir import DataDir
from console.demo.manifests import fault_of
from console.demo.manifests import objects as shop_manifests
from console.faults import DemoControl
from console.receivers import receivers
from console.settings import Endpoint, Settings, Webhooks
from console.state.changelog import SqliteChangeLog
from console.state.database import StateDatabase
from console.state.deliveries import DeliveryLog
from console.tapping.switch import TapSwitch
from console.ticker import Ticker
from console.web.app import public
from console.web.stream import Stream
from graph.live import LiveGraph
from graph.model import GraphType
from graph.ports import Kept
from mesh_runtime.control import GatewayStatus
from mesh_runtime.identity.authority import Authority
from mesh_runtime.identity.rotation import Rotation
from mesh_runtime.registry import Instance, Role
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import SqliteConfig
from mesh_runtime.xds.report import redacted
from mesh_runtime.xds.translate.tls import leaf_secret, root_secret
from wizards.apply import Wizards
from wizards.facts import Facts, facts_of
from wizards.ports import Settlement

PAST_S = 320
SECRET = "whsec_bWVzaHNjb3BlLXRlc3RzLW5vdC1hLXNlY3JldC0="


class MovableClock(SystemClock):
    """The machine's clock, turned back while the past is played."""

    offset_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.offset_ms


class Frames:
    """History in memory."""

    def __init__(self) -> None:
        self.frames: dict[int, tuple[Kept, bytes]] = {}

    async def append(self, kept: Kept, body: bytes) -> None:
        self.frames[kept.at_ms] = (kept, body)

    async def index(self) -> list[Kept]:
        return [kept for kept, _ in self.frames.values()]

    async def bodies(self, instants: Collection[int]) -> dict[int, bytes]:
        return {at_ms: self.frames[at_ms][1] for at_ms in instants if at_ms in self.frames}


NOTES = ("Gateway shop/ingress port 8443 (https) is not served: there is no Secret shop/gone-tls",)


class FakeControl:
    """Eight proxies that take everything at once."""

    def __init__(self, shop: Shop, store: SqliteConfig, clock: MovableClock) -> None:
        self.shop, self.store, self.clock = shop, store, clock
        self.authority = Authority(Path(mkdtemp()), clock.now_ms)
        self.rotated = 0
        self.replacing = False
        self.waiting: tuple[str, ...] = ()
        self.names = [*sorted(ref.workload for ref in shop.inventory().workloads), "inventory-v1"]

    def status(self) -> tuple[Any, ...]:
        revision = self.store.current.revision
        return tuple(
            SimpleNamespace(
                node_id=f"sidecar~127.64.0.{number}~{name}.shop",
                instance_id=f"shop/{name}~{number}",
                namespace="shop",
                workload=name,
                role="gateway" if name == "ingress" else "sidecar",
                connected=True,
                revision_acked=revision,
                in_sync=True,
                types={},
                problem="",
                notes=NOTES if name == "ingress" else (),
            )
            for number, name in enumerate(self.names, 2)
        )

    def certificates(self) -> tuple[Any, ...]:
        now = self.clock.now_ms()
        return tuple(
            SimpleNamespace(
                node_id=proxy.node_id,
                instance_id=proxy.instance_id,
                namespace="shop",
                workload=proxy.workload,
                identity=f"spiffe://cluster.local/ns/shop/sa/{proxy.workload.partition('-')[0]}",
                serial=f"{number:02x}a4",
                not_before_ms=now - 900_000,
                not_after_ms=now + 2_700_000 - number * 60_000,
                root=self.authority.fingerprint,
            )
            for number, proxy in enumerate(self.status())
        )

    def gateways(self) -> tuple[Any, ...]:
        return (
            GatewayStatus(
                instance_id=next(one.instance_id for one in self.status() if one.role == "gateway"),
                namespace="shop",
                workload="ingress",
                address="127.0.0.1",
                ports={80: 8080},
            ),
        )

    def resources(self, _node_id: str, _kind: str) -> list[dict[str, Any]]:
        leaf = self.authority.issue("spiffe://cluster.local/ns/shop/sa/played")
        return [redacted(leaf_secret(leaf.chain_pem, leaf.key_pem)), root_secret(self.authority.bundle_pem)]

    def rotate(self) -> None:
        self.rotated += 1

    def start_root_rotation(self) -> None:
        """Begin; the test does the steps and decides when it is over."""
        self.authority.prepare()
        self.replacing = True

    @property
    def rotation(self) -> Rotation:
        """Where the test has put it."""
        return Rotation(
            running=self.replacing,
            stage=self.authority.stage,
            waiting=self.waiting if self.replacing else (),
            root=self.authority.fingerprint,
            root_not_after_ms=self.authority.root_not_after_ms,
        )

    @property
    def instances(self) -> dict[str, Any]:
        """What the pages ask of the registry."""
        return {
            one.instance_id: Instance(
                id=one.instance_id,
                role=Role(one.role),
                node_id=one.node_id,
                namespace=one.namespace,
                workload=one.workload,
                service=one.workload.partition("-")[0],
                version="",
                service_account=one.workload.partition("-")[0],
                labels={"app": one.workload.partition("-")[0]},
                address=one.node_id.split("~")[1],
            )
            for one in self.status()
        }

    async def settled(self, _revision: int, _timeout_s: float) -> Any:
        self.obey()
        names = tuple(proxy.instance_id for proxy in self.status())
        return SimpleNamespace(acknowledged=names, waiting=(), rejected={}, elapsed_ms=47.0)

    def obey(self) -> None:
        """Do with the played traffic what the proxies would do."""
        config = self.store.current
        for item in config.of("VirtualService", "shop"):
            for rule in item.manifest["spec"].get("http", ()):
                for route in rule.get("route", ()):
                    if route["destination"].get("subset") == "v2":
                        self.shop.split(route.get("weight", 0))
        self.shop.fault(fault_of(config))


@dataclass
class Stage:
    """What a test turns."""

    url: str
    shop: Shop
    console: Any
    paused: bool = False
    """No tick, no news."""


@asynccontextmanager
async def staged(port: int = 0, *, folder: str = ":memory:") -> AsyncIterator[Stage]:
    """Serve the page on a played mesh."""
    clock = MovableClock()
    clock.offset_ms = -PAST_S * 1000
    began = clock.now_ms()
    shop = Shop(began)
    live = LiveGraph(clock=clock)
    live.inventory(shop.inventory())
    settings = Settings(
        webhooks=Webhooks(endpoints=(Endpoint(name="inbox", url="http://127.0.0.1:9/", secrets=(SECRET,)),))
    )
    async with (
        AsyncExitStack() as stack,
        StateDatabase(folder) as state,
        SqliteConfig(":memory:", clock_ms=clock.now_ms) as store,
    ):
        deliveries = DeliveryLog(state)
        await deliveries.create()
        changelog = SqliteChangeLog(state)
        await changelog.create()
        alerts = AlertBook(state, rules=rules_of(()), endpoints=settings.webhooks.endpoints, page="http://127.0.0.1")
        await alerts.open()
        await store.commit(Change(put=shop_manifests(), author="demo", reason="open the shop"))
        control = FakeControl(shop, store, clock)
        stream, frames = Stream(live), Frames()
        ticker = Ticker(
            live=live,
            stream=stream,
            alerts=alerts,
            snapshots=frames,
            control=control,  # type: ignore[arg-type]
            clock=clock,
            settings=settings.graph,
            wake_webhooks=lambda: None,
        )
        for second in range(0, PAST_S, 5):
            now = began + second * 1000
            live.observe(shop.advance(now, 5))
            await ticker.tick(now)
        clock.offset_ms = 0

        async def settle(revision: int, timeout_s: float) -> Settlement:
            settled = await control.settled(revision, timeout_s)
            return Settlement(acknowledged=len(settled.acknowledged), elapsed_ms=settled.elapsed_ms)

        def facts(namespace: str, service: str) -> Facts:
            return facts_of(shop.inventory(), live.snapshot(GraphType.VERSIONED_APP, 60), namespace, service)

        class Demo(DemoControl):
            async def fault(self, mode: str, *, author: str = "demo") -> Any:
                done = await super().fault(mode, author=author)
                control.obey()
                return done

        registry: Any = SimpleNamespace(current=SimpleNamespace(instances=control.instances, revision=0))
        others = await receivers(
            settings,
            DataDir(Path(mkdtemp())),
            stack,
            live=live,
            clock=clock,
            registry=registry,
            peers=lambda: Peers(shop.inventory()),
        )
        switch = TapSwitch(store, registry, clock, peers=lambda: Peers(shop.inventory()), linger_ms=0)
        console: Any = SimpleNamespace(
            settings=settings,
            clock=clock,
            live=live,
            store=store,
            registry=registry,
            control=control,
            sources=(
                SimpleNamespace(
                    state=PollLike(source="admin sockets of 8 proxies", interval_s=1.0, last_success_ms=clock.now_ms()),
                    source=SimpleNamespace(name="sidecars"),
                ),
            ),
            traces=FakeTraces(clock.now_ms()),
            snapshots=frames,
            histories=(FrameHistory(frames, live.frame),),
            alerts=alerts,
            deliveries=deliveries,
            wizards=Wizards(store, changelog, settle, facts=facts, clock_ms=clock.now_ms),
            otlp=SimpleNamespace(grpc_port=4317, http_port=4318, drops={}, state=SpansLike(spans=48213)),
            logs=others.logs,
            tap=others.tap,
            tap_switch=switch,
            receivers=others,
            clusters=SimpleNamespace(all=()),
            stream=stream,
            supervised=(),
            wake_webhooks=lambda: None,
            demo=Demo(store),
            token="",
        )
        guard = public(console, lambda console, server: build(console, server).csp_hashes)
        config = uvicorn.Config(
            guard,
            host="127.0.0.1",
            port=port,
            log_level="warning",
            lifespan="on",
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        stage = Stage(url="", shop=shop, console=console)

        async def play() -> None:
            async for now in clock.every(1):
                if not stage.paused:
                    live.observe(shop.advance(now, 1))
                    await ticker.tick(now)
                    console.sources[0].state.last_success_ms = now

        async with asyncio.TaskGroup() as group:
            playing = group.create_task(play())
            keeping = [group.create_task(one.run(lambda: None)) for one in (others.logs, switch)]
            serving = group.create_task(server.serve())
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.02)
            stage.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            try:
                yield stage
            finally:
                playing.cancel()
                for one in keeping:
                    one.cancel()
                server.should_exit = True
                await serving


@dataclass
class PollLike:
    """As ``collectors.poll.PollState``."""

    source: str
    interval_s: float
    last_success_ms: int
    error: str = ""


@dataclass
class SpansLike:
    """As ``collectors.otlp.ingest.IngestState``."""

    spans: int
    store_error: str = ""


async def main() -> None:
    """Serve until interrupted."""
    async with staged(int(sys.argv[1])) as stage:
        print(stage.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
