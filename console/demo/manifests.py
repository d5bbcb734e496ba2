"""The shop's config, and the faults that can be switched on in it.

A fault is a line of config on the route to one version of the catalog: that destination of VirtualService
``shop/catalog`` sets the request header ``x-shop-fault``, and the program obeys. Why so: Istio's own ``fault``
belongs to a whole route, so it would hit both versions, and the caller's proxy would answer instead of
version 2, whose edge would go quiet instead of red; a switch in the program would not be config. This way the
requests reach version 2 and fail there, the span says why, and the history shows who asked for it. The traffic
shifting wizard changes weights only, so the two do not undo each other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from mesh_runtime.api import Config, ConfigError, ConfigObject, ObjectKey, Problem, load, parse
from mesh_runtime.store.port import Change

NAMESPACE = "shop"
FAULTS = ("off", "slow", "failing")
PAYMENTS_PORT = 9480
"""Where ``shop.yaml`` expects the payment provider on 127.0.0.1."""

_FAULTY = "v2"
_HEADER = "x-shop-fault"
_ROUTES = ObjectKey("networking.istio.io", "VirtualService", NAMESPACE, "catalog")


def text(payments_port: int = PAYMENTS_PORT) -> str:
    """Give ``shop.yaml``, with the port at which the payment provider really listens."""
    shop = files("console.demo").joinpath("shop.yaml").read_text(encoding="utf-8")
    return shop.replace(f"http: {PAYMENTS_PORT}", f"http: {payments_port}")


def objects(payments_port: int = PAYMENTS_PORT) -> tuple[ConfigObject, ...]:
    """Give the same, parsed."""
    return load(text(payments_port))


def fault_of(config: Config) -> str:
    """Tell which of :data:`FAULTS` is on."""
    routes = config.objects.get(_ROUTES)
    for destination in _faulty(routes.manifest) if routes else ():
        fault = destination.get("headers", {}).get("request", {}).get("set", {}).get(_HEADER)
        if fault in FAULTS:
            return str(fault)
    return "off"


def fault_change(config: Config, fault: str, *, author: str = "") -> Change:
    """Make the change that puts version 2 of the catalog into one of :data:`FAULTS`; weights stay as they are.

    Switching off what was switched on restores the object byte for byte. Raises ``ConfigError`` where there is no
    route to version 2, or no such fault.
    """
    if fault not in FAULTS:
        raise ConfigError(Problem("fault", "", f"{fault!r} is not one", f"choose {', '.join(FAULTS)}"))
    routes = config.objects.get(_ROUTES)
    manifest = copy.deepcopy(dict(routes.manifest)) if routes else {}
    destinations = list(_faulty(manifest))
    if not destinations:
        raise ConfigError(Problem(str(_ROUTES), "spec.http", f"has no route to {_FAULTY}", "apply the shop again"))
    for destination in destinations:
        _set_header(destination, "" if fault == "off" else fault)
    reason = "switch the fault off" if fault == "off" else f"fault in the demo: catalog {_FAULTY} is {fault}"
    return Change(
        put=(parse(manifest),), planned_on={_ROUTES: config.changed_in.get(_ROUTES, 0)}, author=author, reason=reason
    )


def _faulty(manifest: Any) -> Iterator[dict[str, Any]]:
    for rule in manifest.get("spec", {}).get("http", ()):
        for destination in rule.get("route", ()):
            if destination["destination"].get("subset") == _FAULTY:
                yield destination


def _set_header(destination: dict[str, Any], value: str) -> None:
    """Set the header, or remove it and with it what only it was the content of."""
    parents = [destination]
    for name in ("headers", "request", "set"):
        parents.append(parents[-1].setdefault(name, {}))
    parents[-1].pop(_HEADER, None)
    if value:
        parents[-1][_HEADER] = value
    for parent, name in zip(reversed(parents[:-1]), ("set", "request", "headers"), strict=True):
        if not parent[name]:
            del parent[name]
