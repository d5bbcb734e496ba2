"""Admission of what is about observing: providers that can be reached, and Telemetry by the providers it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mesh_runtime.api.extension_providers import ACCESS_LOGGING, METRICS, TRACING
from mesh_runtime.api.mesh_config import KEY, mesh_config, unsound
from mesh_runtime.api.objects import Config, ConfigObject, Problem
from mesh_runtime.api.problems import path
from mesh_runtime.api.providers import is_of_mesh
from mesh_runtime.api.telemetry import AccessLogging, Metrics, ProviderRef, Telemetry, Tracing


def observed_problems(config: Config, hosts: Mapping[str, set[int]]) -> Iterator[Problem]:
    """Name what is wrong with providers and with each Telemetry. *hosts* are the mesh's, with their ports."""
    item = config.objects.get(KEY)
    if item is None or not unsound(item):
        yield from _unreachable(config, hosts)
        yield from _providers(config)


def _unreachable(config: Config, hosts: Mapping[str, set[int]]) -> Iterator[Problem]:
    for index, provider in enumerate(mesh_config(config).extension_providers):
        remote = provider.remote
        if remote is None:
            continue
        ports = hosts.get(remote.host)
        where = f"data.mesh: extensionProviders[{index}]"
        if ports is None and is_of_mesh(remote):
            message = f"there is no service {remote.host}"
            yield Problem(str(KEY), f"{where}.service", message, "apply it first, or name a host that DNS knows")
        elif ports and remote.port not in ports:
            fix = f"its ports are {', '.join(map(str, sorted(ports)))}"
            yield Problem(str(KEY), f"{where}.port", f"{remote.host} has no port {remote.port}", fix)


def _providers(config: Config) -> Iterator[Problem]:
    mesh = mesh_config(config)
    for item, spec in _telemetries(config):
        for steps, provider, kinds in _named(spec):
            if wrong := mesh.no_provider(provider.name, kinds):
                yield Problem(str(item.key), path(("spec", *steps, "name")), *wrong)


def _named(spec: Telemetry) -> Iterator[tuple[tuple[str | int, ...], ProviderRef, frozenset[str]]]:
    usages: tuple[tuple[str, Sequence[Metrics | AccessLogging | Tracing], frozenset[str]], ...] = (
        ("metrics", spec.metrics, METRICS),
        ("accessLogging", spec.access_logging, ACCESS_LOGGING),
        ("tracing", spec.tracing, TRACING),
    )
    for usage, rules, kinds in usages:
        for at, rule in enumerate(rules):
            for index, provider in enumerate(rule.providers):
                yield (usage, at, "providers", index), provider, kinds


def _telemetries(config: Config) -> Iterator[tuple[ConfigObject, Telemetry]]:
    for item in config.of("Telemetry"):
        if isinstance(item.spec, Telemetry):
            yield item, item.spec
