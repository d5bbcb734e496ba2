"""YAML from outside: read from the parser's events, so that neither nesting nor aliases can exhaust anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from mesh_runtime.api.objects import ConfigError, Problem
from mesh_runtime.api.plain import MAX_DEPTH, MAX_TEXT, MAX_VALUES
from mesh_runtime.api.problems import quoted

_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18}|0x[0-9a-fA-F]{1,16})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,20}\.[0-9]{0,40}(?:[eE][-+][0-9]{1,3})?")
_STR_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_MISSING = object()


def read(text: str) -> Iterator[tuple[int, Any]]:
    """Yield each document's number, from 1, and its value.

    Raises :class:`~mesh_runtime.api.objects.ConfigError` where the text is not YAML, too big, or uses what a manifest
    has no use for (tags, merge keys).
    """
    if len(text) > MAX_TEXT or len(text.encode(errors="replace")) > MAX_TEXT:
        raise _refused(f"is bigger than {MAX_TEXT // 1024} KiB", "apply it in parts")
    builder = _Builder()
    try:
        text.encode()
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if builder.take(event):
                yield builder.documents, builder.document
    except UnicodeEncodeError as error:
        raise _refused("is not valid Unicode") from error
    except yaml.YAMLError as error:
        raise _refused(_sentence(error), "correct the YAML") from error


def _sentence(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"is not YAML: {what}{where}"


def _refused(message: str, fix: str = "") -> ConfigError:
    return ConfigError(Problem("text", "", message, fix))


class _Builder:
    """Builds values from events, with a stack of its own and a budget."""

    def __init__(self) -> None:
        self.documents = 0
        self.document: Any = None
        self.budget = MAX_VALUES
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Any, int]] = {}

    def take(self, event: yaml.Event) -> bool:
        """Take one event; ``True``: a document is complete."""
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                self.document, self.anchors = None, {}
            case yaml.DocumentEndEvent():
                return True
            case yaml.ScalarEvent():
                self._spend(1, event)
                self._add(_scalar(event), event, 1)
            case yaml.AliasEvent():
                name = event.anchor or ""
                value, size = self.anchors.get(name, (_MISSING, 0))
                if value is _MISSING:
                    raise _refused(f"the alias *{name[:40]} has no anchor{_line(event)}")
                self._spend(size, event)
                self._add(value, event, size)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = self.stack.pop()
                self._add(closed.value, closed.start, closed.budget - self.budget)
        return False

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            raise _refused(f"the tag {event.tag[:80]} is not allowed{_line(event)}", "remove it")
        if len(self.stack) >= MAX_DEPTH:
            raise _refused(f"is nested more than {MAX_DEPTH} levels deep{_line(event)}", "flatten it")
        budget = self.budget
        self._spend(1, event)
        self.stack.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else [], event, budget))

    def _spend(self, size: int, event: yaml.Event) -> None:
        self.budget -= size
        if self.budget < 0:
            raise _refused(f"has more than {MAX_VALUES} values{_line(event)}", "apply it in parts")

    def _add(self, value: Any, event: yaml.Event, size: int) -> None:
        anchor = getattr(event, "anchor", None)
        if anchor and not isinstance(event, yaml.AliasEvent):
            self.anchors[anchor] = (value, size)
        if not self.stack:
            self.document = value
            return
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is _MISSING:
            top.key = _key(value, top.value, event)
        else:
            top.value[top.key] = value
            top.key = _MISSING


class _Open:
    """A collection whose end has not come yet."""

    def __init__(self, value: dict[str, Any] | list[Any], start: yaml.Event, budget: int) -> None:
        self.value = value
        self.start = start
        self.budget = budget
        self.key: Any = _MISSING


def _key(key: Any, mapping: dict[str, Any], event: yaml.Event) -> str:
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if not isinstance(key, str):
        raise _refused(f"a key is not text{_line(event)}", "put it in quotes")
    if key in mapping:
        raise _refused(f"the key {quoted(key)} is there twice{_line(event)}", "remove one")
    if key == "<<":
        raise _refused(f"merge keys (<<) are not supported{_line(event)}", "write the fields out")
    return key


def _scalar(event: yaml.ScalarEvent) -> Any:
    value: str = event.value
    if event.tag is not None and event.tag not in _STR_TAGS:
        raise _refused(f"the tag {event.tag[:80]} is not allowed{_line(event)}", "remove it")
    if event.tag is not None or not event.implicit[0]:
        return value
    if value in _NOTHING:
        return None
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    if _INTEGER.fullmatch(value):
        return int(value, 16 if "x" in value else 10)
    if _FLOAT.fullmatch(value):
        return float(value)
    return value


def _line(event: yaml.Event) -> str:
    return f", line {event.start_mark.line + 1}" if event.start_mark else ""
