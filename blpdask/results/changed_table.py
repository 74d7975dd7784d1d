"""What a counterfactual does on average: products, prices, who buys nothing, surplus.

    Σ_j s_j p_j / Σ_j s_j over all markets,   1 - Σ_j s_j,   Σ_i w_i CS_i,

and what transfers cost per consumer, of which, as of the second and the third, plain
means over markets are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

from .text_tables import format_number, text_table


@dataclass(frozen=True, slots=True)
class MarketAverages:
    """One economy in a few numbers.

    Attributes
    ----------
    products, markets
        How many.
    price
        Mean price of what is sold.
    outside_share
        Mean share of the outside option.
    surplus
        Mean consumer surplus; NaN where utility does not fall with all prices of a
        market at one slope.
    transfers
        Mean of what transfers cost per consumer.
    """

    products: int
    markets: int
    price: float
    outside_share: float
    surplus: float
    transfers: float


@dataclass(frozen=True, slots=True)
class EconomyChange:
    """Averages before and after, printed side by side."""

    before: MarketAverages
    after: MarketAverages

    def rows(self) -> dict[str, tuple[float, float]]:
        """Pair numbers before and after by what they are."""
        names = {
            "Mean price": "price",
            "Outside share": "outside_share",
            "Consumer surplus": "surplus",
            "Transfers": "transfers",
        }
        found = {
            label: (getattr(self.before, name), getattr(self.after, name))
            for label, name in names.items()
        }
        if not any(found["Transfers"]):
            del found["Transfers"]
        return found

    def __str__(self) -> str:
        """Print as a table."""
        counts = str(self.before.products), str(self.after.products)
        rows = [["Products", *counts]]
        for label, (before, after) in self.rows().items():
            change = format_number(after - before)
            rows.append([label, format_number(before), format_number(after), change])
        title = f"Changed economy, {self.after.markets} markets"
        return text_table(title, ["", "Before", "After", "Change"], rows)

    def to_html(self) -> str:
        """Give the table for notebooks."""
        import pandas as pd

        pairs = {"Products": (self.before.products, self.after.products), **self.rows()}
        frame = pd.DataFrame(pairs, index=["Before", "After"], dtype=float).T
        frame["Change"] = frame["After"] - frame["Before"]
        return str(frame.to_html(float_format=lambda x: f"{x:.6g}"))
