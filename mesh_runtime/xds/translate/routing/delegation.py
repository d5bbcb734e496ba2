"""VirtualServices that leave rules to others: each is read with its delegates' rules in place of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from mesh_runtime.api.hosts import resolve_host
from mesh_runtime.api.networking import (
    MESH,
    Destination,
    HTTPMatchRequest,
    HTTPMirrorPolicy,
    HTTPRoute,
    HTTPRouteDestination,
    VirtualService,
)
from mesh_runtime.api.networking.virtual_service import EVERYBODY, OWN
from mesh_runtime.api.objects import ConfigObject
from mesh_runtime.api.values import StringMatch

_Choice = TypeVar("_Choice", HTTPRouteDestination, HTTPMirrorPolicy)
Found = tuple[ConfigObject, VirtualService]
Find = Callable[[str, str], Found | None]

_INHERITED: Final = (
    "rewrite",
    "direct_response",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirror_percent",
    "mirror_percentage",
    "cors_policy",
    "mirrors",
    "headers",
)


def with_delegates(item: ConfigObject, spec: VirtualService, find: Find) -> VirtualService:
    """Return a VirtualService with the rules of its delegates put in; *find* finds one by namespace and name.

    A delegate that is not there, or that is not exported to the namespace, takes no requests.
    """
    if not any(rule.delegate for rule in spec.http):
        return spec
    return spec.model_copy(update={"http": tuple(_rules(item, spec, find))})


def is_exported(item: ConfigObject, spec: VirtualService, namespace: str) -> bool:
    """Tell whether a namespace sees a VirtualService."""
    audience = {item.key.namespace if name == OWN else name for name in spec.export_to or (EVERYBODY,)}
    return bool(audience & {EVERYBODY, namespace})


def _rules(item: ConfigObject, spec: VirtualService, find: Find) -> Iterator[HTTPRoute]:
    for rule in spec.http:
        if rule.delegate is None:
            yield rule
            continue
        where = rule.delegate.namespace or item.key.namespace
        known = find(where, rule.delegate.name)
        if known and known[1].is_delegate and is_exported(*known, item.key.namespace):
            root = _resolved(rule, item.key.namespace)
            yield from _delegated(root, [_resolved(sub, where) for sub in known[1].http])


def _delegated(root: HTTPRoute, rules: Iterable[HTTPRoute]) -> Iterator[HTTPRoute]:
    """Yield a delegate's rules as the root narrows and completes them; one that goes beyond it is left out."""
    for rule in rules:
        matches = _matches(root.match, rule.match)
        if matches is not None:
            absent = {name: getattr(root, name) for name in _INHERITED if getattr(rule, name) in (None, ())}
            yield rule.model_copy(update={**absent, "name": _joined(root.name, rule.name), "match": matches})


def _joined(first: str, second: str) -> str:
    return "-".join(name for name in (first, second) if name)


def _matches(
    root: tuple[HTTPMatchRequest, ...], leaf: tuple[HTTPMatchRequest, ...]
) -> tuple[HTTPMatchRequest, ...] | None:
    """Join conditions; ``None``: some condition of the leaf lies outside all of the root's."""
    if not root or not leaf:
        return leaf or root
    joined = [[_match(wide, narrow) for wide in root if not _conflict(wide, narrow)] for narrow in leaf]
    return tuple(match for found in joined for match in found) if all(joined) else None


def _match(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> HTTPMatchRequest:
    single = ("uri", "scheme", "method", "authority", "port", "source_namespace", "gateways", "stat_prefix")
    several = ("headers", "without_headers", "query_params", "source_labels")
    return leaf.model_copy(
        update={
            "name": _joined(root.name, leaf.name),
            **{name: getattr(leaf, name) or getattr(root, name) for name in single},
            **{name: getattr(root, name) | getattr(leaf, name) for name in several},
        }
    )


def _conflict(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> bool:
    """Tell whether a leaf's condition is for requests outside of the root's."""
    texts = any(
        _beyond(getattr(root, name), getattr(leaf, name)) for name in ("uri", "scheme", "method", "authority")
    ) or any(
        _beyond(getattr(root, name).get(key), value)
        for name in ("headers", "without_headers", "query_params")
        for key, value in getattr(leaf, name).items()
    )
    return (
        texts
        or root.ignore_uri_case != leaf.ignore_uri_case
        or bool(root.port and leaf.port and root.port != leaf.port)
        or root.source_namespace not in {"", leaf.source_namespace}
        or any(root.source_labels.get(key, value) != value for key, value in leaf.source_labels.items())
        or bool(root.gateways and not set(leaf.gateways) <= set(root.gateways))
    )


def _beyond(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    if root is None or leaf is None:
        return False
    if (root.regex or leaf.regex) and leaf.model_fields_set and root.model_fields_set:
        return True
    if root.exact:
        return leaf.exact != root.exact
    if root.prefix and (leaf.prefix or leaf.exact):
        return not (leaf.prefix or leaf.exact or "").startswith(root.prefix)
    return True


def _resolved(rule: HTTPRoute, namespace: str) -> HTTPRoute:
    """Complete the names in a rule as they are meant where it is written."""
    return rule.model_copy(
        update={
            "match": tuple(_with_gateways(match, namespace) for match in rule.match),
            "route": tuple(_with_host(choice, namespace) for choice in rule.route),
            "mirrors": tuple(_with_host(mirror, namespace) for mirror in rule.mirrors),
            "mirror": _complete(rule.mirror, namespace) if rule.mirror else None,
        }
    )


def _with_gateways(match: HTTPMatchRequest, namespace: str) -> HTTPMatchRequest:
    full = tuple(name if "/" in name or name == MESH else f"{namespace}/{name}" for name in match.gateways)
    return match.model_copy(update={"gateways": full})


def _with_host(choice: _Choice, namespace: str) -> _Choice:
    return choice.model_copy(update={"destination": _complete(choice.destination, namespace)})


def _complete(destination: Destination, namespace: str) -> Destination:
    return destination.model_copy(update={"host": resolve_host(destination.host, namespace)})
