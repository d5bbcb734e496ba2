"""What is kept from change to change is what would be worked out from nothing."""

from hypothesis import given
from hypothesis import strategies as st

from mesh_runtime.xds.incremental import Collection, Memo

NAMES = "abcd"
numbers = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3))


class Sheet:
    """A spreadsheet: named numbers, and formulas over them that read each other."""

    def __init__(self):
        self.memo = Memo()
        self.numbers = Collection("numbers", self.memo, lambda item: (None, item[0]))
        self.runs = []

    def fill(self, found):
        parts = {"ab": {}, "cd": {}}
        for name, value in found.items():
            parts["ab" if name in "ab" else "cd"][name] = name, value
        self.numbers.become({part: items for part, items in parts.items() if items})

    def value(self, name):
        return next((value for _, value in self.numbers.under(name)), 0)

    def result(self, name, factor):
        def compute():
            self.runs.append(name)
            match name:
                case "sum":
                    return sum(value for _, value in self.numbers.under(None))
                case "which":
                    return NAMES[self.result("sum", factor) % len(NAMES)]
                case "chosen":
                    return self.value(self.result("which", factor)) * factor
                case "order":
                    return {name: value for name, value in self.numbers.under(None) if value}
                case _:
                    return self.result("chosen", factor), tuple(self.result("order", factor))

        return self.memo.once(name, compute)


@given(st.lists(st.tuples(numbers, st.integers(1, 2), st.permutations(["sum", "which", "chosen", "order", "all"]))))
def test_after_any_changes_every_result_is_the_one_worked_out_from_nothing(steps):
    kept = Sheet()
    for found, factor, asked in steps:
        kept.fill(found)
        fresh = Sheet()
        fresh.fill(found)
        for name in asked[:3]:
            assert kept.result(name, factor) == fresh.result(name, factor)
        kept.memo.sweep()
        assert len(kept.memo) <= 5


@given(st.lists(st.tuples(numbers, numbers, st.integers(1, 2)), min_size=1))
def test_a_collection_is_what_its_items_would_be_one_by_one(steps):
    kept = Sheet()
    for found, items, factor in steps:
        kept.fill(found)
        results = kept.memo.each("all", items, lambda name, item: (kept.value(name) * factor, item))  # noqa: B023
        assert list(results.items()) == [(name, (found.get(name, 0) * factor, item)) for name, item in items.items()]
        kept.memo.sweep()
        assert len(kept.memo) == 1 + len(items)


@given(st.lists(numbers, min_size=1))
def test_nothing_is_worked_out_twice_for_the_same_input(steps):
    sheet = Sheet()
    for found in steps:
        sheet.fill(found)
        sheet.result("all", 1)
        sheet.runs.clear()
        sheet.fill(dict(found))
        sheet.result("all", 1)
        assert sheet.runs == []
