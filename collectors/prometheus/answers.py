"""Answers of the query API, in the forms of Prometheus, Thanos, Mimir and VictoriaMetrics. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson

MOST_WARNINGS = 5
RESULT = b'"result":['


class GarbageError(ValueError):
    """What came is no answer of this API."""


SERIES = b'{"metric":'
"""How each series of an answer begins, where JSON is written without blanks. A string cannot hold it: quotes in
strings are escaped."""
VALUES = b'},"values":'
"""What stands between its labels and its samples."""
END = b"]]"
"""How its samples end: they are pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a query brought."""

    type: str
    """``vector``, ``matrix``, ``scalar`` or ``string``."""
    result: list[Any]
    """As in the API: series with ``metric`` and ``value`` or ``values``; a scalar's instant and value.

    Of :func:`read_samples` at most one ``bytes``: all series, unread, as JSON without blanks, commas in between; some may
    have native histograms.
    """
    warnings: tuple[str, ...] = ()
    """What the server says of the answer; not empty where it is incomplete."""
    partial: bool = False
    """Some of the data is missing, because a store that has it did not answer."""


def read_answer(body: bytes) -> Answer:
    """Read a successful answer.

    Thanos says that an answer is partial in ``warnings``, VictoriaMetrics' cluster in ``isPartial``; an answer of
    Prometheus with warnings lacks what a remote storage did not send.
    """
    envelope = _envelope(body)
    data = envelope.get("data")
    if envelope.get("status") != "success" or not isinstance(data, dict) or not isinstance(data.get("result"), list):
        raise GarbageError("there is no data in it")
    said = envelope.get("warnings") or ()
    warnings = tuple(str(one)[:300] for one in said[:MOST_WARNINGS]) if isinstance(said, list) else ()
    missing = bool(envelope.get("isPartial"))
    if missing and not warnings:
        warnings = ("some storage nodes did not answer",)
    return Answer(
        type=str(data.get("resultType")),
        result=data["result"],
        warnings=warnings,
        partial=missing or any(_lacks_data(one) for one in warnings),
    )


def read_samples(body: bytes) -> Answer:
    """Read an answer with raw samples, and leave its series unread.

    Labels are nine tenths of it, and nearly always those of the last answer: who keeps them as bytes has only to
    compare.
    """
    begin = body.find(RESULT) + len(RESULT)
    last = body.rfind(SERIES)
    samples = body.rfind(VALUES, last)
    end = body.find(END, samples) + len(END)
    if len(RESULT) <= begin <= last < samples < end and body.startswith(SERIES, begin) and body.startswith(b"}", end):
        # Warnings stand behind and may hold anything.
        return replace(read_answer(body[:begin] + body[end + 1 :]), result=[body[begin : end + 1]])
    answer = read_answer(body)
    samples_only = compact(answer.result)
    return replace(answer, result=[samples_only] if samples_only else [])


def compact(result: list[Any]) -> bytes:
    """Write series as Prometheus does, whoever wrote them, and leave native histograms out."""
    try:
        series = [
            orjson.dumps({"metric": one["metric"], "values": one["values"]}) for one in result if one.get("values")
        ]
    except (KeyError, TypeError, AttributeError):
        raise GarbageError("its series are none") from None
    return b",".join(series)


def read_list(body: bytes) -> list[Any]:
    """Read an answer that is a list: series, label values."""
    envelope = _envelope(body)
    if envelope.get("status") != "success" or not isinstance(envelope.get("data"), list):
        raise GarbageError("there is no list in it")
    return list(envelope["data"])


def read_configuration(body: bytes) -> str:
    """Read the answer that holds the server's configuration."""
    data = _envelope(body).get("data")
    if not isinstance(data, dict) or not isinstance(data.get("yaml"), str):
        raise GarbageError("there is no configuration in it")
    return str(data["yaml"])


def read_error(body: bytes) -> str:
    """Read what an error answer says: JSON of any of them, or Mimir's and proxies' plain text; ``""`` for a page."""
    try:
        envelope = _envelope(body)
    except GarbageError:
        text = body[:300].decode(errors="replace").strip()
        return "" if "<" in text else " ".join(text.split())
    return str(envelope.get("error") or envelope.get("message") or "")[:300]


def _envelope(body: bytes) -> dict[str, Any]:
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise GarbageError("it is no JSON") from None
    if not isinstance(envelope, dict):
        raise GarbageError("it is no JSON object")
    return envelope


def _lacks_data(warning: str) -> bool:
    # Prometheus puts remarks on a query's sense ("PromQL info", "PromQL warning") beside what went wrong.
    return not warning.startswith("PromQL")
