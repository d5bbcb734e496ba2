"""What the API answers about alerts and their deliveries."""

from __future__ import annotations

from typing import Literal

from console.state.deliveries import State
from console.web.answers.shape import Answer, Plain
from graph.alerts import Rule, RuleKind


class Alert(Answer):
    """One rule about one subject; times are empty while they have not come."""

    fingerprint: str
    rule: str
    kind: RuleKind
    subject: str
    namespace: str
    severity: str
    summary: str
    value: float
    threshold: float
    since: str
    fired: str
    resolved: str


class AlertEvent(Answer):
    """An alert began or ended."""

    id: int | str
    at: str
    status: str
    alert: Alert


class Alerts(Answer):
    """What fires, what is about to, and what began and ended."""

    firing: list[Alert]
    pending: list[Alert]
    events: list[AlertEvent]


class Rules(Plain):
    """The rules."""

    items: list[Rule]


class Delivery(Answer):
    """One message to one endpoint."""

    number: int
    id: str
    endpoint: str
    type: str
    state: State
    attempts: int
    created: str
    next: str
    finished: str
    last: str


class Attempt(Answer):
    """One attempt to deliver."""

    at: str
    took_ms: int
    status: int
    problem: str


class DeliveryWhole(Delivery):
    """A delivery with what was sent, and every attempt."""

    body: str
    attempt_log: list[Attempt]


class Deliveries(Answer):
    """Deliveries, newest first; endpoints that are delivered to no more, with the reason; how many are in which state."""

    items: list[Delivery]
    disabled: dict[str, str]
    counts: dict[str, int]


class Replayed(Answer):
    """A delivery that will be made again."""

    number: int
    state: Literal["pending"]
