"""Two moments of the graph side by side: what became worse first."""

from __future__ import annotations

from dataclasses import dataclass

from console.views import format as fmt
from console.views.peers import edge_name
from graph.compare import Change, Comparison, Verdict
from graph.model import Signals

WORDS = {
    Verdict.FAILING: ("Fails more", "error"),
    Verdict.SLOWER: ("Slower", "warn"),
    Verdict.GONE: ("Gone", "idle"),
    Verdict.ADDED: ("New", "ok"),
    Verdict.LESS_TRAFFIC: ("Less traffic", "idle"),
    Verdict.MORE_TRAFFIC: ("More traffic", "idle"),
    Verdict.RECOVERED: ("Fails less", "ok"),
    Verdict.FASTER: ("Faster", "ok"),
}
SHOWN = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One number in both moments."""

    name: str
    before: str
    after: str
    tone: str
    """``error`` or ``ok`` where the difference is certain, else empty."""


@dataclass(frozen=True, slots=True)
class Line:
    """One change in the list."""

    id: str
    name: str
    word: str
    tone: str
    detail: str


@dataclass(frozen=True, slots=True)
class Changed:
    """One edge or node in both moments."""

    name: str
    verdicts: tuple[tuple[str, str], ...]
    """Word and tone."""
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """All changes, the most pressing first."""

    before: str
    after: str
    lines: tuple[Line, ...]
    more: int
    """Changes beyond those that are listed."""
    rest: str


def overview(found: Comparison) -> Overview:
    """List the changes of edges."""
    rest = f"{fmt.plural(found.same, 'edge')} as before"
    if found.undecided:
        rest += f", {found.undecided} with too few requests to tell"
    return Overview(
        before=_moment(found.before.at_ms, found.before.window_s),
        after=_moment(found.after.at_ms, found.after.window_s),
        lines=tuple(_line(change) for change in found.edges[:SHOWN]),
        more=max(0, len(found.edges) - SHOWN),
        rest=rest,
    )


def change_of(found: Comparison, id_: str) -> Changed | None:
    """Describe one edge or node, changed or not; ``None``: it is in neither moment."""
    change = next((one for one in (*found.edges, *found.nodes) if one.id == id_), None)
    if change:
        return Changed(change.label, tuple(WORDS[one] for one in change.verdicts), rows(change.before, change.after))
    for old, new in ((found.before.edges, found.after.edges), (found.before.nodes, found.after.nodes)):
        if id_ in old or id_ in new:
            before, after = (_signals(items.get(id_)) for items in (old, new))
            return Changed(_label(found, id_), (), rows(before, after))
    return None


def rows(before: Signals | None, after: Signals | None) -> tuple[Row, ...]:
    """Put the numbers of two windows side by side."""
    both = (before, after)
    tcp = any(one and (one.sent_bps or one.received_bps) and not one.requests for one in both)
    if tcp:
        return (
            _row("Sent", [fmt.throughput(one.sent_bps) if one else fmt.NONE for one in both]),
            _row("Received", [fmt.throughput(one.received_bps) if one else fmt.NONE for one in both]),
        )
    return (
        _row("Requests", [f"{fmt.rate(one.rate)} rps" if one else fmt.NONE for one in both]),
        _row(
            "Failed", [fmt.percent(one.error_ratio) if one else fmt.NONE for one in both], _rising(both, "error_ratio")
        ),
        *(
            _row(
                f"Latency {quantile}",
                [fmt.milliseconds(getattr(one, f"{quantile}_ms")) if one else fmt.NONE for one in both],
                _rising(both, f"{quantile}_ms"),
            )
            for quantile in ("p50", "p95", "p99")
        ),
    )


def _line(change: Change) -> Line:
    verdict = change.verdicts[0]
    word, tone = WORDS[verdict]
    return Line(id=change.id, name=change.label, word=word, tone=tone, detail=_detail(verdict, change))


def _detail(verdict: Verdict, change: Change) -> str:
    before, after = change.before, change.after
    if before is None or after is None or verdict in {Verdict.ADDED, Verdict.GONE}:
        some = after if verdict is Verdict.ADDED else before
        return f"{fmt.rate(some.rate)} rps" if some and some.requests else ""
    if verdict in {Verdict.FAILING, Verdict.RECOVERED}:
        return f"{fmt.percent(before.error_ratio)} → {fmt.percent(after.error_ratio)}"
    if verdict in {Verdict.SLOWER, Verdict.FASTER}:
        return f"p95 {fmt.milliseconds(before.p95_ms)} → {fmt.milliseconds(after.p95_ms)}"
    if after.requests or before.requests:
        return f"{fmt.rate(before.rate)} → {fmt.rate(after.rate)} rps"
    return f"{fmt.throughput(before.sent_bps)} → {fmt.throughput(after.sent_bps)}"


def _row(name: str, values: list[str], tone: str = "") -> Row:
    return Row(name, values[0], values[1], tone if values[0] != values[1] else "")


def _rising(both: tuple[Signals | None, Signals | None], name: str) -> str:
    before, after = (getattr(one, name, None) for one in both)
    if before is None or after is None or before == after:
        return ""
    return "error" if after > before else "ok"


def _signals(item: object) -> Signals | None:
    return getattr(item, "signals", None) or getattr(item, "inbound", None) or getattr(item, "outbound", None)


def _label(found: Comparison, id_: str) -> str:
    for snapshot in (found.after, found.before):
        if id_ in snapshot.nodes:
            return snapshot.nodes[id_].title
        if id_ in snapshot.edges:
            return edge_name(snapshot, snapshot.edges[id_])
    return id_


def _moment(at_ms: int, window_s: int) -> str:
    return f"{fmt.window(window_s)} to {fmt.moment(at_ms)}"
