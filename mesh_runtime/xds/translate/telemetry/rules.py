"""Which Telemetry applies to a proxy, and what all of it comes to: Istio's rules of inheritance.

The root namespace's Telemetry comes first, then the namespace's, then those that select the workload. A list
that names no providers is about those named before it, at first the MeshConfig's default providers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from mesh_runtime.api.extension_providers import ACCESS_LOGGING, METRICS, TRACING, ExtensionProvider
from mesh_runtime.api.mesh_config import MeshConfig
from mesh_runtime.api.objects import ROOT_NAMESPACE
from mesh_runtime.api.security import GATEWAY_NAME
from mesh_runtime.api.telemetry import (
    AccessLogging,
    CustomTag,
    Metrics,
    MetricsOverrides,
    ProviderRef,
    TagOverride,
    Telemetry,
    Tracing,
)
from mesh_runtime.registry import Instance
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.world import World, selects

T = TypeVar("T")
Side = Literal["CLIENT", "SERVER"]
"""The caller's proxy (gateways, too), or that of the workload which is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRule:
    """What Telemetry says of one metric."""

    disabled: bool | None = None
    tags: Mapping[str, TagOverride] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingRule:
    """What Telemetry says of a proxy's spans."""

    provider: ExtensionProvider | None = None
    """``None``: the runtime's own receiver."""
    disabled: bool = False
    sampling: float | None = None
    tags: Mapping[str, CustomTag] = field(default_factory=dict)
    request_id_samples: bool = True
    istio_tags: bool = True
    propagates: bool = True
    """Whether what is called is told of the trace."""


def applicable(world: World, instance: Instance) -> Sequence[Telemetry]:
    """Return the Telemetry that applies to an instance's proxy, the widest first."""
    key = "telemetry", instance.namespace, tuple(sorted(instance.labels.items()))
    return world.once(key, lambda: tuple(_applicable(world, instance.namespace, instance.labels)))


def metric_rules(world: World, instance: Instance, side: Side) -> Mapping[str, MetricRule] | None:
    """Return what is said of metrics, by Telemetry's names of them; ``None``: there are to be none."""
    specs = [metrics for one in applicable(world, instance) for metrics in one.metrics]
    config = world.mesh_config
    scoped = _scoped(specs, config.default_providers.metrics)
    chosen = next((name for name in sorted(scoped) if _is(config, name, METRICS)), None)
    if chosen is None:
        return None
    return _merged(_overrides(specs, config.default_providers.metrics, chosen, side))


def access_log_rules(world: World, instance: Instance, side: Side) -> Sequence[tuple[ExtensionProvider, str]] | None:
    """Return the providers that log access, each with its filter or ``""``; ``None``: Telemetry says nothing."""
    levels = [one.access_logging for one in applicable(world, instance) if one.access_logging]
    config = world.mesh_config
    defaults = config.default_providers.access_logging
    if not levels and not defaults:
        return None
    states = _log_states(levels, defaults, side)
    named = [(config.provider(name), expression) for name, expression in sorted(states.items())]
    return [(one, expression) for one, expression in named if one is not None and one.kind in ACCESS_LOGGING]


def tracing_rule(world: World, instance: Instance, side: Side) -> TracingRule:
    """Return what is said of spans."""
    config = world.mesh_config
    specs = [tracing for one in applicable(world, instance) for tracing in one.tracing]
    covered = [spec for spec in specs if spec.match is None or spec.match.covers(side)]
    named = [spec.providers[0].name for spec in covered if spec.providers]
    name = next(iter([*named[-1:], *config.default_providers.tracing]), None)
    provider = config.provider(name) if name else None
    defaults = config.default_config.tracing

    def last(value: Callable[[Tracing], T | None], default: T) -> T:
        found = [value(spec) for spec in covered]
        return next((one for one in reversed(found) if one is not None), default)

    return TracingRule(
        provider=provider,
        disabled=not config.enable_tracing
        or last(lambda spec: spec.disable_span_reporting, False)
        or (name is not None and (provider is None or provider.kind not in TRACING)),
        sampling=last(lambda spec: spec.random_sampling_percentage, defaults.sampling or None),
        tags=last(lambda spec: spec.custom_tags, {}) or defaults.custom_tags,
        request_id_samples=last(lambda spec: spec.use_request_id_for_trace_sampling, True),
        propagates=not last(lambda spec: spec.disable_context_propagation, False),
        istio_tags=last(lambda spec: spec.enable_istio_tags, defaults.enable_istio_tags),
    )


