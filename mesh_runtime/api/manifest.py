"""From one manifest to one object, valid and in canonical form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from pydantic import BaseModel, ValidationError

from mesh_runtime.api.kinds import KINDS, Kind, find_kind, why_not
from mesh_runtime.api.objects import ConfigError, ConfigObject, ObjectKey, Problem
from mesh_runtime.api.plain import plain
from mesh_runtime.api.problems import MAX_PROBLEMS, describe, nearest, path, problems
from mesh_runtime.api.spec import Spec
from mesh_runtime.api.values import dns_label, dns_name, label_key, label_value, service_name

_SERVER_METADATA = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
_SERVER_ANNOTATIONS = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
_SERVER_LABELS = {"Namespace": frozenset({"kubernetes.io/metadata.name"})}
_IGNORED = {"ServiceAccount": frozenset({"secrets", "imagePullSecrets", "automountServiceAccountToken"})}
_HEAD = frozenset({"apiVersion", "kind", "metadata"})
_LOWER = "use lower-case letters, digits and '-'"


def parse(manifest: Mapping[str, Any], *, default_namespace: str = "default", where: str = "") -> ConfigObject:
    """Read one manifest.

    Raises :class:`~mesh_runtime.api.objects.ConfigError` with every problem found; no other exception, whatever
    the manifest is. *where* names the manifest (``document 2``) until it names itself.
    """
    name = where or "manifest"
    data = plain(manifest, name)
    if not isinstance(data, dict):
        raise ConfigError(Problem(name, "", f"must be a mapping with apiVersion and kind, not {describe(data)}"))
    kind = _kind(data, name)
    key, title = _key(data, kind, default_namespace)
    found = list(islice(chain(_envelope(data, kind, title), _metadata(data, kind, title)), MAX_PROBLEMS))
    spec: Spec | None = None
    try:
        spec = kind.spec_model.model_validate(_body(data, kind))
    except ValidationError as error:
        found += problems(title, kind.spec_model, error, () if kind.flat else ("spec",))
    if found or spec is None:
        raise ConfigError(*found)
    return _object(key, kind, data["metadata"], spec)


def _body(data: dict[str, Any], kind: Kind) -> Any:
    if kind.flat:
        return {name: value for name, value in data.items() if name not in _HEAD}
    return {} if data.get("spec") is None else data["spec"]


def _kind(data: dict[str, Any], name: str) -> Kind:
    wanted = data.get("kind")
    if not isinstance(wanted, str) or not wanted:
        raise ConfigError(Problem(name, "kind", "is required" if wanted is None else "must be text", "add it"))
    group = str(data.get("apiVersion")).rpartition("/")[0]
    if elsewhere := why_not(group, wanted):
        raise ConfigError(Problem(name, "kind", *elsewhere))
    kind = KINDS.get(wanted)
    if kind is None:
        meant = find_kind(wanted)
        fix = f"did you mean {meant.kind}?" if meant else nearest(wanted, list(KINDS))
        raise ConfigError(Problem(name, "kind", f"{wanted[:80]} is not a kind this runtime knows", fix))
    return kind


def _key(data: dict[str, Any], kind: Kind, default_namespace: str) -> tuple[ObjectKey, str]:
    metadata = data.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    name, namespace = (
        value if isinstance(value, str) else "" for value in (fields.get("name"), fields.get("namespace"))
    )
    key = ObjectKey(kind.group, kind.kind, (namespace or default_namespace) if kind.namespaced else "", name)
    shown = key._replace(name=name[:80] or "(no name)", namespace=key.namespace[:80])
    return key, str(shown)


def _envelope(data: dict[str, Any], kind: Kind, title: str) -> Iterator[Problem]:
    version = data.get("apiVersion")
    if version is None:
        yield Problem(title, "apiVersion", "is required", f"write {kind.api_version}")
    elif version not in kind.api_versions:
        yield Problem(title, "apiVersion", f"must be {kind.api_version}, not {describe(version)}")
    if kind.flat:
        return
    allowed = {*_HEAD, "spec", "status", *_IGNORED.get(kind.kind, ())}
    for name in data.keys() - allowed:
        yield Problem(title, path((name,)), "is not a field here", nearest(name, ["metadata", "spec"]))


def _metadata(data: dict[str, Any], kind: Kind, title: str) -> Iterator[Problem]:
    metadata = data.get("metadata")
    if not isinstance(metadata, dict):
        yield Problem(title, "metadata", f"must be a mapping with name, not {describe(metadata)}", "add metadata.name")
        return
    yield from _names(metadata, kind, title)
    for field in ("labels", "annotations"):
        yield from _pairs(metadata.get(field), field, title)
    known = ["name", "namespace", "labels", "annotations"]
    for name in metadata.keys() - _SERVER_METADATA - set(known):
        yield Problem(title, path(("metadata", name)), "is not a field here", nearest(name, known))


def _names(metadata: dict[str, Any], kind: Kind, title: str) -> Iterator[Problem]:
    name, namespace = metadata.get("name"), metadata.get("namespace")
    check = {"Service": service_name, "Namespace": dns_label}.get(kind.kind, dns_name)
    if name is None or name == "":
        yield Problem(title, "metadata.name", "is required", "add it")
    elif not isinstance(name, str):
        yield Problem(title, "metadata.name", f"must be text, not {describe(name)}", "put it in quotes")
    elif complaint := check(name):
        yield Problem(title, "metadata.name", complaint, _LOWER)
    if namespace is None:
        return
    if not kind.namespaced:
        yield Problem(title, "metadata.namespace", f"a {kind.kind} has no namespace", "remove it")
    elif not isinstance(namespace, str):
        yield Problem(title, "metadata.namespace", f"must be text, not {describe(namespace)}", "put it in quotes")
    elif complaint := dns_label(namespace):
        yield Problem(title, "metadata.namespace", complaint, _LOWER)


def _pairs(pairs: Any, field: str, title: str) -> Iterator[Problem]:
    if pairs is None:
        return
    if not isinstance(pairs, dict):
        yield Problem(title, f"metadata.{field}", f"must be a mapping, not {describe(pairs)}")
        return
    for key, value in pairs.items():
        where = path(("metadata", field, key))
        if complaint := label_key(key):
            yield Problem(title, where, complaint, "use letters, digits, '-', '_' and '.', at most 63 of them")
        if not isinstance(value, str):
            yield Problem(title, where, f"must be text, not {describe(value)}", "put it in quotes")
        elif field == "labels" and (complaint := label_value(value)):
            yield Problem(title, where, complaint, "use letters, digits, '-', '_' and '.', at most 63 of them")


def _object(key: ObjectKey, kind: Kind, metadata: dict[str, Any], spec: Spec) -> ConfigObject:
    labels = _sorted(metadata.get("labels"), _SERVER_LABELS.get(kind.kind, frozenset()))
    annotations = _sorted(metadata.get("annotations"), _SERVER_ANNOTATIONS)
    head = {"name": key.name, "namespace": key.namespace, "labels": labels, "annotations": annotations}
    manifest: dict[str, Any] = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {name: value for name, value in head.items() if value},
    }
    if kind.flat:
        manifest |= _written(spec)
    elif kind.spec_model.model_fields:
        manifest["spec"] = _written(spec)
    return ConfigObject(
        key=key, api_version=kind.api_version, labels=labels, annotations=annotations, spec=spec, manifest=manifest
    )


def _sorted(pairs: dict[str, str] | None, without: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in sorted((pairs or {}).items()) if name not in without}


def _written(value: Any) -> Any:
    """Give what the manifest says, in the models' order; free maps by key."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            info.alias or name: _written(getattr(value, name))
            for name, info in fields.items()
            if name in value.model_fields_set
        }
    if isinstance(value, dict):
        return {name: _written(value[name]) for name in sorted(value)}
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
