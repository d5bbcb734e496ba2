"""AuthorizationPolicy: who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from mesh_runtime.api.security.conditions import (
    ConditionKey,
    IpBlock,
    Name,
    PortNumber,
    RequestPath,
    ServiceAccountName,
    TrustDomainName,
    Value,
    condition_values,
)
from mesh_runtime.api.security.targets import Targeted
from mesh_runtime.api.spec import Flaw, Many, Some, Spec

_FEW = Field(max_length=16)
_OWNED = ("principals", "not_principals", "namespaces", "not_namespaces")
_ACCOUNTS = ("service_accounts", "not_service_accounts")


class _Fields(Spec):
    """Fields of which all that are set must match."""

    def flaws(self) -> Iterator[Flaw]:
        """Something must be set: what matches everything is left out as a whole."""
        if not any(getattr(self, name) for name in type(self).model_fields):
            yield Flaw((), "is empty", "set a field, or remove it")


class Source(_Fields):
    """Where a request comes from."""

    principals: Many[Name] = ()
    not_principals: Many[Name] = ()
    request_principals: Many[Value] = ()
    not_request_principals: Many[Value] = ()
    namespaces: Many[Name] = ()
    not_namespaces: Many[Name] = ()
    service_accounts: Annotated[Many[ServiceAccountName], _FEW] = ()
    """``name`` in the policy's namespace, or ``namespace/name``."""
    not_service_accounts: Annotated[Many[ServiceAccountName], _FEW] = ()
    trust_domains: Many[TrustDomainName] = ()
    not_trust_domains: Many[TrustDomainName] = ()
    ip_blocks: Many[IpBlock] = ()
    """Of the connection's other end."""
    not_ip_blocks: Many[IpBlock] = ()
    remote_ip_blocks: Many[IpBlock] = ()
    """Of the first caller, from X-Forwarded-For or the PROXY protocol."""
    not_remote_ip_blocks: Many[IpBlock] = ()

    def flaws(self) -> Iterator[Flaw]:
        """Service accounts say both namespace and principal."""
        yield from super().flaws()
        if self.has(*_ACCOUNTS) and self.has(*_OWNED):
            yield Flaw((), "serviceAccounts excludes namespaces and principals", "keep one of them")


class Operation(_Fields):
    """What is asked for."""

    hosts: Many[Value] = ()
    not_hosts: Many[Value] = ()
    ports: Many[PortNumber] = ()
    """The workload's own ports."""
    not_ports: Many[PortNumber] = ()
    methods: Many[Value] = ()
    not_methods: Many[Value] = ()
    paths: Many[RequestPath] = ()
    """Without the query; ``{*}`` is one segment, ``{**}`` the segments up to the next plain one or the end."""
    not_paths: Many[RequestPath] = ()


class From(Spec):
    """One kind of caller."""

    source: Source


class To(Spec):
    """One kind of request."""

    operation: Operation


class Condition(Spec):
    """An attribute and its values: one of *values*, and none of *notValues*."""

    key: ConditionKey
    values: Many[Value] = ()
    not_values: Many[Value] = ()

    def flaws(self) -> Iterator[Flaw]:
        """There are values, and they fit the attribute."""
        if not self.values and not self.not_values:
            yield Flaw((), "has no values", "add values or notValues")
        for name, values in (("values", self.values), ("notValues", self.not_values)):
            if complaint := condition_values(self.key, values):
                yield Flaw((name,), complaint)


class Rule(Spec):
    """Any of *from*, any of *to*, all of *when*. Empty: every request."""

    from_: Some[From] = Field(default=(), alias="from")
    to: Some[To] = ()
    when: Many[Condition] = ()


class Provider(Spec):
    """The external authorizer of MeshConfig that a CUSTOM policy asks."""

    name: str = Field(min_length=1)


_CUSTOM_NEVER = (
    *(*_OWNED, *_ACCOUNTS),
    *("request_principals", "not_request_principals", "trust_domains", "not_trust_domains"),
)


class AuthorizationPolicy(Targeted):
    """Who may do what: CUSTOM policies are asked first, then DENY, then ALLOW."""

    action: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"] = "ALLOW"
    rules: Many[Rule] = ()
    """ALLOW without rules allows nothing."""
    provider: Provider | None = None

    def flaws(self) -> Iterator[Flaw]:
        """As Istio has it."""
        yield from super().flaws()
        if self.action in ("DENY", "CUSTOM") and not self.rules:
            yield Flaw(
                ("rules",), f"{self.action} without rules is never triggered", "add the rule {} for all requests"
            )
        if self.action == "CUSTOM":
            yield from self._custom()
        elif self.provider:
            yield Flaw(("provider",), f"{self.action} asks nobody", "remove it, or use the action CUSTOM")

    def _custom(self) -> Iterator[Flaw]:
        if self.provider is None:
            yield Flaw(("provider",), "CUSTOM needs it", "name one of MeshConfig's extensionProviders")
        for index, rule in enumerate(self.rules):
            for at, one in enumerate(rule.from_):
                for name in one.source.has(*_CUSTOM_NEVER):
                    alias: Any = Source.model_fields[name].alias
                    yield _too_early(("rules", index, "from", at, "source", alias))
            for at, condition in enumerate(rule.when):
                early = ("source.namespace", "source.serviceAccount", "source.principal", "source.trustDomain")
                if condition.key in early or condition.key.startswith("request.auth."):
                    yield _too_early(("rules", index, "when", at, "key"))


def _too_early(path: tuple[str | int, ...]) -> Flaw:
    return Flaw(path, "cannot be used with CUSTOM", "use ipBlocks, remoteIpBlocks, operations or request.headers")