def _applicable(world: World, namespace: str, labels: Mapping[str, str]) -> Iterator[Telemetry]:
    for where in dict.fromkeys((ROOT_NAMESPACE, namespace)):
        yield from [spec for spec in _specs(world, where) if _is_wide(spec)][:1]
    yield from (spec for spec in _specs(world, namespace) if not _is_wide(spec) and _selects(spec, labels))


def _specs(world: World, namespace: str) -> Iterator[Telemetry]:
    return (spec_of(item, Telemetry) for item in world.objects("Telemetry", namespace))


def _is_wide(spec: Telemetry) -> bool:
    return not spec.references and not (spec.selector and spec.selector.match_labels)


def _selects(spec: Telemetry, labels: Mapping[str, str]) -> bool:
    if spec.references:
        return any(reference.name == labels.get(GATEWAY_NAME) for reference in spec.references)
    return spec.selector is not None and selects(spec.selector.match_labels, labels)


def _names(providers: Iterable[ProviderRef]) -> tuple[str, ...]:
    return tuple(provider.name.lower() for provider in providers)


def _is(config: MeshConfig, name: str, kinds: frozenset[str]) -> bool:
    provider = config.provider(name)
    return provider is not None and provider.kind in kinds


def _scoped(specs: Iterable[Metrics], defaults: Sequence[str]) -> Sequence[str]:
    """Return the providers that are in force: those that were named last."""
    named = [_names(spec.providers) for spec in specs if spec.providers]
    return named[-1] if named else tuple(name.lower() for name in defaults)


def _overrides(
    specs: Iterable[Metrics], defaults: Sequence[str], chosen: str, side: Side
) -> Iterator[MetricsOverrides]:
    current = tuple(name.lower() for name in defaults)
    for spec in specs:
        current = _names(spec.providers) or current
        if chosen in current:
            yield from (override for override in spec.overrides if override.match.covers(side))


def _merged(overrides: Iterable[MetricsOverrides]) -> Mapping[str, MetricRule] | None:
    """Merge overrides. To disable all metrics is forgotten, as in Istio, when anything is said of one after it."""
    found: dict[str, MetricRule] = {}
    nothing = False
    for override in overrides:
        nothing = override.match.is_of_all and override.disabled is True
        if nothing:
            continue
        for name in override.match.metrics:
            rule = found.get(name, MetricRule())
            disabled = rule.disabled if override.disabled is None else override.disabled
            found[name] = MetricRule(disabled=disabled, tags={**rule.tags, **override.tag_overrides})
    return None if nothing else found


def _log_states(levels: Sequence[Sequence[AccessLogging]], defaults: Sequence[str], side: Side) -> Mapping[str, str]:
    """Return the providers that log, each with its filter."""

    def covers(spec: AccessLogging) -> bool:
        return spec.match is None or spec.match.covers(side)

    current = tuple(name.lower() for name in defaults)
    if not levels:
        return dict.fromkeys(current, "")
    scoped = frozenset(current)
    for level in levels:
        named = frozenset(name for spec in level if covers(spec) for name in _names(spec.providers))
        scoped = named or scoped
    states: dict[str, str] = {}
    for spec in (spec for level in levels for spec in level):
        current = _names(spec.providers) or current
        for name in current if covers(spec) else ():
            states.pop(name, None)
            if name in scoped and not spec.disabled:
                states[name] = spec.filter.expression if spec.filter else ""
    return states
