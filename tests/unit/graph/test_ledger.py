"""What the ledger remembers of readings."""

from __future__ import annotations

import pytest
from graph_words import T0, answered, edge, seen

from graph.columns import Field, Requests
from graph.ledger import Ledger
from graph.model import Reporter

CALLS = edge("web", "cart")


def total(ledger: Ledger) -> float:
    """All requests that the ledger holds."""
    counted = [isinstance(ledger.columns[column], Requests) for column in ledger.cells.column]
    return float(ledger.cells.values[counted].sum())


def folded(*readings) -> Ledger:
    ledger = Ledger(T0)
    for reading in readings:
        ledger.fold([reading])
    return ledger


def test_a_later_reading_replaces_the_earlier_one():
    assert total(folded(seen(CALLS, answered(5), at=1), seen(CALLS, answered(9), at=2))) == 9


def test_a_late_reading_changes_nothing_and_is_counted():
    ledger = folded(seen(CALLS, answered(9), at=2), seen(CALLS, answered(5), at=1), seen(CALLS, answered(9), at=2))
    assert total(ledger) == 9
    assert (ledger.drops.late, ledger.drops.duplicate) == (1, 1)


def test_a_falling_counter_is_a_restart_and_loses_nothing():
    assert total(folded(seen(CALLS, answered(9, failed=3), at=1), seen(CALLS, answered(10, failed=1), at=2))) == 23


def test_a_new_epoch_is_a_restart_even_where_no_counter_fell():
    assert total(folded(seen(CALLS, answered(9), at=1), seen(CALLS, answered(20), at=2, epoch=T0 + 1))) == 29


def test_the_last_word_of_a_finished_run_counts_though_it_comes_late():
    first = seen(CALLS, answered(9), at=1)
    last = seen(CALLS, answered(12), at=2)
    next_run = seen(CALLS, answered(20), at=3, epoch=T0 + 1)
    assert total(folded(first, next_run, last)) == 32
    assert total(folded(first, next_run, last, last, first)) == 32
    assert total(folded(next_run, last, first)) == 32


def test_latency_and_tcp_counters_survive_a_restart_too():
    before = answered(2, samples=(3.0, 30.0), sent_bytes=100.0, opened=2.0)
    after = answered(1, samples=(3.0,), sent_bytes=10.0, opened=1.0)
    ledger = folded(seen(CALLS, before, at=1), seen(CALLS, after, at=2))
    by_column = {
        ledger.columns[column]: value for column, value in zip(ledger.cells.column, ledger.cells.values, strict=True)
    }
    assert by_column[Field.SENT] == 110
    assert by_column[Field.OPENED] == 3
    assert by_column[Field.LATENCY] == 36


def test_different_principals_and_security_are_counted_apart():
    ledger = folded(
        seen(CALLS, answered(5), at=1, by=Reporter.DESTINATION, source_principal="a"),
        seen(CALLS, answered(3), at=1, by=Reporter.DESTINATION, source_principal="b"),
    )
    assert total(ledger) == 8


def test_a_full_ledger_refuses_new_series_and_says_so():
    ledger = Ledger(T0, capacity=1)
    ledger.fold([seen(CALLS, answered(5), at=1), seen(edge("web", "pay"), answered(5), at=1)])
    assert total(ledger) == 5
    assert ledger.drops.overflow == 1


def test_an_instance_is_heard_at_the_pace_of_its_readings():
    ledger = folded(*(seen(CALLS, answered(at), at=at) for at in range(0, 150, 15)))
    assert ledger.instances[Reporter.SOURCE, "source-1"].interval_ms == pytest.approx(15_000)


def test_many_cells_fit():
    ledger = Ledger(T0)
    ledger.fold(seen(edge(f"a{number}", "cart"), answered(1, samples=(3.0, 30.0)), at=1) for number in range(2000))
    assert total(ledger) == 2000
