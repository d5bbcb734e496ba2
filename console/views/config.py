"""Mesh config: objects by kind, one with its history, revisions with their differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collectors.kubernetes.objects import Declared
from console.views import links
from console.views.proxies import Complaint
from console.views.yaml import Line, compared, lines
from mesh_runtime.api import dump
from mesh_runtime.api.objects import Config, ConfigObject, ObjectKey
from mesh_runtime.store.port import Before, Revision

ICONS: Mapping[str, str] = {
    "AuthorizationPolicy": "shield-check",
    "ConfigMap": "scroll-text",
    "DestinationRule": "layers",
    "EnvoyFilter": "wrench",
    "Gateway": "door-open",
    "Namespace": "folder",
    "PeerAuthentication": "lock",
    "ProxyConfig": "sliders-horizontal",
    "RequestAuthentication": "user-check",
    "Secret": "key-round",
    "Service": "server",
    "ServiceAccount": "badge-check",
    "ServiceEntry": "globe",
    "Sidecar": "eye",
    "Telemetry": "activity",
    "VirtualService": "git-branch",
    "WorkloadEntry": "box",
    "WorkloadGroup": "boxes",
}
"""By kind."""
NO_CLUSTERS: Mapping[str, Iterable[Declared]] = {}
MOST_ROWS = 500
"""More would make the page slow, and nobody reads them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One object."""

    kind: str
    namespace: str
    name: str
    href: str
    revision: int
    """0: it was never written; agents lease it."""
    by: str
    at_ms: int
    complaints: tuple[Complaint, ...]
    cluster: str = ""
    """The Kubernetes cluster that it is in; empty: the bundled mesh."""

    @property
    def icon(self) -> str:
        """Its kind's."""
        return ICONS.get(self.kind, "file-code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The objects of a kind, or all."""

    kinds: tuple[tuple[str, int], ...]
    kind: str
    text: str
    rows: tuple[Row, ...]
    """At most :data:`MOST_ROWS`."""
    more: int
    """Further ones that match."""
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The last change of an object in a Kubernetes cluster."""

    cluster: str
    by: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One revision."""

    number: int
    at_ms: int
    author: str
    reason: str
    changed: tuple[str, ...]
    current: bool

    @property
    def href(self) -> str:
        """Its page."""
        return f"/config/history/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One object."""

    title: str
    subtitle: str
    yaml: tuple[Line, ...]
    text: str
    history: tuple[Entry, ...]
    leased: bool
    icon: str
    redacted: bool
    """Whether values are hidden."""
    complaints: tuple[Complaint, ...]
    written: Written | None = None
    """Of an object in a Kubernetes cluster, which has no history here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One object in a revision."""

    name: str
    href: str
    action: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionView:
    """One revision in detail, and what going back to it would mean."""

    entry: Entry
    differences: tuple[Difference, ...]
    back: tuple[Difference, ...]
    """From the config now to this revision's; empty: they are equal."""


def listing(
    config: Config,
    leased: Sequence[ConfigObject],
    history: Sequence[Revision],
    said: Mapping[str, tuple[Complaint, ...]],
    *,
    clusters: Mapping[str, Iterable[Declared]] = NO_CLUSTERS,
    kind: str = "",
    text: str = "",
) -> Listing:
    """Objects, filtered by kind and by words of their name; *said*: what proxies say about them, by address."""
    authors = {item.number: item for item in history}
    own = dict(config.objects) | {item.key: item for item in leased}
    every = [_row(key, config.changed_in.get(key, 0), authors, said.get(links.config(key), ())) for key in own]
    every += [_in_cluster(name, one) for name, objects in clusters.items() for one in objects if one.group]
    words = text.lower().split()
    found = [
        row
        for row in sorted(every, key=lambda row: (row.kind, row.namespace, row.name, row.cluster))
        if (not kind or row.kind == kind)
        and all(word in f"{row.kind} {row.namespace}/{row.name} {row.cluster}".lower() for word in words)
    ]
    return Listing(
        kinds=tuple(sorted(Counter(row.kind for row in every).items())),
        kind=kind,
        text=text,
        rows=tuple(found[:MOST_ROWS]),
        more=len(found[MOST_ROWS:]),
        total=len(every),
    )


def _in_cluster(cluster: str, one: Declared) -> Row:
    return Row(
        kind=one.kind,
        namespace=one.namespace,
        name=one.name,
        href=links.config(ObjectKey(one.group, one.kind, one.namespace, one.name), cluster),
        revision=0,
        by=one.changed_by,
        at_ms=one.changed_ms,
        complaints=(),
        cluster=cluster,
    )


def _row(key: ObjectKey, revision: int, authors: Mapping[int, Revision], complaints: tuple[Complaint, ...]) -> Row:
    written = authors.get(revision)
    return Row(
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        href=links.config(key),
        revision=revision,
        by=(written.author or "unknown") if written else "",
        at_ms=written.at_ms if written else 0,
        complaints=complaints,
    )


def entry(revision: Revision, current: int) -> Entry:
    """One line of the history."""
    return Entry(
        number=revision.number,
        at_ms=revision.at_ms,
        author=revision.author or "unknown",
        reason=revision.reason or "no reason given",
        changed=tuple(str(key) for key in revision.changed),
        current=revision.number == current,
    )


def detail(
    item: ConfigObject,
    history: Sequence[Revision],
    complaints: tuple[Complaint, ...],
    *,
    leased: bool,
    written: Written | None = None,
) -> Detail:
    """One object as it is now."""
    text = dump([item])
    where = f"{item.key.kind} in {item.key.namespace}" if item.key.namespace else item.key.kind
    newest = history[0].number if history else 0
    return Detail(
        title=item.key.name,
        subtitle=f"{where} · {item.api_version}",
        yaml=lines(text),
        text=text,
        history=tuple(entry(revision, newest) for revision in history),
        leased=leased,
        icon=ICONS.get(item.key.kind, "file-code"),
        redacted=item.key.kind == "Secret",
        complaints=complaints,
        written=written,
    )


def revision_view(revision: Revision, changes: Sequence[Before], then: Config, now: Config) -> RevisionView:
    """One revision, and what a rollback to it would change."""
    keys = sorted({*then.objects, *now.objects})
    back = [(key, now.objects.get(key), then.objects.get(key)) for key in keys]
    return RevisionView(
        entry=entry(revision, now.revision),
        differences=tuple(_difference(side.key, side.old, side.new) for side in changes),
        back=tuple(_difference(key, old, new) for key, old, new in back if _manifest(old) != _manifest(new)),
    )


def _manifest(item: ConfigObject | None) -> object:
    return item.manifest if item else None


def _difference(key: ObjectKey, old: ConfigObject | None, new: ConfigObject | None) -> Difference:
    action = "created" if old is None else "deleted" if new is None else "changed"
    return Difference(
        name=str(key),
        href=links.config(key) if new is not None else "",
        action=action,
        lines=compared(dump([old]) if old else "", dump([new]) if new else ""),
    )
