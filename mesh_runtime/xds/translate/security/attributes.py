"""The attributes that an AuthorizationPolicy may look at, and Envoy's matcher for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from mesh_runtime.api.objects import TRUST_DOMAIN
from mesh_runtime.api.security import Condition, Operation, Rule, Source
from mesh_runtime.api.security.conditions import EXPERIMENTAL, claim_path
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.security import matchers

Make = Callable[[str], Envoy]
"""From one value to a permission or principal."""

_PARTS_OF_AN_ID: Final = 5
"""``trust-domain/ns/namespace/sa/service-account``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where policies are read: at which port, and in which mesh."""

    port: Callable[[int], Envoy]
    """Makes the permission for a port's number as a policy writes it."""
    trust_domains: tuple[str, ...] = (TRUST_DOMAIN,)
    """The mesh's and its aliases."""


class Term(NamedTuple):
    """One attribute: one of *values*, none of *without*."""

    make: Make
    values: Sequence[str]
    without: Sequence[str]
    http_only: bool = False


def operation(asked: Operation, scope: Scope) -> Iterator[Term]:
    """Yield what an operation says."""
    terms = (
        Term(_host, asked.hosts, asked.not_hosts, http_only=True),
        Term(partial(matchers.header_of, ":method"), asked.methods, asked.not_methods, http_only=True),
        Term(matchers.path, asked.paths, asked.not_paths, http_only=True),
        Term(_port(scope), asked.ports, asked.not_ports),
    )
    return filter(_says_something, terms)


def source(known: Source, namespace: str, scope: Scope) -> Iterator[Term]:
    """Yield what a source says in a policy of a namespace."""
    named, unnamed = (_with_aliases(names, scope) for names in (known.principals, known.not_principals))
    domains, no_domains = (_domains(names, scope) for names in (known.trust_domains, known.not_trust_domains))
    terms = (
        Term(_principal, named, unnamed),
        Term(matchers.request_principal, known.request_principals, known.not_request_principals, http_only=True),
        Term(_namespace, known.namespaces, known.not_namespaces),
        Term(partial(_account, namespace), known.service_accounts, known.not_service_accounts),
        Term(_trust_domain, domains, no_domains),
        Term(_remote_ip, known.remote_ip_blocks, known.not_remote_ip_blocks),
        Term(_source_ip, known.ip_blocks, known.not_ip_blocks),
    )
    return filter(_says_something, terms)


def condition(one: Condition, namespace: str, scope: Scope) -> Term:
    """Return what a condition of a policy of a namespace says."""
    family, bracket, _ = one.key.partition("[")
    keys = claim_path(one.key[len(family) :])
    match family:
        case "request.headers":
            return Term(partial(matchers.header_of, keys[0]), one.values, one.not_values, http_only=True)
        case "request.auth.claims":
            return Term(partial(_claim, keys), one.values, one.not_values, http_only=True)
        case _ if bracket:
            return Term(partial(_left_by, family.removeprefix(EXPERIMENTAL), keys), one.values, one.not_values)
    return _plain(one, namespace, scope)


def is_asked(one: Condition) -> bool:
    """Tell whether a condition is about what is asked for, not about who asks."""
    return one.key.startswith(("destination.", "connection.", EXPERIMENTAL))


def mentions_ports(rule: Rule) -> bool:
    """Tell whether it matters to a rule which port a connection came to."""
    return any(one.operation.ports or one.operation.not_ports for one in rule.to) or any(
        one.key == "destination.port" for one in rule.when
    )


