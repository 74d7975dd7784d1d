"""What other owners, costs, taxes and price controls do, and to whom.

Profits (r - c) s, tax revenue (p - r) s and surplus are per consumer, with p what
consumers pay and r what producers get. They add up to total welfare, which counts a
unit of each alike, less what transfers to agents cost that are part of their surplus.
Averages of prices are weighted by shares before; the average of markets' indices, sums
and surpluses is plain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..records import Floats, Integers
from .text_tables import Header, format_number, text_table

if TYPE_CHECKING:
    import pandas as pd

_HEADER: list[Header] = ["", "Before", "After", "Change", "Change, %"]


@dataclass(frozen=True, slots=True, eq=False)
class Counterfactual:
    """Equilibria before and after something changes.

    Rows of products are in the user's order, markets are sorted. What is before has
    the name of the table, what is after ``new_`` in front.

    Attributes
    ----------
    unique_market_ids
        ``(T,)``.
    market_codes
        ``(N,)`` place of each row's market among them.
    firm_ids, new_firm_ids
        ``(N,)`` firms, None where product_data has none.
    costs, new_costs
        ``(N,)`` producers' marginal costs c.
    prices, new_prices
        ``(N,)`` p, what consumers pay; before are those of the data.
    producer_prices, new_producer_prices
        ``(N,)`` r, p less taxes.
    shares, new_shares
        ``(N,)`` s; before are those of the data.
    fixed
        ``(N,)`` whose prices were held.
    hhi, new_hhi, surpluses, new_surpluses
        ``(T,)`` Herfindahl-Hirschman indices (NaN without firms) and consumer surpluses
        per consumer.
    transfer_costs, new_transfer_costs
        ``(T,)`` what transfers to agents cost per consumer; zero where there are none.
    changed
        Which arguments said what changes.
    """

    unique_market_ids: NDArray[Any]
    market_codes: Integers
    firm_ids: NDArray[Any]
    new_firm_ids: NDArray[Any]
    costs: Floats
    new_costs: Floats
    prices: Floats
    new_prices: Floats
    producer_prices: Floats
    new_producer_prices: Floats
    shares: Floats
    new_shares: Floats
    fixed: NDArray[np.bool_]
    hhi: Floats
    new_hhi: Floats
    surpluses: Floats
    new_surpluses: Floats
    transfer_costs: Floats
    new_transfer_costs: Floats
    changed: tuple[str, ...]

    _PRODUCTS: ClassVar[tuple[str, ...]] = (
        *("market_ids", "firm_ids", "new_firm_ids", "costs", "new_costs", "prices"),
        *("new_prices", "producer_prices", "new_producer_prices", "shares"),
        *("new_shares", "profits", "new_profits", "fixed"),
    )
    _MARKETS: ClassVar[tuple[str, ...]] = (
        *("hhi", "new_hhi", "surpluses", "new_surpluses", "tax_revenues"),
        *("new_tax_revenues", "transfer_costs", "new_transfer_costs", "welfare"),
        "new_welfare",
    )

    @property
    def market_ids(self) -> NDArray[Any]:
        """Give the markets of products, ``(N,)``."""
        return np.asarray(self.unique_market_ids[self.market_codes])

    @property
    def merging(self) -> NDArray[np.bool_]:
        """Flag products of firms that merge, ``(N,)``: acquired, and of acquirers."""
        moved = self.firm_ids != self.new_firm_ids
        acquirers = set(self.new_firm_ids[moved].tolist())
        owned = [firm in acquirers for firm in self.firm_ids.tolist()]
        return np.asarray(moved | np.array(owned, np.bool_))

    @property
    def profits(self) -> Floats:
        """Give producers' profits before, (r - c) s, ``(N,)``."""
        return (self.producer_prices - self.costs) * self.shares

    @property
    def new_profits(self) -> Floats:
        """Give producers' profits after, ``(N,)``."""
        return (self.new_producer_prices - self.new_costs) * self.new_shares

    @property
    def tax_revenues(self) -> Floats:
        """Give taxes paid before, Σ_j (p_j - r_j) s_j, ``(T,)``."""
        return self._sums((self.prices - self.producer_prices) * self.shares)

    @property
    def new_tax_revenues(self) -> Floats:
        """Give taxes paid after, ``(T,)``."""
        taxes = self.new_prices - self.new_producer_prices
        return self._sums(taxes * self.new_shares)

    @property
    def welfare(self) -> Floats:
        """Give surplus, profits and revenue before, less transfers, ``(T,)``."""
        private = self.surpluses + self._sums(self.profits)
        return private + self.tax_revenues - self.transfer_costs

    @property
    def new_welfare(self) -> Floats:
        """Give surplus, profits and revenue after, less transfers, ``(T,)``."""
        private = self.new_surpluses + self._sums(self.new_profits)
        return private + self.new_tax_revenues - self.new_transfer_costs

    def to_frame(self) -> pd.DataFrame:
        """List the products.

        Returns
        -------
        pandas.DataFrame
            One row a product.
        """
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in self._PRODUCTS})

    def markets_frame(self) -> pd.DataFrame:
        """List the markets.

        Returns
        -------
        pandas.DataFrame
            One row a market.
        """
        import pandas as pd

        columns = {name: getattr(self, name) for name in self._MARKETS}
        return pd.DataFrame({"market_ids": self.unique_market_ids, **columns})

    def summary(self) -> dict[str, tuple[float, float]]:
        """Sum up before and after, by name."""
        groups, taxed = self._groups(), self._is_taxed()
        found = self._average_prices("Prices", "prices", groups)
        if taxed:
            found |= self._average_prices("Producer prices", "producer_prices", groups)
        found["Inside share"] = self._mean("shares")
        found |= {
            f"Profits{name}": self._mean("profits", rows)
            for name, rows in groups.items()
        }
        if taxed:
            found["Tax revenue"] = self._mean("tax_revenues")
        if self.transfer_costs.any() or self.new_transfer_costs.any():
            found["Transfers"] = self._mean("transfer_costs")
        if not np.isnan(self.hhi).all():
            found["HHI"] = self._mean("hhi")
        found["Consumer surplus"] = self._mean("surpluses")
        found["Total welfare"] = self._mean("welfare")
        return found

    def profits_by_firm(self) -> pd.DataFrame:
        """Add up profits by owner after.

        Returns
        -------
        pandas.DataFrame
            One row a firm: ``before`` and ``after``, per market and consumer.
        """
        import pandas as pd

        T = self.unique_market_ids.size
        columns = {"before": self.profits / T, "after": self.new_profits / T}
        owners = pd.Index(self.new_firm_ids, name="firm_ids")
        frame = pd.DataFrame(columns, index=owners)
        return frame.groupby(level=0, dropna=False).sum()

    def __str__(self) -> str:
        """Print averages before and after."""
        rows = []
        for name, (before, after) in self.summary().items():
            change = after - before
            numbers = [before, after, change]
            numbers += [100 * change / before] if before else []
            cells = [format_number(number) for number in numbers]
            rows.append([name, *cells, *[""] * (len(_HEADER) - 1 - len(cells))])
        return text_table(self._title(), _HEADER, rows)

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

    def _title(self) -> str:
        """Say what changes, and where."""
        what = ", ".join(self.changed) if self.changed else "no change"
        N, T = self.prices.size, self.unique_market_ids.size
        held = f", {self.fixed.sum()} prices held" if self.fixed.any() else ""
        return f"Counterfactual ({what}): {N} products, {T} markets{held}"

    def _groups(self) -> dict[str, NDArray[np.bool_]]:
        """Name the rows that are averaged apart: merging firms, where there are any."""
        merging = self.merging
        if merging.any() and not merging.all():
            return {" of merging firms": merging, " of other firms": ~merging}
        return {"": np.ones(merging.size, np.bool_)}

    def _is_taxed(self) -> bool:
        """Tell whether consumers pay what producers do not get, before or after."""
        pairs = (
            (self.prices, self.producer_prices),
            (self.new_prices, self.new_producer_prices),
        )
        return not all(np.array_equal(p, r, equal_nan=True) for p, r in pairs)

    def _average_prices(
        self, title: str, name: str, groups: dict[str, NDArray[np.bool_]]
    ) -> dict[str, tuple[float, float]]:
        """Average prices before and after by shares before, in each group."""
        found = {}
        for group, rows in groups.items():
            weights, total = self.shares[rows], self.shares[rows].sum()
            before, after = (
                float(weights @ getattr(self, which)[rows] / total) if total else np.nan
                for which in (name, f"new_{name}")
            )
            found[f"{title}{group}"] = before, after
        return found

    def _mean(
        self, name: str, rows: NDArray[np.bool_] | None = None
    ) -> tuple[float, float]:
        """Give the sum over some rows of what is before and after, by market."""
        T = self.unique_market_ids.size
        before, after = (getattr(self, which) for which in (name, f"new_{name}"))
        if rows is None:
            return float(before.sum() / T), float(after.sum() / T)
        return float(before[rows].sum() / T), float(after[rows].sum() / T)

    def _sums(self, values: Floats) -> Floats:
        """Add up the products of each market, ``(T,)``."""
        T = self.unique_market_ids.size
        found = np.bincount(self.market_codes, weights=values, minlength=T)
        return np.asarray(found, dtype=np.float64)
