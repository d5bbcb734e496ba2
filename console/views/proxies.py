"""Proxies: how far each follows the config, what it does not serve and why, and where gateways listen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from console.views import links
from console.views.given import TYPES
from console.views.mentions import Piece, linked
from mesh_runtime.api.networking import Gateway
from mesh_runtime.api.networking.envoy_filter import EnvoyFilter
from mesh_runtime.api.objects import ROOT_NAMESPACE, Config, ConfigObject
from mesh_runtime.control import GatewayStatus, ProxyStatus

SHOWN = 200
"""Rows at most; the search finds the others."""


@dataclass(frozen=True, slots=True)
class Sync:
    """How far one type of resources is, and where they are shown."""

    name: str
    href: str
    word: str
    tone: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that a proxy refuses, does not have or does not serve."""

    tone: str
    head: str
    text: tuple[Piece, ...]
    suspects: tuple[Piece, ...] = ()
    """The objects that can have brought it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One proxy."""

    instance: str
    role: str
    word: str
    tone: str
    revision: int
    syncs: tuple[Sync, ...]
    troubles: tuple[Trouble, ...]

    @property
    def href(self) -> str:
        """Its page."""
        return links.proxy(self.instance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The proxies that fit the search: those with trouble first."""

    rows: tuple[Row, ...]
    hidden: int
    total: int
    revision: int
    text: str

    @property
    def troubled(self) -> tuple[Row, ...]:
        """Those that have something to say."""
        return tuple(row for row in self.rows if row.troubles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server of a Gateway, and where this gateway serves it."""

    port: str
    at: str
    """``""``: nowhere."""
    hosts: tuple[str, ...]
    security: str
    gateway: Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One proxy in full."""

    row: Row
    subtitle: str
    facts: tuple[tuple[str, str], ...]
    is_gateway: bool
    served: tuple[Served, ...]
    workload_href: str
    logs_href: str
    tap_href: str
    """Its workload's page, log lines and live requests."""
    now_ms: int


def rows(
    proxies: Sequence[ProxyStatus],
    labels: Mapping[str, Mapping[str, str]],
    config: Config,
    astray: Collection[str] = (),
) -> tuple[Row, ...]:
    """Every proxy; *labels* are those of the instances, by id, and *astray* those that do not follow."""
    return tuple(row(proxy, labels.get(proxy.instance_id, {}), config, astray) for proxy in proxies)


def row(proxy: ProxyStatus, labels: Mapping[str, str], config: Config, astray: Collection[str] = ()) -> Row:
    """Describe one proxy."""
    troubles = tuple(_troubles(proxy, labels, config))
    word, tone = _state(proxy, troubles, proxy.instance_id in astray)
    return Row(
        instance=proxy.instance_id,
        role=str(proxy.role),
        word=word,
        tone=tone,
        revision=proxy.revision_acked,
        syncs=tuple(_syncs(proxy, proxy.instance_id in astray)),
        troubles=troubles,
    )


@dataclass(frozen=True, slots=True)
class Complaint:
    """What one proxy says about an object."""

    instance: str
    trouble: Trouble


def complaints(found: Sequence[Row]) -> Mapping[str, tuple[Complaint, ...]]:
    """What proxies say about objects, by the address of the object's page."""
    said: defaultdict[str, list[Complaint]] = defaultdict(list)
    for one in found:
        for trouble in one.troubles:
            for href in {piece.href for piece in (*trouble.text, *trouble.suspects) if piece.href}:
                said[href].append(Complaint(one.instance, trouble))
    return {href: tuple(those) for href, those in said.items()}


def listing(found: Sequence[Row], revision: int, *, text: str = "") -> Listing:
    """Search by any words of instance, role and state."""
    words = text.lower().split()
    kept = [one for one in found if all(word in f"{one.instance} {one.role} {one.word}".lower() for word in words)]
    kept.sort(key=lambda one: (not one.troubles, one.instance))
    return Listing(
        rows=tuple(kept[:SHOWN]),
        hidden=max(0, len(kept) - SHOWN),
        total=len(found),
        revision=revision,
        text=text,
    )


def detail(
    proxy: ProxyStatus,
    labels: Mapping[str, str],
    config: Config,
    gateway: GatewayStatus | None,
    now_ms: int,
    *,
    astray: Collection[str] = (),
) -> Detail:
    """Describe one proxy; *gateway* says where it listens, if it is one."""
    return Detail(
        row=row(proxy, labels, config, astray),
        subtitle=f"{str(proxy.role).capitalize()} of {proxy.workload} in {proxy.namespace}",
        facts=(
            ("Node", proxy.node_id),
            ("Connected", "yes" if proxy.connected else "no"),
            ("Answered revision", str(proxy.revision_acked or "none yet")),
            ("Labels", "\n".join(f"{name}={value}" for name, value in sorted(labels.items())) or "none"),
        ),
        is_gateway=gateway is not None,
        served=tuple(_served(gateway, proxy.notes, labels, config)) if gateway else (),
        workload_href=links.workload(proxy.namespace, proxy.workload),
        logs_href=links.logs(namespace=proxy.namespace, workload=proxy.workload),
        tap_href=links.tap(source=f"{proxy.workload}.{proxy.namespace}"),
        now_ms=now_ms,
    )


def _state(proxy: ProxyStatus, troubles: Sequence[Trouble], is_astray: bool) -> tuple[str, str]:
    if not proxy.connected:
        return "Not connected", "error"
    if any(trouble.tone == "error" for trouble in troubles):
        return "Keeps older config", "error"
    if not proxy.in_sync:
        return ("Catching up", "warn") if is_astray else ("Syncing", "idle")
    return ("Partly served", "warn") if troubles else ("In sync", "ok")


def _syncs(proxy: ProxyStatus, is_astray: bool) -> Iterator[Sync]:
    for name, (title, kind) in TYPES.items():
        state = proxy.types.get(name)
        href = links.given(proxy.instance_id, kind)
        if state is None or not state.sent:
            yield Sync(title, href, "not sent", "idle", 0)
        elif state.rejected:
            yield Sync(title, href, "rejected", "error", state.at_ms)
        elif state.sent != state.acked:
            yield Sync(title, href, *(("stale", "warn") if is_astray else ("syncing", "idle")), state.at_ms)
        else:
            yield Sync(title, href, "synced", "ok", state.at_ms)


def _troubles(proxy: ProxyStatus, labels: Mapping[str, str], config: Config) -> Iterator[Trouble]:
    suspects = tuple(_filters(proxy, labels, config))
    for name, state in proxy.types.items():
        if state.rejected:
            head = f"Envoy rejected its {TYPES[name].title.lower()} and keeps what it had. "
            yield Trouble(tone="error", head=head, text=linked(state.rejected.strip(), config), suspects=suspects)
    if proxy.problem:
        head = "The control plane keeps it at the config it has. "
        yield Trouble(tone="error", head=head, text=linked(proxy.problem, config), suspects=suspects)
    for note in proxy.notes:
        yield Trouble(tone="warn", head="", text=linked(note, config))


def _filters(proxy: ProxyStatus, labels: Mapping[str, str], config: Config) -> Iterator[Piece]:
    """Name the EnvoyFilters of a proxy: what else is given to it has been checked before."""
    for item in config.of("EnvoyFilter"):
        spec = item.spec
        if not isinstance(spec, EnvoyFilter) or item.key.namespace not in {proxy.namespace, ROOT_NAMESPACE}:
            continue
        if spec.workload_selector is None or spec.workload_selector.labels.items() <= labels.items():
            yield Piece(f"EnvoyFilter {item.key.namespace}/{item.key.name}", links.config(item.key))


def _served(
    gateway: GatewayStatus, notes: Sequence[str], labels: Mapping[str, str], config: Config
) -> Iterator[Served]:
    for item in config.of("Gateway"):
        if isinstance(item.spec, Gateway) and item.spec.selector.items() <= labels.items():
            yield from _servers(gateway, notes, item, item.spec)


def _servers(gateway: GatewayStatus, notes: Sequence[str], item: ConfigObject, spec: Gateway) -> Iterator[Served]:
    for server in spec.servers:
        title = f"Gateway {item.key.namespace}/{item.key.name} port {server.port.number} ({server.port.name}) "
        refused = any(note.startswith(title) for note in notes)
        opened = 0 if refused else gateway.ports.get(server.port.number, 0)
        address = server.bind or gateway.address
        yield Served(
            port=f"{server.port.number} {server.port.protocol}",
            at=f"{address}:{opened}" if opened else "",
            hosts=tuple(server.hosts),
            security=str(server.tls.mode) if server.tls and server.tls.mode else "plain text",
            gateway=Piece(f"{item.key.namespace}/{item.key.name}", links.config(item.key)),
        )
