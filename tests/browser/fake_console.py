"""A console whose mesh is played: everything is real except proxies, their readings and their answers.

By hand: ``python tests/browser/fake_console.py 8321``, then look at http://127.0.0.1:8321.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

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
from console.following import Following
from console.receivers import receivers
from console.services import serving
from console.settings import Endpoint, Settings, Webhooks
from console.state.changelog import SqliteChangeLog
from console.state.database import StateDatabase
from console.state.deliveries import DeliveryLog
from console.tapping.switch import TapSwitch
from console.ticker import Ticker
from console.web.app import public
from console.web.server import WebServer, tcp_socket
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
from wizards.facts import facts_of
from wizards.ports import Settlement

PAST_S = 320
SECRET = "whsec_bWVzaHNjb3BlLXRlc3RzLW5vdC1hLXNlY3JldC0="
SETTINGS = Settings(
    webhooks=Webhooks(endpoints=(Endpoint(name="inbox", url="http://127.0.0.1:9/", secrets=(SECRET,)),))
)


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

    def __init__(self, shop: Shop, store: SqliteConfig, clock: MovableClock, data: Path) -> None:
        self.shop, self.store, self.clock = shop, store, clock
        self.authority = Authority(data / "ca", clock.now_ms)
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

    async def settle(self, revision: int, timeout_s: float) -> Settlement:
        """The same, in the wizards' words."""
        settled = await self.settled(revision, timeout_s)
        return Settlement(acknowledged=len(settled.acknowledged), elapsed_ms=settled.elapsed_ms)

    def obey(self) -> None:
        """Do with the played traffic what the proxies would do."""
        config = self.store.current
        for item in config.of("VirtualService", "shop"):
            for rule in item.manifest["spec"].get("http", ()):
                for route in rule.get("route", ()):
                    if route["destination"].get("subset") == "v2":
                        self.shop.split(route.get("weight", 0))
        self.shop.fault(fault_of(config))


class Demo(DemoControl):
    """The demo's faults, which the played traffic obeys."""

    def __init__(self, store: SqliteConfig, control: FakeControl) -> None:
        super().__init__(store)
        self.control = control

    async def fault(self, mode: str, *, author: str = "demo") -> Any:
        done = await super().fault(mode, author=author)
        self.control.obey()
        return done


@dataclass
class Stage:
    """A service: plays the traffic, each second what went on since the last one. What a test turns."""

    url: str
    shop: Shop
    console: Any
    ticker: Ticker
    paused: bool = False
    name = "played traffic"

    @contextmanager
    def still(self) -> Iterator[None]:
        """Have no tick and no news, so that every page tells of the same moment."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False

    async def play(self, now_ms: int) -> None:
        self.console.live.observe(self.shop.advance(now_ms))
        await self.ticker.tick(now_ms)
        self.console.sources[0].state.last_success_ms = now_ms

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        async for now_ms in self.console.clock.every(1):
            if not self.paused:
                await self.play(now_ms)


@asynccontextmanager
async def staged(port: int = 0, *, folder: str = ":memory:") -> AsyncIterator[Stage]:
    """Serve the page on a played mesh."""
    clock = MovableClock()
    clock.offset_ms = -PAST_S * 1000
    began = clock.now_ms()
    async with AsyncExitStack() as stack:
        door = tcp_socket("127.0.0.1", port, setting="port")
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        stage = await _made(stack, url, Shop(began), clock, folder)
        for second in range(0, PAST_S, 5):
            await stage.play(began + second * 1000)
        clock.offset_ms = 0
        console = stage.console
        web = WebServer("console", lambda: public(console, lambda *made: build(*made).csp_hashes), door)
        async with serving([console.logs, console.tap_switch, web, stage]):
            yield stage


async def _made(stack: AsyncExitStack, url: str, shop: Shop, clock: MovableClock, folder: str) -> Stage:
    """The console's parts as ``console.engine`` makes them, over a played control plane."""
    live, frames = LiveGraph(clock=clock), Frames()
    live.inventory(shop.inventory())
    state = await stack.enter_async_context(StateDatabase(folder))
    deliveries, changelog = DeliveryLog(state), SqliteChangeLog(state)
    await deliveries.create()
    await changelog.create()
    alerts = AlertBook(state, rules=rules_of(()), endpoints=SETTINGS.webhooks.endpoints, page="http://127.0.0.1")
    await alerts.open()
    store = await stack.enter_async_context(SqliteConfig(":memory:", clock_ms=clock.now_ms))
    await store.commit(Change(put=shop_manifests(), author="demo", reason="open the shop"))
    data = Path(stack.enter_context(TemporaryDirectory()))
    control = FakeControl(shop, store, clock, data)
    registry: Any = SimpleNamespace(current=SimpleNamespace(instances=control.instances, revision=0))
    heard: dict[str, Any] = {"clock": clock, "registry": registry, "peers": lambda: Peers(shop.inventory())}
    others = await receivers(SETTINGS, DataDir(data), stack, live=live, **heard)
    console: Any = SimpleNamespace(
        settings=SETTINGS,
        clock=clock,
        live=live,
        store=store,
        registry=registry,
        control=control,
        sources=(_sidecars(clock.now_ms()),),
        traces=FakeTraces(SystemClock().now_ms()),
        snapshots=frames,
        histories=(FrameHistory(frames, live.frame),),
        alerts=alerts,
        deliveries=deliveries,
        wizards=Wizards(
            store,
            changelog,
            control.settle,
            facts=lambda *of: facts_of(shop.inventory(), live.snapshot(GraphType.VERSIONED_APP, 60), *of),
            clock_ms=clock.now_ms,
        ),
        otlp=SimpleNamespace(grpc_port=4317, http_port=4318, drops={}, state=SpansLike(spans=48213)),
        logs=others.logs,
        tap=others.tap,
        tap_switch=TapSwitch(store, **heard, linger_ms=0),
        receivers=others,
        following=Following(),
        clusters=SimpleNamespace(all=(), find=lambda _name: None),
        stream=Stream(live),
        supervised=(),
        wake_webhooks=lambda: None,
        demo=Demo(store, control),
        token="",
    )
    return Stage(url=url, shop=shop, console=console, ticker=_ticker(console))


def _ticker(console: Any) -> Ticker:
    return Ticker(
        live=console.live,
        stream=console.stream,
        alerts=console.alerts,
        snapshots=console.snapshots,
        control=console.control,
        clock=console.clock,
        settings=console.settings.graph,
        wake_webhooks=console.wake_webhooks,
    )


@dataclass
class PollLike:
    """As ``collectors.poll.PollState``."""

    source: str
    interval_s: float
    last_success_ms: int
    error: str = ""


def _sidecars(now_ms: int) -> Any:
    """As ``collectors.poll.MetricsPoll`` of the mesh's own proxies."""
    state = PollLike(source="admin sockets of 8 proxies", interval_s=1.0, last_success_ms=now_ms)
    return SimpleNamespace(state=state, source=SimpleNamespace(name="sidecars"))


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
