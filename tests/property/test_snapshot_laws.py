"""A snapshot that is made after another is refused for what it would be refused for alone."""

from hypothesis import given
from hypothesis import strategies as st

from mesh_runtime.xds.snapshot import InconsistentSnapshotError, Kind, Packer

CLUSTERS = [{"name": name, "connect_timeout": "1s"} for name in "abcd"]
CHANGED = [{"name": name, "connect_timeout": "2s"} for name in "ab"]
ROUTES = [
    {
        "name": f"to {cluster}",
        "virtual_hosts": [
            {"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]}
        ],
    }
    for cluster in "abc"
]


@st.composite
def groups(draw, resources, least):
    """Cut resources into two groups, of which the first is made of two runs."""
    kept = draw(st.permutations(resources))[: draw(st.integers(least, len(resources)))]
    first, second = sorted(draw(st.tuples(*[st.integers(0, len(kept))] * 2)))
    return (tuple(kept[:first]), tuple(kept[first:second])), tuple(kept[second:])


steps = st.fixed_dictionaries(
    {Kind.CDS: groups(CLUSTERS, 3) | groups(CLUSTERS[2:] + CHANGED, 3) | groups(CLUSTERS + CHANGED, 4)}
    | {Kind.RDS: groups(ROUTES, 0)}
)


def judged(packer, resources, before=None):
    try:
        return packer.snapshot(1, resources, before), ""
    except InconsistentSnapshotError as error:
        return None, str(error)


def versions(snapshot):
    return {kind: {name: one.version for name, one in of.items()} for kind, of in snapshot.resources.items()}


@given(st.lists(steps, min_size=2, max_size=6))
def test_after_another_a_snapshot_is_refused_for_what_it_would_be_refused_for_alone(found):
    packer, before = Packer(), None
    for resources in found:
        now, refused = judged(packer, resources, before)
        alone, refused_alone = judged(Packer(), resources)
        assert refused == refused_alone
        if now is not None:
            assert versions(now) == versions(alone)
            before = now
