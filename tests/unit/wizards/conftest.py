"""A small shop as config, facts about it, and a store to change it in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from wizard_words import ROUTES, SERVICES, SUBSETS, Bench, config_of, version_facts

from mesh_runtime.api import Config
from mesh_runtime.store.sqlite import SqliteConfig
from wizards.facts import Facts, VersionFacts

Make = Callable[..., Config]


@pytest.fixture
def make() -> Make:
    """Make a config of the services and more."""
    return config_of


@pytest.fixture
def shop() -> Config:
    """The catalog with routes and subsets made by hand."""
    return config_of(SUBSETS, ROUTES)


@pytest.fixture
def running() -> Facts:
    """Two healthy versions."""
    return (version_facts("v1", instances=2), version_facts("v2"))


@pytest.fixture
def facts() -> Callable[..., VersionFacts]:
    return version_facts


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with SqliteConfig(":memory:", clock_ms=lambda: 1_700_000_000_000) as store:
        bench = Bench(store)
        await bench.put(SERVICES)
        await bench.put(SUBSETS)
        await bench.put(ROUTES)
        yield bench
