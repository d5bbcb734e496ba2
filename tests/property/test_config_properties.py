import copy
import json
import os
import random
import re
import unicodedata

import pytest
import yaml
from config_samples import SAMPLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh_runtime.api import KINDS, ConfigError, dump, load, parse
from mesh_runtime.api.regex import complaint
from mesh_runtime.api.spec import Spec

pytestmark = pytest.mark.soak

many = settings(
    max_examples=10_000 if os.environ.get("SOAK") else 150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def field_names():
    names = {"apiVersion", "kind", "metadata", "spec", "items", "name", "namespace", "labels", "annotations", "<<", ""}
    for kind in Spec.__subclasses__():
        names |= {info.alias for info in kind.model_fields.values()} | kind.later | kind.ignored
    return sorted(names)


words = st.one_of(
    st.sampled_from([*KINDS, *field_names(), "List", "*", "5s", "0s", "80", "a.b", "v1", "networking.istio.io/v1"]),
    st.text(max_size=20),
)
scalars = st.one_of(
    words, st.none(), st.booleans(), st.integers(), st.floats(), st.just(10**400), st.binary(max_size=3), st.dates()
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(words, inner, max_size=5),
        st.dictionaries(st.integers() | st.none(), inner, max_size=2),
    ),
    max_leaves=25,
)


def places(value, at=()):
    """Every place in a manifest."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*at, key)
            yield from places(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (*at, index)
            yield from places(item, (*at, index))


@st.composite
def bent(draw):
    """A sample with a few places deleted, replaced, renamed or doubled."""
    out = copy.deepcopy(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 3))):
        found = list(places(out))
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        parent = out
        for step in way:
            parent = parent[step]
        match draw(st.sampled_from(["delete", "replace", "rename", "again"])):
            case "delete":
                del parent[last]
            case "replace":
                parent[last] = draw(values)
            case "rename" if isinstance(parent, dict):
                parent[draw(words)] = parent.pop(last)
            case "again" if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[last]))
    return out


def shuffled(value, order):
    if isinstance(value, dict):
        return {key: shuffled(item, order) for key, item in order.sample(list(value.items()), len(value))}
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


def outcome(read, value):
    """What is read; ``None``: it was refused, in words."""
    try:
        return read(value)
    except ConfigError as error:
        problems = error.problems
    assert problems
    assert all(problem.object and problem.message for problem in problems)
    return None


@given(values)
@many
def test_whatever_it_is_it_is_parsed_or_refused_in_words(value):
    outcome(parse, value)


@given(bent(), st.randoms(use_true_random=False))
@many
def test_what_is_accepted_has_one_form_that_is_read_as_the_same(manifest, order):
    item = outcome(parse, manifest)
    if item is None:
        return
    text = dump([item])
    assert load(text) == (item,)
    assert dump(load(text)) == text
    assert parse(item.manifest).manifest == item.manifest
    assert parse(json.loads(json.dumps(item.manifest))) == item
    assert dump([parse(shuffled(manifest, order))]) == text


@given(st.text(alphabet=st.characters(), max_size=200))
@many
def test_whatever_the_text_it_is_loaded_or_refused_in_words(text):
    outcome(load, text)


SOURCE = yaml.safe_dump_all(SAMPLES)
snippets = st.sampled_from(
    [":", "- ", "\n", "  ", "{", "}", "[", "]", "&a ", "*a", "!!int ", "? ", "| \n", ">", "'", '"', "#", "---\n", "\t"]
)


@given(st.lists(st.tuples(st.integers(0, len(SOURCE)), st.integers(0, 12), snippets | st.text(max_size=4)), max_size=6))
@many
def test_broken_yaml_is_loaded_or_refused_in_words(edits):
    text = SOURCE
    for at, length, new in edits:
        text = text[:at] + new + text[at + length :]
    outcome(load, text)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(), max_size=4))
@many
def test_every_text_survives_being_written(annotations):
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "annotations": annotations}}
    item = outcome(parse, manifest)
    if item is None:
        assert any(
            unicodedata.category(char) in ("Cc", "Cn", "Cf", "Zl", "Zp") for char in "".join(annotations.values())
        )
        return
    assert item.annotations == annotations
    assert load(dump([item])) == (item,)


pieces = st.sampled_from(
    [
        *"ab-[]()*+?{}|.^$é0",
        *("[^", "(?:", "(?i)", "(?P<n>", "(?=", "{2}", "{2,1}", "{99}", "\\", "\\d", "\\1", "\\x41"),
        *("\\pL", "\\Q", "\\E", "[:alpha:]", "\\b", "a-z", "\\p{Greek}"),
    ]
)


@given(st.lists(pieces, max_size=12).map("".join))
@many
def test_a_pattern_is_judged_without_being_tried(pattern):
    verdict = complaint(pattern)
    assert verdict is None or isinstance(verdict, str)
    if re.fullmatch(r"[a-z.]+", pattern):
        assert verdict is None


def test_the_samples_are_valid_as_they_are():
    order = random.Random(1)
    for manifest in SAMPLES:
        assert parse(shuffled(manifest, order)) == parse(manifest)
    assert {manifest["kind"] for manifest in SAMPLES} == set(KINDS)
