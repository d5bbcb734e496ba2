"""However config and instances came to be as they are, proxies are given what they would be given from nothing."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from test_xds_laws import SECRETS, instances, manifests

from mesh_runtime.api import Config, parse
from mesh_runtime.registry import RegistryState
from mesh_runtime.xds.snapshot import Kind, Packer
from mesh_runtime.xds.translate import MeshSettings, World, translate

happenings = st.sampled_from(["nothing", "drains", "returns", "moves", "other port", "other labels", "goes", "renews"])
steps = st.lists(
    st.tuples(manifests, st.sets(st.integers(0, 20), max_size=3), st.integers(0, 2), happenings), min_size=2, max_size=5
)


def after(one, happening):
    match happening:
        case "drains":
            return replace(one, draining=True)
        case "moves":
            return replace(one, address="127.64.1.77")
        case "other port":
            return replace(one, ports={"http-more": 7000, **one.ports})
        case "other labels":
            return replace(one, labels={**one.labels, "version": "v2", "app": "orders"})
        case "renews":
            return replace(one, lease_until_ms=one.lease_until_ms + 1)
        case _:
            return one


def versions(world, packer, registry):
    """Return what every proxy is given, and hold on to it: dangling references raise."""
    kept = {}
    for one in world.instances:
        made = world.once(("proxy", one.id), lambda: translate(world, one))  # noqa: B023
        kept[one.id] = packer.snapshot(1, {**made, Kind.SDS: (*made.get(Kind.SDS, ()), SECRETS)})
    found = {
        key: {kind: [(name, packed.version) for name, packed in of.items()] for kind, of in snapshot.resources.items()}
        for key, snapshot in kept.items()
    }
    return found, kept


@settings(max_examples=30, deadline=None)
@given(steps)
def test_after_any_changes_proxies_are_given_what_they_would_be_given_from_nothing(found):
    everyone = list(instances())
    present = {one.id: one for one in everyone}
    objects = {}
    kept_world, kept_packer, kept = World(Config(), RegistryState(), MeshSettings()), Packer(), None
    for put, gone, who, happening in found:
        objects = {key: item for number, (key, item) in enumerate(objects.items()) if number not in gone}
        objects |= {item.key: item for item in map(parse, put)}
        one = everyone[who]
        present = {**present, one.id: after(present.get(one.id, one), happening)}
        if happening == "goes":
            del present[one.id]
        config, registry = Config(objects=objects), RegistryState(instances=present)
        kept_world.advance(config, registry)
        now, kept = versions(kept_world, kept_packer, registry)
        kept_world.forget()
        fresh, _ = versions(World(config, registry, MeshSettings()), Packer(), registry)
        assert now == fresh
    assert kept is not None
