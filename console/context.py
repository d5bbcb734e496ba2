"""What pages, API handlers and commands get to see of a running server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from console.following import Following

if TYPE_CHECKING:
    from collectors.als.tap import Tap
    from collectors.otlp.receiver import OtlpReceiver
    from collectors.poll import MetricsPoll
    from console.alerts import AlertBook
    from console.clusters import Clusters
    from console.faults import DemoControl
    from console.federation.service import Federation
    from console.receivers import Receivers
    from console.services import Restarting
    from console.settings import Settings
    from console.state.deliveries import DeliveryLog
    from console.tapping.switch import TapSwitch
    from console.web.stream import Stream
    from graph.course import Course
    from graph.health import Direction
    from graph.live import LiveGraph
    from graph.ports import Clock, GraphHistory, LogStore, SnapshotStore, TraceStore
    from mesh_runtime.control import ControlPlane
    from mesh_runtime.registry import RegistryReader
    from mesh_runtime.store.port import ConfigStore
    from wizards.apply import Wizards


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Everything that faces outward reads from here and ``await``-s its actions."""

    settings: Settings
    clock: Clock
    token: str = ""
    """What visitors must present; empty where nobody is asked."""

    # the bundled mesh
    store: ConfigStore
    registry: RegistryReader
    control: ControlPlane
    following: Following = field(default_factory=Following)
    """Which proxies do not follow the config, by how long they have not."""
    wizards: Wizards
    demo: DemoControl | None = None

    # the graph, and who remembers it
    live: LiveGraph
    clusters: Clusters
    """Kubernetes clusters that are shown beside the bundled mesh."""
    traces: TraceStore
    snapshots: SnapshotStore
    histories: Sequence[GraphHistory] = ()
    """Who else remembers the graph, in the order in which they are asked, after memory and the frames on disk."""
    courses: OrderedDict[Hashable, Mapping[Direction, Course]] = field(default_factory=OrderedDict)
    """What the histories told lately of how traffic went (:mod:`console.courses`)."""

    # what observes
    sources: Sequence[MetricsPoll]
    """What metrics are read from; the first is the bundled mesh's own proxies."""
    otlp: OtlpReceiver
    receivers: Receivers
    """What else takes telemetry in."""
    logs: LogStore
    tap: Tap
    tap_switch: TapSwitch
    """Has proxies tell of their requests while somebody watches."""

    # who is told
    alerts: AlertBook
    deliveries: DeliveryLog
    wake_webhooks: Callable[[], None] = lambda: None
    """Tells the sender that something is due."""
    stream: Stream
    federation: Federation
    """What other Prometheus servers collect from us."""

    supervised: Sequence[Restarting] = ()
    """Services that are started again when they fail."""
