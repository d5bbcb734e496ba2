from __future__ import annotations

from console.views.listing import SHOWN, Row, listing
from graph.model import Health


def row(
    name: str,
    *,
    health: Health = Health.HEALTHY,
    rate: float = 1.0,
    errors: float | None = 0.0,
    namespace: str = "shop",
) -> Row:
    return Row(
        cluster="Kubernetes",
        namespace=namespace,
        name=name,
        icon="server",
        href=f"/services/{namespace}/{name}",
        health=health,
        rate=rate,
        throughput=0.0,
        error_ratio=errors,
        p95_ms=None,
        mtls=None,
    )


FOUND = (
    row("cart", rate=5),
    row("catalog", health=Health.FAILURE, errors=0.4),
    row("orders", health=Health.DEGRADED, rate=9, errors=0.1),
    row("quiet", health=Health.IDLE, rate=0, errors=None, namespace="lab"),
)


def names(**query) -> list[str]:
    return [item.name for item in listing(FOUND, **query).rows]


def test_what_is_wrong_comes_first():
    assert names() == ["catalog", "orders", "cart", "quiet"]


def test_every_column_sorts_what_one_looks_for_to_the_top():
    assert names(sort="rate")[0] == "orders"
    assert names(sort="errors")[0] == "catalog"
    assert names(sort="name", reverse=True)[0] == "quiet"


def test_every_word_must_be_found_in_namespace_or_name():
    assert names(text="SHOP ca") == ["catalog", "cart"]
    assert names(text="lab/quiet") == ["quiet"]
    assert names(text="nothing") == []


def test_an_unknown_order_in_the_address_is_no_error():
    assert names(sort="colour") == names()


def test_of_very_many_the_first_are_shown_and_the_others_counted():
    found = listing([row(f"cart-{number:04}") for number in range(SHOWN + 7)], sort="name")
    assert (len(found.rows), found.hidden, found.total) == (SHOWN, 7, SHOWN + 7)
