"""How hard a merger presses on prices: indices by product, and a table by firm.

What they are is in :mod:`blpdask.analysis.pricing_pressure`. The table has averages
over products, weighted by shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..records import Floats
from .text_tables import Header, format_number, text_table

if TYPE_CHECKING:
    import pandas as pd

#: Columns of the table, what they average, and by how much it is multiplied.
_COLUMNS: tuple[tuple[Header, str, float], ...] = (
    ("UPP", "upp", 1.0),
    (("GUPPI", "%"), "guppi", 100.0),
    ("GePP", "gepp", 1.0),
    (("CMCR", "%"), "cmcr", 100.0),
    (("Prices,", "change"), "price_changes", 1.0),
)


@dataclass(frozen=True, slots=True, eq=False)
class PricingPressure:
    """What a merger does to incentives, at prices of the data.

    Rows are in the user's order. Indices are NaN for products of firms that do not
    merge.

    Attributes
    ----------
    market_ids, firm_ids, new_firm_ids
        ``(N,)`` markets, and firms before and after.
    prices, shares
        ``(N,)`` those of the data.
    costs, efficiencies
        ``(N,)`` marginal costs before, and what share of them the merger saves.
    upp
        ``(N,)`` upward pricing pressure, in units of prices (Farrell and Shapiro 2010).
    guppi
        ``(N,)`` gross upward pricing pressure index, relative to the price (Salop and
        Moresi 2009).
    gepp
        ``(N,)`` generalised pricing pressure (Jaffe and Weyl 2013).
    cmcr
        ``(N,)`` compensating marginal cost reductions, shares of costs (Werden 1996).
    price_changes
        ``(N,)`` first-order changes of prices, of rivals too (Jaffe and Weyl 2013).
    """

    market_ids: np.ndarray[Any, Any]
    firm_ids: np.ndarray[Any, Any]
    new_firm_ids: np.ndarray[Any, Any]
    prices: Floats
    shares: Floats
    costs: Floats
    efficiencies: Floats
    upp: Floats
    guppi: Floats
    gepp: Floats
    cmcr: Floats
    price_changes: Floats

    @property
    def merging(self) -> NDArray[np.bool_]:
        """Flag products of firms that merge with another, ``(N,)``."""
        return merging_products(self.firm_ids, self.new_firm_ids)

    def to_frame(self) -> pd.DataFrame:
        """List the products.

        Returns
        -------
        pandas.DataFrame
            One row a product.
        """
        import pandas as pd

        names = (
            *("market_ids", "firm_ids", "new_firm_ids", "prices", "shares", "costs"),
            *("efficiencies", "upp", "guppi", "gepp", "cmcr", "price_changes"),
        )
        return pd.DataFrame({name: getattr(self, name) for name in names})

    def by_firm(self) -> pd.DataFrame:
        """Average over products of the firms that merge, of all of them, and of others.

        Returns
        -------
        pandas.DataFrame
            One row a firm, then ``"merging"`` and ``"other"``; the number of
            ``products`` and means weighted by shares.
        """
        import pandas as pd

        merging = self.merging
        firms = sorted(set(self.firm_ids[merging].tolist()), key=str)
        rows = [self.firm_ids == firm for firm in firms]
        names = [*map(str, firms), "merging", "other"]
        means = [self._means(own) for own in (*rows, merging, ~merging)]
        return pd.DataFrame(means, index=names)

    def __str__(self) -> str:
        """Print averages by firm."""
        rows = []
        for firm, values in self.by_firm().iterrows():
            cells = [str(firm), str(int(values["products"]))]
            for _, name, scale in _COLUMNS:
                value = float(values[name])
                cells.append("" if np.isnan(value) else format_number(scale * value))
            rows.append(cells)
        header = [("", "Firm"), ("", "Products"), *(cell for cell, _, _ in _COLUMNS)]
        return text_table("Pricing pressure of a merger", header, rows)

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def _repr_html_(self) -> str:
        """Print as a table in notebooks."""
        return str(self.by_firm().to_html(float_format=lambda x: f"{x:.6g}"))

    def _means(self, rows: NDArray[np.bool_]) -> dict[str, float]:
        """Count some products, and average what they have."""
        total = self.shares[rows].sum()
        found: dict[str, float] = {"products": int(rows.sum())}
        for _, name, _ in _COLUMNS:
            values = getattr(self, name)[rows]
            found[name] = float(self.shares[rows] @ values / total) if total else np.nan
        return found


def merging_products(
    before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]
) -> NDArray[np.bool_]:
    """Flag products whose owner after a merger has those of several firms before it.

    Parameters
    ----------
    before, after
        ``(N,)`` firms.

    Examples
    --------
    >>> merging_products(np.array([1, 2, 3]), np.array([1, 1, 3])).tolist()
    [True, True, False]
    """
    owned: dict[Any, set[Any]] = {}
    for old, new in zip(before.tolist(), after.tolist(), strict=True):
        owned.setdefault(new, set()).add(old)
    return np.array([len(owned[new]) > 1 for new in after.tolist()], np.bool_)
