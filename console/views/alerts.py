"""Alerts: what fires, the rules, what was delivered, and the demo's faults and inbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from console.alerts import Noted
from console.state.deliveries import Delivery, State
from console.views import format as fmt
from console.views import links
from graph.alerts import Alert, Rule, RuleKind

FAULTS: tuple[tuple[str, str, str], ...] = (
    ("off", "Off", "Everything works"),
    ("slow", "Slow v2", "Version 2 of the catalog takes about a second"),
    ("failing", "Failing v2", "Version 2 of the catalog answers with errors"),
)
STATES: Mapping[State, tuple[str, str]] = {
    State.PENDING: ("warn", "Pending"),
    State.DELIVERED: ("ok", "Delivered"),
    State.FAILED: ("error", "Failed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One alert, as it is or as it was."""

    rule: str
    summary: str
    severity: str
    state: str
    tone: str
    at_ms: int
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One rule in words."""

    name: str
    condition: str
    scope: str
    severity: str
    firing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One delivery."""

    number: int
    endpoint: str
    type: str
    tone: str
    state: str
    attempts: int
    text: str
    at_ms: int
    replay: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message in the demo's inbox."""

    id: str
    text: str
    status: str
    at_ms: int
    copies: int
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """The page."""

    now_ms: int
    firing: tuple[Row, ...]
    pending: tuple[Row, ...]
    past: tuple[Row, ...]
    rules: tuple[RuleRow, ...]
    deliveries: tuple[DeliveryRow, ...]
    endpoints: tuple[tuple[str, str, str], ...]
    """Name, URL and, where it is disabled, why."""


def row(alert: Alert, state: str, tone: str, at_ms: int, *, is_past: bool = False) -> Row:
    """One alert, as it is or as it was."""
    return Row(
        rule=alert.rule,
        summary=alert.summary,
        severity=alert.severity,
        state=state.capitalize(),
        tone=tone,
        at_ms=at_ms,
        href=subject(alert, at_ms if is_past else 0),
    )


def subject(alert: Alert, at_ms: int = 0) -> str:
    """Where what an alert is about is shown: now, or in the graph of an earlier moment."""
    match alert.kind:
        case RuleKind.CERTIFICATE_EXPIRY:
            return f"/certificates?{urlencode({'q': alert.subject})}"
        case RuleKind.CONFIG_REJECTED:
            return f"/proxies?{urlencode({'q': alert.subject})}"
    return links.graph(alert.subject, **({"at": str(at_ms)} if at_ms else {}))


def past(events: Sequence[Noted]) -> tuple[Row, ...]:
    """What began and ended, newest first."""
    return tuple(
        row(event.alert, event.status, "ok" if event.status == "resolved" else "error", event.at_ms, is_past=True)
        for event in events
    )


def rule(item: Rule, firing: Sequence[Alert]) -> RuleRow:
    """One rule in words."""
    scope = " / ".join(filter(None, (item.namespace, item.app))) or "all of the mesh"
    held = f" for {fmt.duration(item.for_s)}" if item.for_s else ""
    return RuleRow(
        name=item.name,
        condition=_condition(item) + held,
        scope=scope,
        severity=item.severity,
        firing=sum(alert.rule == item.name for alert in firing),
    )


def _condition(item: Rule) -> str:
    match item.kind:
        case RuleKind.ERROR_RATIO:
            return f"more than {100 * item.threshold:g} % of an edge's requests fail"
        case RuleKind.P99:
            return f"an edge's p99 is above {fmt.milliseconds(item.threshold)}"
        case RuleKind.TRAFFIC_GONE:
            return "an edge that had traffic has none"
        case RuleKind.MTLS_LOST:
            return "traffic between workloads is not over mutual TLS"
        case RuleKind.CERTIFICATE_EXPIRY:
            return f"a certificate expires within {fmt.duration(item.threshold)}"
        case RuleKind.CONFIG_REJECTED:
            return "a proxy rejects its config"
        case RuleKind.FIND:
            return f"there is anything that matches {item.find}"


def delivery(item: Delivery) -> DeliveryRow:
    """One line of the delivery log."""
    tone, word = STATES[item.state]
    return DeliveryRow(
        number=item.number,
        endpoint=item.message.endpoint,
        type=item.message.type,
        tone=tone,
        state=word,
        attempts=item.attempts,
        text=item.last,
        at_ms=item.created_ms,
        replay=item.state is not State.PENDING,
    )


def letters(messages: Sequence[Mapping[str, Any]]) -> tuple[Letter, ...]:
    """What the demo's inbox received."""
    return tuple(_letter(message) for message in messages)


def _letter(message: Mapping[str, Any]) -> Letter:
    body = message.get("body") or {}
    data = body.get("data") or {}
    return Letter(
        id=str(message.get("id", "")),
        text=str(data.get("summary") or data.get("rule") or body.get("type", "")),
        status=str(body.get("type", "")).removeprefix("alert."),
        at_ms=int(message.get("receivedAt", 0)),
        copies=int(message.get("deliveries", 1)),
        verified=bool(message.get("verified")),
    )
