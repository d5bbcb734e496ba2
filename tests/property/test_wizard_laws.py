"""Laws of traffic shifting, whatever the config looks like."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh_runtime.api import Config, dump, load, parse
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import SqliteConfig
from wizards.apply import Wizards
from wizards.intents import Foreign, Split, share
from wizards.plan import plan
from wizards.ports import Applied, Settlement
from wizards.writers.istio import read, write

HOSTS = ("catalog", "catalog.shop.svc.cluster.local")
NAMES = [f"v{number}" for number in range(1, 6)]

SERVICES = load(
    "".join(
        f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]}}\n"
        for name in ("catalog", "inventory")
    )
)


@st.composite
def percents(draw: st.DrawFn, names: Sequence[str]) -> dict[str, int]:
    """Share 100 among the names."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=len(names) - 1, max_size=len(names) - 1)))
    return {name: high - low for name, low, high in zip(names, [0, *cuts], [*cuts, 100], strict=True)}


subsets = st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True)


@st.composite
def splits(draw: st.DrawFn) -> Split:
    return Split(namespace="shop", service="catalog", weights=draw(percents(draw(subsets))))


extras = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.sampled_from(["1s", "250ms"]),
        "retries": st.just({"attempts": 2, "retryOn": "5xx"}),
        "name": st.sampled_from(["everyone", "rest"]),
        "headers": st.just({"request": {"add": {"x-seen": "1"}}}),
        "mirror": st.just({"host": "inventory"}),
    },
)
conditions = st.sampled_from(
    [{"uri": {"prefix": "/beta"}}, {"headers": {"x-tester": {"exact": "yes"}}}, {"method": {"exact": "PUT"}}]
)


def _object(kind: str, name: str, spec: dict[str, Any]) -> Any:
    metadata = {"name": name, "namespace": "shop", "labels": {"team": "shelf"}}
    return parse({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec})


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Make a catalog with or without subsets, rules with conditions, and a rule for the rest, as people write them."""
    items = list(SERVICES)
    defined = draw(st.one_of(st.just([]), subsets))
    if defined:
        spec = {
            "host": draw(st.sampled_from(HOSTS)),
            "subsets": [{"name": n, "labels": {"version": n}} for n in defined],
        }
        items.append(_object("DestinationRule", draw(st.sampled_from(["catalog", "rules"])), spec))
    if draw(st.booleans()):
        host = draw(st.sampled_from(HOSTS))
        weights = draw(percents(defined)) if defined and draw(st.booleans()) else {"": 100}
        route: list[dict[str, Any]] = []
        for subset, weight in weights.items():
            target: dict[str, Any] = {"destination": {"host": host, **({"subset": subset} if subset else {})}}
            if draw(st.booleans()):
                target["headers"] = {"request": {"set": {"x-shop-fault": "slow"}}}
            route.append({**target, "weight": weight} if len(weights) > 1 else target)
        rules: list[dict[str, Any]] = [
            {"match": [condition], "route": [{"destination": {"host": "inventory"}}]}
            for condition in draw(st.lists(conditions, max_size=2))
        ]
        rules.append({"route": route, **draw(extras)})
        spec = {"hosts": [draw(st.sampled_from(HOSTS))], "http": rules}
        items.append(_object("VirtualService", draw(st.sampled_from(["catalog", "routes"])), spec))
    objects = {item.key: item for item in items}
    return Config(revision=3, objects=objects, changed_in=dict.fromkeys(objects, 3))


def _after(config: Config, split: Split) -> Config:
    written = write(split, config)
    assert not isinstance(written, Foreign)
    return Config(revision=4, objects={**config.objects, **{item.key: item for item in written}})


def _without_weights(config: Config) -> dict[str, Any]:
    """Everything that a split may not touch."""
    left: dict[str, Any] = {}
    for key, item in config.objects.items():
        manifest = load(dump([item]))[0].manifest
        for rule in manifest.get("spec", {}).get("http", ()):
            for target in rule.get("route", ()):
                target.pop("weight", None)
        left[str(key)] = manifest
    return left


@given(configs(), splits())
def test_what_is_written_reads_as_the_intent(config: Config, split: Split) -> None:
    found = read(_after(config, split), "shop", "catalog")
    assert isinstance(found, Split)
    assert {name: weight for name, weight in found.weights.items() if name in split.weights} == split.weights
    assert all(weight == 0 for name, weight in found.weights.items() if name not in split.weights)


@given(configs(), splits())
def test_writing_twice_is_writing_once(config: Config, split: Split) -> None:
    assert write(split, _after(config, split)) == ()


@given(configs(), splits())
def test_every_rule_written_adds_up_to_a_hundred(config: Config, split: Split) -> None:
    for item in _after(config, split).of("VirtualService"):
        for rule in item.manifest["spec"]["http"]:
            weights = [target["weight"] for target in rule["route"] if "weight" in target]
            assert sum(weights) in {0, 100}
            assert sum(weights) == 100 or len(rule["route"]) == 1


@given(configs(), st.data())
def test_between_known_subsets_nothing_but_weights_changes(config: Config, data: st.DataObject) -> None:
    now = read(config, "shop", "catalog")
    if isinstance(now, Split):
        split = Split(namespace="shop", service="catalog", weights=data.draw(percents(list(now.weights))))
        assert _without_weights(_after(config, split)) == _without_weights(config)


@given(configs(), splits())
def test_a_plan_names_every_object_it_would_change(config: Config, split: Split) -> None:
    made = plan(split, config)
    assert {change.key for change in made.changes} <= made.planned_on.keys()
    assert all(change.diff for change in made.changes)


class _Log:
    def __init__(self) -> None:
        self.entries: dict[str, Applied] = {}

    async def record(self, applied: Applied) -> None:
        self.entries[applied.id] = applied

    async def entry(self, applied_id: str) -> Applied | None:
        return self.entries.get(applied_id)

    async def recent(self, limit: int = 50) -> Sequence[Applied]:
        return list(self.entries.values())[:limit]


async def _settled(_revision: int, _timeout_s: float) -> Settlement:
    return Settlement(acknowledged=0)


@given(configs(), st.lists(splits(), min_size=1, max_size=3))
def test_undoing_everything_restores_the_config_to_the_byte(config: Config, wanted: list[Split]) -> None:
    async def there_and_back() -> tuple[str, str]:
        async with SqliteConfig(":memory:") as store:
            await store.commit(Change(put=tuple(config.objects.values()), author="grace"))
            wizards = Wizards(store, _Log(), _settled)
            before = dump(store.current.objects.values())
            applied = []
            for split in wanted:
                made = await wizards.plan(split)
                if made.changes:
                    applied.append(await wizards.apply(made, author="ada"))
                    assert applied[-1].readback_ok
            for change in reversed(applied):
                assert (await wizards.undo(change.id, author="ada")).readback_ok
            return before, dump(store.current.objects.values())

    before, after = asyncio.run(there_and_back())
    assert after == before


@given(st.integers(0, 1000), st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), min_size=1, max_size=8))
def test_shares_add_up_whatever_the_parts(total: int, parts: dict[str, float]) -> None:
    result = share(total, parts)
    assert sum(result.values()) == total
    assert all(value >= 0 for value in result.values())
