"""What the shop sells."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Product:
    """One thing on the shelf. Prices are in cents."""

    sku: str
    name: str
    cents: int
    kind: str
    about: str

    def json(self) -> dict[str, Any]:
        """Plain, for the wire."""
        return asdict(self)


SHELF: tuple[Product, ...] = (
    Product("kettle-swan", "Swan kettle", 8900, "brewing", "Narrow spout, slow pour, holds 0.9 l to the degree."),
    Product("grinder-hand", "Hand grinder No. 3", 12900, "grinding", "Steel burrs, 36 clicks, quiet before breakfast."),
    Product("grinder-desk", "Desk grinder", 24900, "grinding", "64 mm flat burrs; grinds for four in eight seconds."),
    Product("dripper-cone", "Cone dripper", 2200, "brewing", "Porcelain, one hole, forgiving."),
    Product("dripper-flat", "Flat-bed dripper", 2600, "brewing", "Three holes for an even bed and a sweeter cup."),
    Product("filters-100", "Paper filters, 100", 690, "brewing", "Oxygen-bleached; rinse once."),
    Product("scale-pocket", "Pocket scale", 4900, "measuring", "0.1 g, with a timer that starts by itself."),
    Product("server-600", "Glass server 600 ml", 1900, "serving", "Borosilicate; survives the dishwasher."),
    Product("mug-slate", "Slate mug", 1600, "serving", "Thick lip, keeps warm until the mail is read."),
    Product("beans-huila", "Huila, washed", 1450, "beans", "Colombia, 250 g: red apple, caramel."),
    Product("beans-guji", "Guji, natural", 1650, "beans", "Ethiopia, 250 g: blueberry, jasmine."),
    Product("beans-house", "House blend", 1250, "beans", "250 g for every day: cocoa, hazelnut."),
)

BY_SKU: dict[str, Product] = {product.sku: product for product in SHELF}


def found(words: str) -> list[Product]:
    """Products in which every one of the words appears."""
    wanted = words.lower().split()
    return [item for item in SHELF if all(w in f"{item.name} {item.kind} {item.about}".lower() for w in wanted)]
