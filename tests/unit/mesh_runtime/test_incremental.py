import pytest

from mesh_runtime.xds.incremental import Collection, Memo


class Shop:
    def __init__(self, **prices):
        self.memo = Memo()
        self.goods = Collection("goods", self.memo, lambda good: (None, good[0]))
        self.ran = []
        self.sell(**prices)

    def sell(self, **prices):
        self.goods.become({"": {name: (name, price) for name, price in prices.items()}})

    def price(self, name):
        def find():
            self.ran.append(name)
            return [price for _, price in self.goods.under(name)]

        return self.memo.once(("price", name), find)

    def bill(self, *names):
        def add():
            self.ran.append("bill")
            return sum(price for name in names for price in self.price(name))

        return self.memo.once("bill", add)


def test_a_change_runs_only_what_read_what_changed():
    shop = Shop(tea=2, jam=3, ham=4)
    assert shop.bill("tea", "jam") == 5
    shop.ran.clear()
    shop.sell(tea=2, jam=4, ham=9)
    assert shop.bill("tea", "jam") == 6
    assert shop.ran == ["jam", "bill"]


def test_an_equal_result_stops_the_change_and_stays_the_same_object():
    shop = Shop(tea=2, jam=3)
    ran = []

    def names():
        return shop.memo.once("names", lambda: [name for name, _ in shop.goods.under(None)])

    def longest():
        return shop.memo.once("longest", lambda: ran.append(1) or max(names(), key=len))

    longest()
    before = names()
    shop.sell(tea=5, jam=6)
    longest()
    assert names() is before
    assert ran == [1]


def test_a_function_that_captured_something_else_is_run_again():
    shop = Shop(tea=2, jam=3)
    assert shop.bill("tea") == 2
    shop.sell(tea=2, jam=3, ham=4)
    assert shop.bill("tea", "jam") == 5


def test_a_loop_s_variable_counts_as_it_was_when_the_function_was_given():
    shop = Shop(tea=2, jam=3)

    def prices():
        found = []
        for name in ("tea", "jam"):
            found += shop.memo.once(("of", name), lambda: shop.price(name))  # noqa: B023
        return found

    assert shop.memo.once("prices", prices) == [2, 3]
    shop.sell(tea=7, jam=3)
    assert shop.memo.once("prices", prices) == [7, 3]


def test_of_a_dictionary_the_entries_that_did_not_change_stay_the_same_objects():
    shop = Shop(tea=2, jam=3)

    def listed():
        return shop.memo.once("list", lambda: {name: [price] for name, price in shop.goods.under(None)})

    before = listed()
    shop.sell(tea=2, jam=4)
    after = listed()
    assert after == {"jam": [4], "tea": [2]}
    assert after["tea"] is before["tea"]


def test_the_order_of_a_dictionary_is_part_of_it():
    shop = Shop(a=1)
    order = ["x", "y"]
    shop.memo.once("d", lambda: dict.fromkeys(order if shop.goods.under("a") else reversed(order)))
    shop.sell(b=1)
    assert list(shop.memo.once("d", lambda: dict.fromkeys(order if shop.goods.under("a") else reversed(order)))) == [
        "y",
        "x",
    ]


def test_a_function_that_fails_is_run_again():
    shop = Shop(tea=0)

    def rate():
        (good,) = shop.goods.under("tea")
        return 10 / good[1]

    with pytest.raises(ZeroDivisionError):
        shop.memo.once("rate", rate)
    with pytest.raises(ZeroDivisionError):
        shop.memo.once("rate", rate)
    shop.sell(tea=5)
    assert shop.memo.once("rate", rate) == 2


def test_what_nobody_asks_for_any_more_is_forgotten():
    shop = Shop(tea=2, jam=3)
    shop.bill("tea", "jam")
    shop.memo.sweep()
    assert len(shop.memo) == 3
    shop.sell(tea=3)
    shop.bill("tea")
    shop.memo.sweep()
    assert len(shop.memo) == 2
    shop.memo.sweep()
    assert len(shop.memo) == 0


def test_of_a_collection_only_what_changed_is_run_again():
    shop = Shop(tea=2, jam=3, ham=4)
    ran = []

    def doubled(names):
        return shop.memo.each("doubled", names, lambda name, times: ran.append(name) or shop.price(name) * times)

    names = {"tea": 1, "jam": 1}
    before = doubled(names)
    shop.sell(tea=2, jam=9)
    after = doubled({**names, "ham": 2})
    assert ran == ["tea", "jam", "jam", "ham"]
    assert after == {"tea": [2], "jam": [9], "ham": []}
    assert after["tea"] is before["tea"]
    shop.sell(tea=2, jam=9, bun=1)
    assert doubled({**names, "ham": 2}) is after


def test_of_a_collection_of_the_same_items_only_what_they_read_is_run_again():
    shop = Shop(tea=2, jam=3)
    names, ran = {"tea": 1, "jam": 1}, []

    def one(name, times):
        ran.append(name)
        if shop.price(name) == [0]:
            raise ValueError(name)
        return shop.price(name) * times

    def each():
        return shop.memo.each("each", names, one)

    before = each()
    shop.sell(tea=2, jam=9)
    after = each()
    assert ran == ["tea", "jam", "jam"]
    assert after == {"tea": [2], "jam": [9]}
    assert after["tea"] is before["tea"]
    shop.sell(tea=0, jam=8)
    with pytest.raises(ValueError, match="tea"):
        each()
    shop.sell(tea=1, jam=8)
    assert each() == {"tea": [1], "jam": [8]}
    shop.sell(tea=1, jam=8)
    assert each() is each()
