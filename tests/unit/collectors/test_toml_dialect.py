from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from collectors.dialects import known, registry
from collectors.errors import CollectorError

EXAMPLE = Path(__file__).parents[2] / "golden" / "dialects" / "acme" / "acme.toml"
LEAST = 'name = "mine"\nrequests = "r_total"\n[target]\nworkload = "to"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_a_file_gives_a_dialect_like_any():
    acme = known([EXAMPLE])["acme"]
    assert (acme.title, acme.instance_labels, acme.latency) == ("Acme Mesh", ("pod", "instance"), "first byte")
    assert acme.selector == 'direction=~"outbound|inbound"'
    assert "cluster_name" in acme.labels
    assert "to_service" not in acme.labels
    assert [gap.signal for gap in acme.gaps] == ["version"]
    assert "from_pod" in acme.requires[0].remedy


def test_little_is_enough(tmp_path):
    mine = known([write(tmp_path, LEAST)])["mine"]
    identity, _ = mine.read("r_total", {"to": "cart"}, "c")
    assert (identity.edge.target.workload, mine.metrics) == ("cart", ("r_total",))


def test_a_file_replaces_a_built_in_dialect_of_the_same_name(tmp_path):
    assert known([write(tmp_path, LEAST.replace("mine", "istio"))])["istio"].metrics == ("r_total",)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (LEAST + 'pods = "x"\n', r"target\.pods: is none of workload, namespace, .*pod, kind"),
        (LEAST.replace("r_total", "r total"), r"requests\.0: String should match pattern"),
        ('unit = "minutes"\n' + LEAST, r"unit: Input should be 'ms' or 's'"),
        (LEAST.replace('requests = "r_total"\n', ""), "requests or tcp must name a metric"),
        (LEAST.replace('workload = "to"', ""), "target or service must name"),
        (LEAST.replace("mine", "Mine!"), "name: String should match"),
        (LEAST + '[tcp]\nx_total = "bytes"\n', r"tcp\.x_total: Input should be 'sent_bytes'"),
        (LEAST + '[only]\nx = "("\n', r"only\.x: is no regular expression"),
        (LEAST + '[[unpack]]\nlabel = "x"\npattern = "y"\n', r"unpack\.0: pattern has no named group"),
        (LEAST + '[reporter]\nlabel = "x"\n', "reporter: label and values belong together"),
        (LEAST + '[reporter]\nlabel = "x"\nvalues = { a = "nobody" }\n', r"reporter\.values\.a: Input should be"),
        (LEAST + '[mtls.tls]\nyes = "sure"\n', r"mtls\.tls\.yes: Input should be"),
        (
            LEAST + '[[requires]]\nwhy = "x"\n',
            r"requires\.0\.why: is none of metric, labels, reason, remedy",
        ),
        ("name = ", "is no TOML"),
    ],
)
def test_a_mistake_is_told_with_the_file_and_the_field(tmp_path, text, what):
    with pytest.raises(CollectorError, match=rf"mine\.toml: .*{what}"):
        known([write(tmp_path, text)])


def test_all_mistakes_are_told_at_once(tmp_path):
    text = f'unit = "minutes"\nlatencies = "x"\n{LEAST}[whole]\npart = 1\n'
    with pytest.raises(CollectorError) as caught:
        known([write(tmp_path, text)])
    told = str(caught.value).partition("mine.toml: ")[2].split("; ")
    assert [one.partition(":")[0] for one in told] == ["unit", "whole.parts", "whole.part", "latencies"]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CollectorError, match=r"mine\.toml: No such file"):
        known([tmp_path / "mine.toml"])


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with pytest.raises(CollectorError, match="larger than"):
        known([write(tmp_path, "#" * 2_000_000)])


def test_an_installed_package_brings_a_dialect(monkeypatch):
    entry = EntryPoint("ours", "collectors.dialects.osm:DIALECT", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: EntryPoints([entry]))
    assert known()["osm"].title == "Open Service Mesh"


def test_an_installed_package_that_brings_something_else_is_told(monkeypatch):
    entry = EntryPoint("ours", "collectors.dialects.osm:PACKED", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: EntryPoints([entry]))
    with pytest.raises(CollectorError, match=r"entry point 'ours' of group meshscope\.dialects is Pattern"):
        known()
