"""YAML in and out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from mesh_runtime.api.manifest import parse
from mesh_runtime.api.objects import ConfigError, ConfigObject, ObjectKey, Problem
from mesh_runtime.api.problems import describe
from mesh_runtime.api.redaction import shown
from mesh_runtime.api.yaml_reader import read


def load(text: str, *, default_namespace: str = "default") -> tuple[ConfigObject, ...]:
    """Read all documents of a text; ``kind: List`` counts as its items.

    Raises :class:`~mesh_runtime.api.objects.ConfigError` with every problem of every document; no other exception,
    whatever the text is.
    """
    objects: dict[ObjectKey, ConfigObject] = {}
    problems: list[Problem] = []
    for where, manifest in _manifests(read(text)):
        try:
            item = parse(manifest, default_namespace=default_namespace, where=where)
        except ConfigError as error:
            problems += error.problems
            continue
        if item.key in objects:
            problems.append(Problem(str(item.key), "", f"is there twice, the second time as {where}", "remove one"))
        objects[item.key] = item
    if problems:
        raise ConfigError(*problems[:200])
    return tuple(objects.values())


def dump(objects: Iterable[ConfigObject]) -> str:
    """Write objects as canonical YAML, one document each, in the given order; the values of Secrets are redacted."""
    return "---\n".join(
        yaml.dump(
            shown(item), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=2**16
        )
        for item in objects
    )


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _manifests(documents: Iterable[tuple[int, Any]]) -> Iterator[tuple[str, Any]]:
    for number, document in documents:
        where = f"document {number}"
        if document is None:
            continue
        if not isinstance(document, dict) or not str(document.get("kind")).endswith("List"):
            yield where, document
            continue
        items = document.get("items")
        if not isinstance(items, list):
            raise ConfigError(Problem(where, "items", f"must be a list, not {describe(items)}"))
        for index, item in enumerate(items):
            yield f"{where} items[{index}]", item