def _plain(one: Condition, namespace: str, scope: Scope) -> Term:
    values, without = one.values, one.not_values
    match one.key:
        case "source.principal":
            return Term(_principal, _with_aliases(values, scope), _with_aliases(without, scope))
        case "source.trustDomain":
            return Term(_trust_domain, _domains(values, scope), _domains(without, scope))
        case "source.serviceAccount":
            return Term(partial(_account, namespace), values, without)
        case "destination.port":
            return Term(_port(scope), values, without)
        case "request.auth.principal":
            return Term(matchers.request_principal, values, without, http_only=True)
        case "request.auth.audiences":
            return Term(partial(_claim, ("aud",)), values, without, http_only=True)
        case "request.auth.presenter":
            return Term(partial(_claim, ("azp",)), values, without, http_only=True)
    return Term(_OF_CONNECTIONS[one.key], values, without)


def _says_something(term: Term) -> bool:
    return bool(term.values or term.without)


def _port(scope: Scope) -> Make:
    return lambda value: scope.port(int(value))


def _host(value: str) -> Envoy:
    return {"header": matchers.header(":authority", value, ignore_case=True)}


def _authenticated(matcher: Envoy) -> Envoy:
    return {"authenticated": {"principal_name": matcher}}


def _principal(value: str) -> Envoy:
    return _authenticated(matchers.spiffe(value))


def _namespace(value: str) -> Envoy:
    return _authenticated(matchers.regex(f".*/ns/{matchers.wildcard(value, '.*')}/.*"))


def _account(namespace: str, value: str) -> Envoy:
    where, slash, name = value.rpartition("/")
    where = where if slash else namespace
    return _authenticated(matchers.regex(f"spiffe://.+/ns/{re.escape(where)}/(.+/|)sa/{re.escape(name)}(/.+)?"))


def _trust_domain(value: str) -> Envoy:
    name = "[^/]+" if value == "*" else matchers.wildcard(value, "[^/]*")
    return _authenticated(matchers.regex(f"spiffe://{name}/.*"))


def _source_ip(value: str) -> Envoy:
    return {"direct_remote_ip": matchers.cidr(value)}


def _remote_ip(value: str) -> Envoy:
    return {"remote_ip": matchers.cidr(value)}


def _destination_ip(value: str) -> Envoy:
    return {"destination_ip": matchers.cidr(value)}


def _server_name(value: str) -> Envoy:
    return {"requested_server_name": matchers.string(value)}


def _claim(keys: Sequence[str], value: str) -> Envoy:
    return matchers.claim(keys, matchers.string(value))


def _left_by(name: str, keys: Sequence[str], value: str) -> Envoy:
    """Match what a filter has left under one key: a text, or (``[text]``) one of a list."""
    if value.startswith("[") and value.endswith("]"):
        one_of = {"string_match": matchers.string(value.strip("[]"))}
        return matchers.metadata(name, keys, {"list_match": {"one_of": one_of}})
    return matchers.metadata(name, keys, {"string_match": matchers.string(value)})


def _with_aliases(principals: Sequence[str], scope: Scope) -> tuple[str, ...]:
    """Add the names that a principal has in the mesh's other trust domains."""
    return tuple(name for principal in principals for name in _names(principal, scope.trust_domains))


def _names(principal: str, trust_domains: Sequence[str]) -> tuple[str, ...]:
    domain, _, rest = principal.partition("/")
    ours = domain == TRUST_DOMAIN or any(_is(domain, known) for known in trust_domains)
    if principal.count("/") != _PARTS_OF_AN_ID - 1 or domain == "*" or not ours:
        return (principal,)
    return tuple(dict.fromkeys(principal if _is(domain, known) else f"{known}/{rest}" for known in trust_domains))


def _is(written: str, domain: str) -> bool:
    return domain.endswith(written[1:]) if written.startswith("*") else domain == written


def _domains(values: Sequence[str], scope: Scope) -> tuple[str, ...]:
    found = (name for value in values for name in (scope.trust_domains if value in scope.trust_domains else (value,)))
    return tuple(dict.fromkeys(found))


_OF_CONNECTIONS: Final[dict[str, Make]] = {
    "source.ip": _source_ip,
    "remote.ip": _remote_ip,
    "source.namespace": _namespace,
    "destination.ip": _destination_ip,
    "connection.sni": _server_name,
}
