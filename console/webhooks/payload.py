"""What an alert looks like on its way out. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from console.clock import rfc3339
from console.settings import Endpoint
from console.state.deliveries import Message
from graph.alerts import Alert, Event

NEVER = "0001-01-01T00:00:00Z"
"""Alertmanager's zero time: not ended yet."""


def event_id(event: Event) -> str:
    """Name an event: the same in every process, without the dot that the standard forbids."""
    at_ms = event.alert.resolved_ms or event.alert.fired_ms
    return f"alert-{event.alert.fingerprint}-{at_ms}-{event.status}"


def messages(event: Event, endpoints: tuple[Endpoint, ...], page: str) -> tuple[Message, ...]:
    """Write an event for every endpoint that wants it. *page* is the console's URL."""
    kind = f"alert.{event.status}"
    return tuple(
        Message(
            id=event_id(event),
            endpoint=endpoint.name,
            subject=event.alert.fingerprint,
            type=kind,
            body=orjson.dumps(
                standard(event, page) if endpoint.format == "standard" else alertmanager(event, endpoint.name, page)
            ),
        )
        for endpoint in endpoints
        if not endpoint.events or kind in endpoint.events
    )


def standard(event: Event, page: str) -> dict[str, Any]:
    """Write the body of Standard Webhooks: type, timestamp, data."""
    alert = event.alert
    return {
        "type": f"alert.{event.status}",
        "timestamp": rfc3339(alert.resolved_ms or alert.fired_ms),
        "data": {
            "status": event.status,
            "fingerprint": alert.fingerprint,
            "rule": alert.rule,
            "kind": alert.kind,
            "severity": alert.severity,
            "subject": alert.subject,
            "namespace": alert.namespace,
            "summary": alert.summary,
            "value": alert.value,
            "threshold": alert.threshold,
            "since": rfc3339(alert.since_ms),
            "firedAt": rfc3339(alert.fired_ms),
            "resolvedAt": rfc3339(alert.resolved_ms) if alert.resolved_ms else None,
            "url": _link(alert, page),
        },
    }


def alertmanager(event: Event, receiver: str, page: str) -> dict[str, Any]:
    """Alertmanager's payload, version 4, with one alert."""
    alert = event.alert
    group = {"alertname": alert.rule}
    labels = group | {
        "severity": alert.severity,
        "namespace": alert.namespace,
        "kind": str(alert.kind),
        "subject": alert.subject,
    }
    annotations = {"summary": alert.summary}
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{alert.rule}"}}',
        "truncatedAlerts": 0,
        "status": event.status,
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": page,
        "alerts": [
            {
                "status": event.status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": rfc3339(alert.fired_ms),
                "endsAt": rfc3339(alert.resolved_ms) if alert.resolved_ms else NEVER,
                "generatorURL": _link(alert, page),
                "fingerprint": alert.fingerprint,
            }
        ],
    }


def _link(alert: Alert, page: str) -> str:
    return f"{page.rstrip('/')}/alerts?alert={quote(alert.fingerprint)}"
