"""What markets are worth to groups of consumers, before and after prices change.

Averages over markets are those of a consumer of the group in a market drawn at random:
weighted by the group's part in each market, and prices by how many buy there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import Floats
from .text_tables import Header, format_number, text_table

if TYPE_CHECKING:
    import pandas as pd

_MEASURES = ("surpluses", "buying", "prices_paid")
_TITLES: dict[str, Header] = {
    "mass": ("", "Mass"),
    "surpluses": ("Consumer", "Surplus"),
    "buying": ("Probability", "Of Buying"),
    "prices_paid": ("Price", "Paid"),
    "surpluses_change": ("Change in", "Surplus"),
    "buying_change": ("Change in", "Probability"),
    "prices_paid_change": ("Change in", "Price Paid"),
}


@dataclass(frozen=True, slots=True, eq=False)
class GroupSurpluses:
    """Surplus and purchases of groups of agents, per consumer of the group.

    Numbers are NaN where nobody of a group is in a market, and prices also where nobody
    of it buys there.

    Attributes
    ----------
    name
        What agents are grouped by.
    market_ids, group_ids
        ``(T,)`` and ``(G,)``.
    mass
        ``(T, G)`` part of a market's consumers that a group is.
    surpluses
        ``(T, G)`` mean consumer surplus.
    buying
        ``(T, G)`` mean probability of buying a product.
    prices_paid
        ``(T, G)`` mean price of what is bought.
    new_surpluses, new_buying, new_prices_paid
        ``(T, G)`` the same at new prices; None without any.
    """

    name: str
    market_ids: np.ndarray[Any, Any]
    group_ids: np.ndarray[Any, Any]
    mass: Floats
    surpluses: Floats
    buying: Floats
    prices_paid: Floats
    new_surpluses: Floats | None = None
    new_buying: Floats | None = None
    new_prices_paid: Floats | None = None

    def to_frame(self) -> pd.DataFrame:
        """List markets and groups.

        Returns
        -------
        pandas.DataFrame
            One row a market and group: ``mass``, ``surpluses``, ``buying``,
            ``prices_paid`` and, with new prices, the same with ``new_`` before and with
            ``_change`` behind.
        """
        import pandas as pd

        T, G = self.mass.shape
        columns: dict[str, Any] = {
            "market_ids": np.repeat(self.market_ids, G),
            "group_ids": np.tile(self.group_ids, T),
        }
        measures = {name: getattr(self, name) for name in ("mass", *self._measures())}
        columns |= {n: np.ravel(v) for n, v in _with_changes(measures).items()}
        return pd.DataFrame(columns)

    def summary(self) -> pd.DataFrame:
        """Average over markets.

        Returns
        -------
        pandas.DataFrame
            One row a group, columns as of :meth:`to_frame`.
        """
        import pandas as pd

        index = pd.Index(self.group_ids, name=self.name)
        return pd.DataFrame(_with_changes(self._averages()), index=index)

    def __str__(self) -> str:
        """Print averages over markets."""
        averages = _with_changes(self._averages())
        shown = [name for name in _TITLES if name in averages]
        header: list[Header] = [self.name, *(_TITLES[name] for name in shown)]
        rows = [
            [str(group), *(format_number(float(averages[n][g])) for n in shown)]
            for g, group in enumerate(self.group_ids.tolist())
        ]
        T, G = self.mass.shape
        title = f"Surplus by {self.name}: {G} groups, {T} markets"
        return text_table(title, header, rows)

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def _repr_html_(self) -> str:
        """Print as a table in notebooks."""
        return str(self.summary().to_html(float_format=lambda x: f"{x:.6g}"))

    def _measures(self) -> tuple[str, ...]:
        """Name what was computed."""
        if self.new_surpluses is None:
            return _MEASURES
        return (*_MEASURES, *(f"new_{name}" for name in _MEASURES))

    def _averages(self) -> dict[str, Floats]:
        """Average over markets, ``(G,)`` each."""
        found = {"mass": self.mass.mean(axis=0)}
        for name in self._measures():
            values, weights = getattr(self, name), self.mass
            if name.endswith("prices_paid"):
                weights = weights * getattr(self, name.replace("prices_paid", "buying"))
            there = (self.mass != 0.0) & (weights != 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                totals = np.where(there, weights * values, 0.0).sum(axis=0)
                found[name] = totals / np.where(there, weights, 0.0).sum(axis=0)
        return found


def _with_changes(values: dict[str, Floats]) -> dict[str, Floats]:
    """Add what new prices change."""
    changes = {
        f"{name}_change": values[f"new_{name}"] - values[name]
        for name in _MEASURES
        if f"new_{name}" in values
    }
    return values | changes
