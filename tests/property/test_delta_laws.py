"""What a stream sends by looking at changes alone is what it would send if it compared everything."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_runtime.xds import protos
from mesh_runtime.xds.snapshot import Kind, Packer
from mesh_runtime.xds.stream import DeltaStream

NAMES = "abc"
contents = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2))
offers = st.tuples(st.just("offer"), contents, contents, contents)
asks = st.tuples(
    st.just("ask"),
    st.sampled_from([Kind.CDS, Kind.EDS, Kind.LDS, Kind.SDS]),
    st.lists(st.sampled_from([*NAMES, "*"]), max_size=2),
    st.lists(st.sampled_from(NAMES), max_size=2),
)
answers = st.tuples(st.just("answer"), st.integers(0, 3), st.booleans())
pauses = st.tuples(st.just("wait"), st.sampled_from([1, 2000]))
steps = st.lists(st.one_of(offers, offers, asks, answers, pauses), max_size=30)


class Side:
    """One of two streams that hear and are offered the same."""

    def __init__(self, everything):
        self.stream = DeltaStream("node")
        self.everything = everything
        self.sent = []

    def take(self, snapshot, now_ms):
        if self.everything:
            for subscription in self.stream._subscriptions.values():
                subscription.compared = None
        taken = []
        for wire in self.stream.due(snapshot, now_ms):
            response = protos.message_class(protos.DELTA_RESPONSE).FromString(wire)
            self.sent.append((response.type_url, response.nonce))
            resources = sorted((one.name, one.version) for one in response.resources)
            taken.append((response.type_url, resources, sorted(response.removed_resources)))
        return taken, self.stream.answered, {kind: status.sent for kind, status in self.stream.types.items()}


def group(kind, found):
    match kind:
        case Kind.EDS:
            return tuple({"cluster_name": name, "policy": {"overprovisioning_factor": n}} for name, n in found.items())
        case Kind.CDS:
            return tuple({"name": name, "type": "EDS", "connect_timeout": f"{n}s"} for name, n in found.items())
        case _:
            return tuple({"name": name} for name in found)


def request(kind, wanted, unwanted):
    fields = {"type_url": kind.type_url, "resource_names_subscribe": wanted, "resource_names_unsubscribe": unwanted}
    return protos.message(protos.DELTA_REQUEST, fields)


def answer(sent, refused):
    error = {"error_detail": {"code": 13, "message": "no"}} if refused else {}
    return protos.message(protos.DELTA_REQUEST, {"type_url": sent[0], "response_nonce": sent[1], **error})


@settings(max_examples=300, deadline=None)
@given(steps)
def test_a_stream_that_looks_at_changes_sends_what_one_that_compares_everything_sends(found):
    packer, now_ms = Packer(), 1000
    snapshot = packer.snapshot(0, {})
    shared = {}
    sides = Side(everything=False), Side(everything=True)
    for number, (what, *how) in enumerate((("ask", Kind.CDS, [], []), *found)):
        match what:
            case "offer":
                clusters, listeners, own = how
                # Equal groups are often the same object, as translation makes them.
                groups = {Kind.CDS: clusters, Kind.EDS: clusters, Kind.LDS: listeners, Kind.SDS: own}
                made = {kind: (shared.setdefault((kind, str(one)), group(kind, one)),) for kind, one in groups.items()}
                snapshot = packer.snapshot(number, made)
            case "ask":
                for side in sides:
                    side.stream.receive(request(*how), now_ms)
            case "answer":
                for side in sides:
                    for sent in side.sent[how[0] : how[0] + 1]:
                        side.sent.remove(sent)
                        side.stream.receive(answer(sent, how[1]), now_ms)
            case "wait":
                now_ms += how[0]
        one, other = (side.take(snapshot, now_ms) for side in sides)
        assert one == other
