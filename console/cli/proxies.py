"""``proxy-status`` and ``proxy-config``: what each Envoy has, as istioctl users expect it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click
from cryptography.x509 import Certificate, ExtensionNotFound, SubjectAlternativeName, load_pem_x509_certificates

from console.cli.client import Client, with_client
from console.cli.output import as_json, table
from console.enumerated import enumerated
from console.views.given import KINDS, TYPES

Rows = Callable[[Mapping[str, Any]], Iterator[tuple[str, ...]]]


@click.command()
@click.argument("proxy", required=False, default="")
@click.option("-o", "--output", type=click.Choice(["json"]))
@with_client
def proxy_status(client: Client, proxy: str, output: str | None) -> None:
    """Show for each Envoy, or for PROXY, what it has acknowledged, and what it rejected and why."""
    items = [p for p in client.get("/proxies")["items"] if proxy in p["instance"] or proxy in p["node"]]
    if output == "json":
        click.echo(as_json(items))
        return
    rows = [
        (p["instance"], p["role"], "yes" if p["connected"] else "NO", *(_state(p["types"].get(t)) for t in TYPES))
        for p in items
    ]
    click.echo(table(("NAME", "ROLE", "CONNECTED", *TYPES), rows))
    for remark, named in remarks(items).items():
        click.echo(f"\n{enumerated(named, 1)}{remark}")


def remarks(proxies: Sequence[Mapping[str, Any]]) -> Mapping[str, Sequence[str]]:
    """Return what is to be said after the names of proxies, and those of whom it is: many may say the same."""
    found: dict[str, list[str]] = {}
    for one in proxies:
        for remark in _remarks(one):
            found.setdefault(remark, []).append(one["instance"])
    return found


def _remarks(proxy: Mapping[str, Any]) -> Iterator[str]:
    yield from (f" rejected {name}: {one['rejected']}" for name, one in proxy["types"].items() if one["rejected"])
    if proxy["problem"]:
        yield f" is kept at the config it has: {proxy['problem']}"
    yield from (f": {note}" for note in proxy["notes"])


@click.command()
@click.argument("what", type=click.Choice(KINDS))
@click.argument("proxy")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@with_client
def proxy_config(client: Client, what: str, proxy: str, output: str) -> None:
    """Show the configuration of one Envoy: PROXY is its name in proxy-status, or ``workload.namespace``."""
    resources = client.get(f"/proxies/{quote(proxy, safe='')}/{what}")["resources"]
    if output == "json" or what not in TABLES:
        click.echo(as_json(resources))
        return
    header, rows_of = TABLES[what]
    click.echo(table(header, [row for resource in resources for row in rows_of(resource)]))


def _state(state: Mapping[str, Any] | None) -> str:
    if state is None or not state["sent"]:
        return "NOT SENT"
    if state["rejected"]:
        return "REJECTED"
    return "SYNCED" if state["sent"] == state["acked"] else "STALE"


def _get(value: Any, *path: str | int) -> Any:
    """Follow a path through Envoy's JSON, whose names may be snake or camel case; ``""`` where it ends."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        elif isinstance(value, Mapping):
            value = value.get(step, value.get(_camel(step)))
        if value is None:
            return ""
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _listeners(listener: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    at = _get(listener, "address", "socket_address")
    yield _get(listener, "name"), _get(at, "address"), str(_get(at, "port_value")), _get(listener, "traffic_direction")


def _clusters(cluster: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    yield _get(cluster, "name"), str(_get(cluster, "type") or "STATIC"), _get(cluster, "lb_policy") or "ROUND_ROBIN"


def _routes(config: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for host in _get(config, "virtual_hosts") or ():
        routes: Sequence[Mapping[str, Any]] = _get(host, "routes") or ({},)
        for route in routes:
            yield _get(config, "name"), _get(host, "name"), _match(_get(route, "match")), _action(route)


def _match(match: Any) -> str:
    if _get(match, "connect_matcher") != "":
        return "CONNECT"
    for kind in ("prefix", "path", "path_separated_prefix"):
        if found := _get(match, kind):
            return f"{kind} {found}"
    return f"regex {_get(match, 'safe_regex', 'regex')}" if _get(match, "safe_regex") else "*"


def _action(route: Mapping[str, Any]) -> str:
    weighted: Sequence[Mapping[str, Any]] = _get(route, "route", "weighted_clusters", "clusters") or ()
    if weighted:
        return ", ".join(f"{_get(c, 'name')} {_get(c, 'weight') or 0}" for c in weighted)
    for kind in ("redirect", "direct_response"):
        if _get(route, kind):
            return kind.replace("_", " ")
    return str(_get(route, "route", "cluster"))


def _endpoints(assignment: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for locality in _get(assignment, "endpoints") or ():
        for one in _get(locality, "lb_endpoints") or ():
            at = _get(one, "endpoint", "address", "socket_address")
            where = f"{_get(at, 'address')}:{_get(at, 'port_value')}"
            health = _get(one, "health_status") or "HEALTHY"
            yield _get(assignment, "cluster_name"), where, health, str(_get(one, "load_balancing_weight") or 1)


def _secrets(secret: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield each certificate of a secret: of a chain, the proxy's own comes first."""
    chain = _get(secret, "tls_certificate", "certificate_chain", "inline_string")
    roots = _get(secret, "validation_context", "trusted_ca", "inline_string")
    kind = "certificate" if _get(secret, "tls_certificate") else "trusted root"
    for certificate in load_pem_x509_certificates((chain or roots).encode()) if chain or roots else ():
        valid = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        when = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in valid)
        yield _get(secret, "name"), kind, _named(certificate), f"{certificate.serial_number:x}"[:16], *when


def _named(certificate: Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return certificate.subject.rfc4514_string()
    return ", ".join(str(name.value) for name in names)


TABLES: Mapping[str, tuple[tuple[str, ...], Rows]] = {
    "listeners": (("NAME", "ADDRESS", "PORT", "DIRECTION"), _listeners),
    "clusters": (("NAME", "TYPE", "LOAD BALANCER"), _clusters),
    "routes": (("NAME", "VIRTUAL HOST", "MATCH", "TO"), _routes),
    "endpoints": (("CLUSTER", "ENDPOINT", "HEALTH", "WEIGHT"), _endpoints),
    "secrets": (("NAME", "TYPE", "FOR", "SERIAL", "VALID FROM", "VALID UNTIL"), _secrets),
}
