"""What a merger does: to prices, to concentration, to firms and to consumers.

Averages of prices are weighted by shares before the merger; the average of markets'
indices and surpluses is plain. Surplus and profits are per consumer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .counterfactual_table import Counterfactual


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MergerEffects(Counterfactual):
    """Equilibria before and after a change of who owns what.

    Everything of a :class:`~blpdask.results.counterfactual_table.Counterfactual` is
    here too, with costs that are the same before and after, and without taxes; tables
    leave out what cannot change.
    """

    _PRODUCTS: ClassVar[tuple[str, ...]] = (
        *("market_ids", "firm_ids", "new_firm_ids", "costs", "prices"),
        *("new_prices", "shares", "new_shares", "profits", "new_profits"),
    )
    _MARKETS: ClassVar[tuple[str, ...]] = (
        *("hhi", "new_hhi", "surpluses", "new_surpluses"),
    )

    def summary(self) -> dict[str, tuple[float, float]]:
        """Sum up before and after, by name."""
        found = Counterfactual.summary(self)
        return {
            name: pair
            for name, pair in found.items()
            if name not in ("Inside share", "Total welfare")
        }

    def _title(self) -> str:
        """Say how many products merge."""
        n, T = int(self.merging.sum()), self.unique_market_ids.size
        return f"Merger: {n} of {self.prices.size} products, {T} markets"

    def _groups(self) -> dict[str, NDArray[np.bool_]]:
        """Name the rows that are averaged apart."""
        merging = self.merging
        return {" of merging firms": merging, " of other firms": ~merging}
