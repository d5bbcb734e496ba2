import time

import pytest
from config_words import namespace

from mesh_runtime.api import KINDS, ConfigError, dump, load

ONE = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}\n"


def refusal(text):
    with pytest.raises(ConfigError) as refused:
        load(text)
    return str(refused.value)


def test_documents_keep_their_order_and_empty_ones_do_not_count():
    text = f"---\n{ONE.format('b')}---\n---\n# nothing\n---\n{ONE.format('a')}"
    assert [item.key.name for item in load(text)] == ["b", "a"]


def test_a_list_counts_as_its_items():
    text = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n- {}\n"
    assert refusal(text) == "document 1 items[1] kind: is required; add it"
    assert [item.key.name for item in load(text.replace("- {}\n", ""))] == ["a"]


def test_problems_of_all_documents_are_told_at_once():
    text = "\n---\n".join([ONE.format("A"), ONE.format("b"), "kind: Nothing", "5"])
    assert refusal(text).splitlines() == [
        "Namespace A metadata.name: \"A\" is not a DNS label; use lower-case letters, digits and '-'",
        ("document 3 kind: Nothing is not a kind this runtime knows; known here: " + ", ".join(sorted(KINDS))),
        "document 4: must be a mapping with apiVersion and kind, not a number (5)",
    ]


def test_the_same_object_twice_is_refused():
    assert "is there twice, the second time as document 2" in refusal(f"{ONE.format('a')}---\n{ONE.format('a')}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b: c", "line 1, column 5"),
        ("a: [", "is not YAML"),
        ("a: 1\na: 2", 'the key "a" is there twice, line 2'),
        ("a: !!python/object:os.system x", "the tag tag:yaml.org,2002:python/object:os.system is not a"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "merge keys"),
        ("a: *x", "the alias *x has no anchor"),
        ("? [a]\n: b", "a key is not text"),
        ("[" * 100_000, "levels deep"),
        ("a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdefghi", "bcdefghij", strict=True)), "more than 50000 values"),
        ("#" * (1024 * 1024 + 1), "is bigger than 1024 KiB"),
        ("\udcff", "not valid Unicode"),
        ("a: \x00", "control characters"),
    ],
)  # fmt: skip
def test_a_text_that_is_not_a_manifests_yaml_is_refused_at_once(text, words):
    start = time.monotonic()
    assert words in refusal(text)
    assert time.monotonic() - start < 10  # unbounded, these would take minutes or all memory


def test_yaml_is_read_as_kubectl_reads_it():
    text = ONE.format("a") + "  labels: {a: 'yes', b: \"1\", c: !!str 2, d: v1.2}\n  annotations: {8080: 'x'}\n"
    (item,) = load(text)
    assert item.labels == {"a": "yes", "b": "1", "c": "2", "d": "v1.2"}
    assert item.annotations == {"8080": "x"}


@pytest.mark.parametrize("value", ["1.10", "on", "5", "0x10", "true"])
def test_a_label_that_yaml_takes_for_something_else_needs_quotes(value):
    assert "put it in quotes" in refusal(ONE.format("a") + f"  labels: {{version: {value}}}\n")


def test_an_anchor_may_be_used_where_it_is_small():
    (item,) = load(ONE.format("a") + "  labels: &l {a: b}\n  annotations: *l\n")
    assert item.annotations == {"a": "b"}


@pytest.mark.parametrize("value", ["yes", "1e3", "1:30", "0o17", "2024-01-01", "~", "", " a ", "a: b", "é", "a\nb\n"])
def test_text_stays_text_when_written_and_read_again(value):
    item = namespace("a")
    text = dump([item]) + f"  annotations:\n    note: {value!r}\n" if "\n" not in value else None
    if text:
        (item,) = load(text)
        assert item.annotations == {"note": value}
        assert load(dump([item])) == (item,)
