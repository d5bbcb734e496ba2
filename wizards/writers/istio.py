"""Writes a split as Istio's VirtualService and DestinationRule, and reads it back.

Whatever else the objects say stays as it is: of an existing VirtualService only the weights of the rule that
requests fall through to change, an existing DestinationRule only gains subsets.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from mesh_runtime.api.hosts import resolve_host, service_host
from mesh_runtime.api.manifest import parse
from mesh_runtime.api.objects import Config, ConfigObject, ObjectKey
from wizards.intents import MESH, Foreign, Reading, Split, Unsplit
from wizards.writers.routes import Rule, claims, last_resort, no_http, subset_rules, subsets_of

_GROUP = "networking.istio.io"
_VERSION = f"{_GROUP}/v1"


def read(config: Config, namespace: str, service: str, gateway: str = MESH) -> Reading:
    """Say how requests for a service are shared out now."""
    found = _rule(config, namespace, service, gateway)
    return _split(found, namespace, service, gateway) if isinstance(found, Rule) else found


def write(split: Split, config: Config) -> tuple[ConfigObject, ...] | Foreign:
    """Give the objects to put so that *split* holds; none where it holds already.

    ``Foreign``: what is there cannot be changed without destroying something, and why.
    """
    found = _rule(config, split.namespace, split.service, split.gateway)
    if isinstance(found, Foreign):
        return found
    if isinstance(found, Rule):
        now = _split(found, split.namespace, split.service, split.gateway)
        if isinstance(now, Foreign):
            return now
        routes = _weighted(found, split)
    elif split.gateway != MESH:
        return Foreign(reason=f"no VirtualService leads from the Gateway {split.gateway} to {split.service}")
    else:
        routes = _new_routes(split, config)
    wanted = (_with_subsets(split, config), routes)
    return tuple(item for item in wanted if item is not None and not _same(item, config))


def _rule(config: Config, namespace: str, service: str, gateway: str) -> Rule | Unsplit | Foreign:
    """Find the rule that decides; ``Unsplit``: there is none, so one can be made."""
    if obstacle := no_http(config, namespace, service):
        return obstacle
    owners = claims(config, namespace, service, gateway)
    if not owners:
        return Unsplit(reason="no VirtualService routes it, so its instances take turns")
    if len(owners) > 1:
        names = " and ".join(str(item.key) for item in owners)
        return Foreign(reason=f"{names} both route {service}; keep one of them", object=owners[1].key)
    return last_resort(owners[0], gateway)


def _split(found: Rule, namespace: str, service: str, gateway: str) -> Reading:
    host = service_host(service, namespace)
    here = f"spec.http[{found.index}] of {found.owner.key}"
    if not found.rule.route:
        return Foreign(reason=f"{here} answers by itself or redirects", object=found.owner.key)
    weights: dict[str, int] = {}
    for target in found.rule.route:
        if resolve_host(target.destination.host, found.owner.key.namespace) != host:
            return Foreign(reason=f"{here} also sends to {target.destination.host}", object=found.owner.key)
        weights[target.destination.subset] = target.weight
    if len(weights) < len(found.rule.route):
        return Foreign(reason=f"{here} names a subset twice", object=found.owner.key)
    if len(weights) == 1:
        weights = dict.fromkeys(weights, 100)
    if "" not in weights:
        return Split(namespace=namespace, service=service, weights=weights, gateway=gateway)
    if len(weights) == 1:
        return Unsplit(reason=f"{here} sends to every version alike")
    return Foreign(reason=f"{here} shares with the whole service, not only with subsets", object=found.owner.key)


def _weighted(found: Rule, split: Split) -> ConfigObject:
    manifest = copy.deepcopy(dict(found.owner.manifest))
    rule = manifest["spec"]["http"][found.index]
    first = rule["route"][0]
    if "subset" not in first["destination"]:
        rule["route"] = [_target(first, subset) for subset in split.weights]
    known = {target["destination"]["subset"] for target in rule["route"]}
    plain = {"destination": first["destination"]}
    rule["route"] += [_target(plain, subset) for subset in split.weights if subset not in known]
    for target in rule["route"]:
        target["weight"] = split.weight(target["destination"]["subset"])
    return parse(manifest)


def _target(like: Mapping[str, Any], subset: str) -> dict[str, Any]:
    target = copy.deepcopy(dict(like))
    target["destination"]["subset"] = subset
    return target


def _new_routes(split: Split, config: Config) -> ConfigObject:
    host = service_host(split.service, split.namespace)
    route = [
        {"destination": {"host": host, "subset": subset}, "weight": weight} for subset, weight in split.weights.items()
    ]
    return _new("VirtualService", split, config, {"hosts": [host], "http": [{"route": route}]})


def _with_subsets(split: Split, config: Config) -> ConfigObject | None:
    rules = subset_rules(config, split.namespace, split.service)
    missing = [subset for subset in split.weights if subset not in subsets_of(rules)]
    added = [{"name": subset, "labels": {"version": split.versions.get(subset, subset)}} for subset in missing]
    if not missing:
        return None
    if not rules:
        host = service_host(split.service, split.namespace)
        return _new("DestinationRule", split, config, {"host": host, "subsets": added})
    manifest = copy.deepcopy(dict(rules[0].manifest))
    manifest["spec"].setdefault("subsets", []).extend(added)
    return parse(manifest)


def _new(kind: str, split: Split, config: Config, spec: Mapping[str, Any]) -> ConfigObject:
    metadata = {"name": _free_name(kind, split, config), "namespace": split.namespace}
    return parse({"apiVersion": _VERSION, "kind": kind, "metadata": metadata, "spec": spec})


def _free_name(kind: str, split: Split, config: Config) -> str:
    """Name the object like the service, unless another host's object has that name."""
    return next(
        name
        for name in _names(split.service, len(config.objects))
        if ObjectKey(_GROUP, kind, split.namespace, name) not in config.objects
    )


def _names(service: str, others: int) -> Iterable[str]:
    return [service, f"{service}-split", *(f"{service}-split-{number}" for number in range(2, others + 3))]


def _same(item: ConfigObject, config: Config) -> bool:
    live = config.objects.get(item.key)
    return live is not None and live.manifest == item.manifest
