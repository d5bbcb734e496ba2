"""What a line of text says of itself: when, how bad, in which trace. Pure.

Programs write as they like: JSON, logfmt, the habits of a language. What is not recognised is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

TEXT_CHARS = 16 * 1024
"""Longer lines are cut."""
LOOKED_AT = 400
"""Characters at the beginning in which time and level are looked for."""
FUTURE_NS = 300 * 10**9
"""A line that claims to be of later than this from now has a wrong clock."""

LEVELS: Mapping[str, str] = {
    "trace": "trace",
    "verbose": "trace",
    "debug": "debug",
    "dbg": "debug",
    "info": "info",
    "information": "info",
    "informational": "info",
    "notice": "info",
    "warn": "warn",
    "warning": "warn",
    "wrn": "warn",
    "error": "error",
    "err": "error",
    "severe": "error",
    "fatal": "fatal",
    "critical": "fatal",
    "crit": "fatal",
    "alert": "fatal",
    "emerg": "fatal",
    "emergency": "fatal",
    "panic": "fatal",
    "dpanic": "fatal",
}
PINO = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
"""Numbers that Bunyan and Pino write for levels; Python's are the same from 10 to 50."""
KLOG = {"I": "info", "W": "warn", "E": "error", "F": "fatal"}

LEVEL_KEYS = ("level", "severity", "lvl", "log.level", "levelname", "severity_text", "loglevel")
TIME_KEYS = ("time", "ts", "timestamp", "@timestamp", "t", "asctime", "start_time")
TRACE_KEYS = ("trace_id", "traceId", "traceid", "traceID", "trace.id", "otelTraceID", "dd.trace_id", "trace")
SPAN_KEYS = ("span_id", "spanId", "spanid", "spanID", "span.id", "otelSpanID", "dd.span_id", "span")

WORD = re.compile(
    r"(?:^|[\s\[(<|\"'])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|FATAL|CRITICAL|PANIC"
    r"|trace|debug|info|warn|warning|error|fatal|critical)(?=[\s\])>|:,\"']|$)"
)
KEYED = re.compile(r"\b(?:level|lvl|severity)=\"?([A-Za-z]+)")
TRACE = re.compile(
    r"(?i)\b(?:otel)?trace[_.\- ]?id\"?\s*[=:]\s*\"?([0-9a-f]{32}|[0-9a-f]{16})\b|\b00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\b"
)
SPAN = re.compile(r"(?i)\b(?:otel)?span[_.\- ]?id\"?\s*[=:]\s*\"?([0-9a-f]{16})\b|\b00-[0-9a-f]{32}-([0-9a-f]{16})-")
INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
KLOG_HEAD = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ ", re.ASCII)
ENVOY_HEAD = re.compile(r"\[[^\]]+\]\[\d+\]\[([a-z]+)\]", re.ASCII)
CONTINUED = re.compile(
    r"\s|Traceback \(most recent call last\)|Caused by: |goroutine \d|[\w.]+(?:Error|Exception)(?::|$)"
)


class Read(NamedTuple):
    """What a line says."""

    at_ns: int
    level: str = ""
    trace_id: str = ""
    span_id: str = ""


def read(text: str, now_ns: int, before: Read | None = None) -> Read:
    """Read a line that was found at *now_ns*.

    A line that continues the one *before* (a stack trace) is of its time, level and trace.
    """
    if before is not None and CONTINUED.match(text):
        return before
    fields = _json(text) if text.startswith("{") else None
    told = _of_json(fields, now_ns) if fields is not None else _of_text(text, now_ns)
    return told if told.at_ns <= now_ns + FUTURE_NS else told._replace(at_ns=now_ns)


def level_of(word: str) -> str:
    """Translate a program's word for a level; ``""``: it is none."""
    return LEVELS.get(word.lower(), "")


def trace_id_of(text: str) -> str:
    """Return 32 hexadecimal digits of a valid trace id, of which the shorter form is filled up; else ``""``."""
    found = text.strip().lower()
    if len(found) not in {16, 32} or not _HEX.fullmatch(found) or not found.strip("0"):
        return ""
    return found.zfill(32)


_HEX = re.compile(r"[0-9a-f]+")


def _json(text: str) -> Mapping[str, Any] | None:
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _of_json(fields: Mapping[str, Any], now_ns: int) -> Read:
    trace = next((found for key in TRACE_KEYS if (found := trace_id_of(str(fields.get(key, ""))))), "")
    span = next((str(fields[key]).lower() for key in SPAN_KEYS if _is_span(fields.get(key))), "")
    if not trace and (match := TRACE.search(str(fields.get("traceparent", "")))):
        trace = match[2]
    return Read(
        _time(next((fields[key] for key in TIME_KEYS if key in fields), None), now_ns), _level(fields), trace, span
    )


def _level(fields: Mapping[str, Any]) -> str:
    said = next((fields[key] for key in LEVEL_KEYS if key in fields), "")
    if isinstance(said, int):
        return PINO.get(said, "")
    code = fields.get("response_code")
    return level_of(str(said)) or (status_level(str(code)) if code is not None else "")


def status_level(code: str) -> str:
    """Return the level of an access log's line by the response code: none at all is an error, too."""
    if code in {"0", "-"} or code.startswith("5"):
        return "error"
    return "warn" if code.startswith("4") else "info"


def _of_text(text: str, now_ns: int) -> Read:
    head = text[:LOOKED_AT]
    trace, span = TRACE.search(text), SPAN.search(text)
    return Read(
        _written(head, now_ns),
        _text_level(head),
        trace_id_of(trace[1] or trace[2]) if trace else "",
        (span[1] or span[2]).lower() if span else "",
    )


def _text_level(head: str) -> str:
    if match := KLOG_HEAD.match(head):
        return KLOG[match[1]]
    for pattern in (ENVOY_HEAD, KEYED, WORD):
        match = pattern.match(head) if pattern is ENVOY_HEAD else pattern.search(head)
        if match and (level := level_of(match[1])):
            return level
    return ""


def _written(head: str, now_ns: int) -> int:
    match = INSTANT.search(head[:80])
    if match is None:
        return now_ns
    date, clock, fraction, zone = match.groups()
    try:
        at = datetime.fromisoformat(f"{date}T{clock}{(zone or '').replace('Z', '+00:00')}")
    except ValueError:
        return now_ns
    # Without a zone it is the machine's own, as most libraries write it.
    return int(at.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0"))


def _time(said: object, now_ns: int) -> int:
    if isinstance(said, str):
        return _written(said, now_ns)
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < LARGEST:
        # Seconds, milliseconds, microseconds or nanoseconds: only one of them is an instant of these decades.
        for scale in (10**9, 10**6, 10**3, 1):
            at_ns = int(said * scale)
            if _EARLIEST_NS < at_ns < _LATEST_NS:
                return at_ns
    return now_ns


LARGEST = 2.0**63
_EARLIEST_NS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 10**9
_LATEST_NS = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 10**9


def _is_span(value: object) -> bool:
    return isinstance(value, str) and len(value) == 16 and _HEX.fullmatch(value.lower()) is not None
