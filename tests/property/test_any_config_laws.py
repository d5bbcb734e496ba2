"""Whatever happens to config of every kind and to instances, snapshots hold together and owe nothing to the past.

``SOAK=1`` tries more.
"""

import os
import random

import pytest
from any_config import Maker
from test_xds_laws import instances
from test_xds_sequences import after

from mesh_runtime.api import Config, load
from mesh_runtime.identity.authority import Authority
from mesh_runtime.registry import RegistryState
from mesh_runtime.xds.publisher import Publisher
from mesh_runtime.xds.snapshot import Kind
from mesh_runtime.xds.translate import MeshSettings

SEQUENCES = 2000 if os.environ.get("SOAK") else 120
STEPS = (2, 3)
CONFIGS = 60
HAPPENINGS = ("nothing", "drains", "returns", "moves", "other port", "other labels", "goes", "renews")
LEFT_OUT = " is left out: "
SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec: {selector: {app: catalog}, ports: [{name: http, port: 80}, {name: main, port: 82, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: tcp, port: 6379, targetPort: tcp}]}
---
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: shop}
spec: {clusterIP: None, selector: {app: catalog}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Secret
metadata: {name: web-cert, namespace: shop}
stringData: {word: "1"}
"""
NAMES = {
    "host": ("catalog", "db", "pay.example.com"),
    "hosts": ("catalog", "db", "pay.example.com", "*"),
    "subset": ("v1", "v2"),
    "gateways": ("mesh", "one", "shop/one"),
    **dict.fromkeys(
        ("selector", "labels", "match_labels"), ({"app": "catalog"}, {"app": "ingress"}, {"app": "db"}, {})
    ),
    "value": ({"connect_timeout": "2s"}, {"name": "own", "connect_timeout": "1s"}, {"route": {"cluster": "own"}}),
}


@pytest.fixture(scope="module")
def configs():
    base = load(SERVICES)
    return [(*base, *Maker(random.Random(seed), NAMES).config(base)) for seed in range(CONFIGS)]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), lambda: 1_700_000_000_000)


def given(snapshots):
    """What every proxy is given by name and version, its own certificate apart."""
    return {
        (node, kind, name): packed.version
        for node, snapshot in snapshots.items()
        for kind, offer in snapshot.resources.items()
        for name, packed in offer.items()
        if (kind, name) != (Kind.SDS, "default")
    }


def step(chance, configs, config, present):
    """Return what comes after: some objects of one config join or replace others, some go, and an instance changes."""
    objects = {key: item for key, item in config.items() if chance.random() < 0.8}
    objects |= {item.key: item for item in chance.choice(configs) if chance.random() < 0.5}
    one = chance.choice(list(instances()))
    happening = chance.choice(HAPPENINGS)
    present = {**present, one.id: after(present.get(one.id, one), happening)}
    if happening == "goes":
        del present[one.id]
    return objects, present


@pytest.mark.timeout(400)  # forty seconds of computing
def test_after_any_changes_snapshots_hold_together_and_are_what_they_would_be_from_nothing(configs, authority):
    for seed in range(SEQUENCES):
        chance = random.Random(seed)
        kept = Publisher(authority, MeshSettings())
        objects, present = {}, {one.id: one for one in instances()}
        for number in range(chance.choice(STEPS)):
            before = RegistryState(instances=present)
            objects, present = step(chance, configs, objects, present)
            state = Config(revision=number, objects=objects), RegistryState(instances=present)
            kept.take(state[0], before)
            kept.serve(slice_s=0)  # the next change comes when only one proxy was served
            served = kept.snapshots(*state)
            assert not {why for why in kept.problems.values() if LEFT_OUT not in why}, seed
            again = kept.snapshots(*state)
            assert all(again[node].resources is snapshot.resources for node, snapshot in served.items()), seed
        fresh = Publisher(authority, MeshSettings())
        assert given(served) == given(fresh.snapshots(*state)), seed
        assert kept.problems == fresh.problems, seed
