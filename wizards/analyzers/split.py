"""Checks of a split against the live config and what is known of the versions.

| code | level | says |
|---|---|---|
| KIA1106 | error | several VirtualServices route the same host |
| MSC1001 | error | what is there cannot be changed without destroying something |
| KIA0203 | error, info | a subset selects no running version (info where it gets nothing) |
| MSC1002 | warning | a version that fails now is to get more |
| MSC1003 | info | a running version gets nothing |
| MSC1004 | warning | requests that come through a gateway do not follow this split |
| MSC1005 | info | rules with conditions come first and stay as they are |
| MSC1006 | info | the rule also injects faults or mirrors |
| MSC1007 | info | nothing is known of the versions |
| MSC1008 | info | one version is to get everything, and runs once |
| MSC1009 | error | the config store would refuse it (from the dry run) |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mesh_runtime.api.hosts import service_host
from mesh_runtime.api.objects import Config
from wizards.analyzers.findings import Finding, Level
from wizards.facts import Facts, VersionFacts
from wizards.intents import MESH, Foreign, Split
from wizards.writers.istio import read
from wizards.writers.routes import Rule, claims, gateways_of, last_resort, leads_to, subset_rules, subsets_of

FAILING = 0.05
"""Share of failed requests from which a version counts as failing."""
ENOUGH_REQUESTS = 20
"""Fewer say nothing about a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the rules look at."""

    split: Split
    config: Config
    facts: Facts | None
    """``None``: nobody knows what runs."""

    def subsets(self) -> Mapping[str, Mapping[str, str]]:
        """Give the labels of the subsets as they will be."""
        there = subsets_of(subset_rules(self.config, self.split.namespace, self.split.service))
        planned = {name: {"version": self.split.versions.get(name, name)} for name in self.split.weights}
        return {**planned, **there}

    def versions_of(self, subset: str) -> list[VersionFacts]:
        """Give the running versions that a subset consists of."""
        labels = self.subsets()[subset]
        return [facts for facts in self.facts or () if facts.instances and facts.selected_by(labels)]

    def rule(self) -> Rule | None:
        """Give the rule that is to change, if there is one and it is clear which."""
        owners = claims(self.config, self.split.namespace, self.split.service, self.split.gateway)
        found = last_resort(owners[0], self.split.gateway) if len(owners) == 1 else None
        return found if isinstance(found, Rule) else None


def check(split: Split, config: Config, facts: Facts | None) -> tuple[Finding, ...]:
    """Say everything there is to say, errors first."""
    world = World(split=split, config=config, facts=facts)
    found = [finding for rule in RULES for finding in rule(world)]
    return tuple(sorted(found, key=lambda finding: list(Level).index(finding.level)))


def competing(world: World) -> Iterator[Finding]:
    """Name VirtualServices that shadow each other."""
    split = world.split
    owners = claims(world.config, split.namespace, split.service, split.gateway)
    for owner in owners[1:]:
        message = f"{owner.key} and {owners[0].key} both route {split.service}; keep one of them"
        yield Finding(level=Level.ERROR, code="KIA1106", message=message, object=owner.key, path="spec.hosts")


def inexpressible(world: World) -> Iterator[Finding]:
    """Refuse what a split cannot express."""
    split = world.split
    if len(claims(world.config, split.namespace, split.service, split.gateway)) > 1:
        return
    now = read(world.config, split.namespace, split.service, split.gateway)
    if isinstance(now, Foreign):
        yield Finding(level=Level.ERROR, code="MSC1001", message=now.reason, object=now.object)


def empty_subset(world: World) -> Iterator[Finding]:
    """Name subsets that would answer 503."""
    if world.facts is None:
        return
    for subset in world.split.weights:
        if world.versions_of(subset):
            continue
        labels = ", ".join(f"{name}={value}" for name, value in world.subsets()[subset].items())
        weight = world.split.weight(subset)
        yield Finding(
            level=Level.ERROR if weight else Level.INFO,
            code="KIA0203",
            message=f"no instance of {world.split.service} that runs now has {labels or 'the subset’s labels'}"
            + (f", so {weight} % of the requests would fail" if weight else ""),
            path=f"weights.{subset}",
        )


def failing_version(world: World) -> Iterator[Finding]:
    """Name failing versions that are to get more."""
    split = world.split
    now = read(world.config, split.namespace, split.service, split.gateway)
    for subset, weight in split.weights.items():
        before = now.weight(subset) if isinstance(now, Split) else 0
        for facts in world.versions_of(subset):
            if weight > before and facts.requests >= ENOUGH_REQUESTS and facts.error_ratio >= FAILING:
                share = f"{100 * facts.error_ratio:.1f}".removesuffix(".0") + " %"
                message = f"{subset} fails {share} of its requests now, and would get {weight} % of all"
                yield Finding(level=Level.WARNING, code="MSC1002", message=message, path=f"weights.{subset}")


def left_out(world: World) -> Iterator[Finding]:
    """Name versions that would run for nothing."""
    served = {
        facts.version
        for subset in world.split.weights
        if world.split.weight(subset)
        for facts in world.versions_of(subset)
    }
    for facts in world.facts or ():
        if facts.instances and facts.version not in served:
            message = f"{facts.version or 'the version without a label'} runs and would get no requests"
            yield Finding(level=Level.INFO, code="MSC1003", message=message)


def bypassing_gateway(world: World) -> Iterator[Finding]:
    """Name gateways whose own VirtualService decides for what comes through them."""
    split = world.split
    if split.gateway != MESH:
        return
    ours = {item.key for item in claims(world.config, split.namespace, split.service, MESH)}
    host = service_host(split.service, split.namespace)
    for item in world.config.of("VirtualService"):
        named = [name for name in gateways_of(item) if name != MESH and leads_to(item, host, name)]
        if named and item.key not in ours:
            message = f"requests through the Gateway {', '.join(named)} follow {item.key}, not this split"
            yield Finding(level=Level.WARNING, code="MSC1004", message=message, object=item.key, path="spec.gateways")


def conditions_first(world: World) -> Iterator[Finding]:
    """Mention the rules that are not part of a split."""
    rule = world.rule()
    if rule is not None and rule.index:
        first = f"{rule.index} rule{'s' if rule.index > 1 else ''}"
        message = f"{first} of {rule.owner.key} with conditions come first and stay as they are"
        yield Finding(level=Level.INFO, code="MSC1005", message=message, object=rule.owner.key, path="spec.http")


def also_there(world: World) -> Iterator[Finding]:
    """Mention faults and mirrors on the same rule, which may surprise."""
    rule = world.rule()
    if rule is None:
        return
    there = {"injects faults": rule.rule.fault, "mirrors requests": rule.rule.mirror or rule.rule.mirrors}
    for what, is_there in there.items():
        if is_there:
            message = f"the rule also {what}; that stays"
            where = f"spec.http[{rule.index}]"
            yield Finding(level=Level.INFO, code="MSC1006", message=message, object=rule.owner.key, path=where)


def nothing_known(world: World) -> Iterator[Finding]:
    """Say so where the checks of running versions could not be made."""
    if world.facts is None:
        message = "what runs is not known here, so it was not checked whether the subsets have instances"
        yield Finding(level=Level.INFO, code="MSC1007", message=message)


def alone(world: World) -> Iterator[Finding]:
    """Mention that there is nothing to fall back on."""
    for subset, weight in world.split.weights.items():
        running = world.versions_of(subset)
        if weight == 100 and sum(facts.instances for facts in running) == 1:
            yield Finding(
                level=Level.INFO,
                code="MSC1008",
                message=f"{subset} would get everything and runs once",
                path=f"weights.{subset}",
            )


RULES: tuple[Callable[[World], Iterator[Finding]], ...] = (
    competing,
    inexpressible,
    empty_subset,
    failing_version,
    bypassing_gateway,
    left_out,
    conditions_first,
    also_there,
    nothing_known,
    alone,
)
