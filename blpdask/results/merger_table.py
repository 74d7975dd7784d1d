"""What a merger does: to prices, to concentration, to firms and to consumers.

Averages of prices are weighted by shares before the merger; the average of markets'
indices and surpluses is plain. Surplus and profits are per consumer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import Floats
from .text_tables import Header, format_number, text_table

if TYPE_CHECKING:
    import pandas as pd

_HEADER: list[Header] = ["", "Before", "After", "Change", "Change, %"]


@dataclass(frozen=True, slots=True, eq=False)
class MergerEffects:
    """Equilibria before and after a change of who owns what.

    Rows of products are in the user's order, markets are sorted.

    Attributes
    ----------
    market_ids, firm_ids, new_firm_ids
        ``(N,)`` markets, and firms before and after.
    costs
        ``(N,)`` marginal costs, the same before and after.
    prices, new_prices, shares, new_shares
        ``(N,)``; before are those of the data.
    hhi, new_hhi, surpluses, new_surpluses
        ``(T,)`` Herfindahl-Hirschman indices and consumer surpluses.
    unique_market_ids
        ``(T,)``.
    """

    market_ids: np.ndarray[Any, Any]
    firm_ids: np.ndarray[Any, Any]
    new_firm_ids: np.ndarray[Any, Any]
    costs: Floats
    prices: Floats
    new_prices: Floats
    shares: Floats
    new_shares: Floats
    hhi: Floats
    new_hhi: Floats
    surpluses: Floats
    new_surpluses: Floats
    unique_market_ids: np.ndarray[Any, Any]

    @property
    def merging(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Flag products of firms that merge, ``(N,)``: acquired, and of acquirers."""
        moved = self.firm_ids != self.new_firm_ids
        acquirers = set(self.new_firm_ids[moved].tolist())
        owned = [firm in acquirers for firm in self.firm_ids.tolist()]
        return np.asarray(moved | np.array(owned, np.bool_))

    @property
    def profits(self) -> Floats:
        """Give profits before, (p - c) s, ``(N,)``."""
        return (self.prices - self.costs) * self.shares

    @property
    def new_profits(self) -> Floats:
        """Give profits after, ``(N,)``."""
        return (self.new_prices - self.costs) * self.new_shares

    def to_frame(self) -> pd.DataFrame:
        """List the products.

        Returns
        -------
        pandas.DataFrame
            One row a product.
        """
        import pandas as pd

        names = (
            *("market_ids", "firm_ids", "new_firm_ids", "costs", "prices"),
            *("new_prices", "shares", "new_shares", "profits", "new_profits"),
        )
        return pd.DataFrame({name: getattr(self, name) for name in names})

    def markets_frame(self) -> pd.DataFrame:
        """List the markets.

        Returns
        -------
        pandas.DataFrame
            One row a market.
        """
        import pandas as pd

        names = ("hhi", "new_hhi", "surpluses", "new_surpluses")
        columns = {name: getattr(self, name) for name in names}
        return pd.DataFrame({"market_ids": self.unique_market_ids, **columns})

    def summary(self) -> dict[str, tuple[float, float]]:
        """Sum up before and after, by name."""
        merging = self.merging
        T = self.unique_market_ids.size

        def price(rows: np.ndarray[Any, Any], prices: Floats) -> float:
            total = self.shares[rows].sum()
            return float(self.shares[rows] @ prices[rows] / total) if total else np.nan

        pairs = {
            "Prices of merging firms": (merging, self.prices, self.new_prices),
            "Prices of other firms": (~merging, self.prices, self.new_prices),
        }
        found = {
            name: (price(rows, before), price(rows, after))
            for name, (rows, before, after) in pairs.items()
        }
        for name, rows in (("merging", merging), ("other", ~merging)):
            before, after = self.profits[rows].sum(), self.new_profits[rows].sum()
            found[f"Profits of {name} firms"] = float(before / T), float(after / T)
        found["HHI"] = float(self.hhi.mean()), float(self.new_hhi.mean())
        surpluses = self.surpluses.mean(), self.new_surpluses.mean()
        found["Consumer surplus"] = float(surpluses[0]), float(surpluses[1])
        return found

    def profits_by_firm(self) -> pd.DataFrame:
        """Add up profits by owner after the merger.

        Returns
        -------
        pandas.DataFrame
            One row a firm: ``before`` and ``after``, per market and consumer.
        """
        import pandas as pd

        T = self.unique_market_ids.size
        columns = {"before": self.profits / T, "after": self.new_profits / T}
        owners = pd.Index(self.new_firm_ids, name="firm_ids")
        return pd.DataFrame(columns, index=owners).groupby(level=0).sum()

    def __str__(self) -> str:
        """Print averages before and after."""
        rows = []
        for name, (before, after) in self.summary().items():
            change = after - before
            share = 100 * change / before if before else np.nan
            numbers = (before, after, change, share)
            rows.append([name, *(format_number(number) for number in numbers)])
        n, T = int(self.merging.sum()), self.unique_market_ids.size
        title = f"Merger: {n} of {self.prices.size} products, {T} markets"
        return text_table(title, _HEADER, rows)

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def _repr_html_(self) -> str:
        """Print as a table in notebooks."""
        import pandas as pd

        pairs = self.summary()
        frame = pd.DataFrame(pairs, index=["Before", "After"]).T
        frame["Change"] = frame["After"] - frame["Before"]
        return str(frame.to_html(float_format=lambda x: f"{x:.6g}"))
