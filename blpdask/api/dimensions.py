"""A problem's dimensions, under PyBLP's letters."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..problem.demand_problem import DemandProblem


class Dimensions:
    """Counts of a demand problem; what a supply side would have is zero."""

    _demand: DemandProblem

    @property
    def unique_market_ids(self) -> np.ndarray[Any, Any]:
        """Sorted market IDs, ``(T,)``."""
        return self._demand.products.unique_market_ids

    @property
    def rc_types(self) -> list[str]:
        """Types of random coefficients."""
        return list(self._demand.types)

    @property
    def N(self) -> int:
        """Number of products, all markets together."""
        return self._demand.n_products

    @property
    def T(self) -> int:
        """Number of markets."""
        return self._demand.n_markets

    @property
    def F(self) -> int:
        """Number of firms."""
        ids = self._demand.products.ids.get("firm_ids")
        return 0 if ids is None else len(set(ids.tolist()))

    @property
    def I(self) -> int:  # noqa: E743
        """Number of agents, all markets together."""
        return int(self._demand.agents.weights.size)

    @property
    def K1(self) -> int:
        """Number of linear characteristics."""
        return int(self._demand.products.X1.shape[1])

    @property
    def K2(self) -> int:
        """Number of characteristics with random coefficients."""
        return int(self._demand.products.X2.shape[1])

    @property
    def K3(self) -> int:
        """Number of cost characteristics, none here."""
        return 0

    @property
    def D(self) -> int:
        """Number of demographics."""
        return int(self._demand.agents.demographics.shape[1])

    @property
    def MD(self) -> int:
        """Number of demand-side instruments, exogenous characteristics included."""
        return int(self._demand.products.ZD.shape[1])

    @property
    def MS(self) -> int:
        """Number of supply-side instruments, none here."""
        return 0

    @property
    def MC(self) -> int:
        """Number of covariance instruments, none here."""
        return 0

    @property
    def ED(self) -> int:
        """Number of absorbed demand-side effects."""
        return len(self._demand.products.effects)

    @property
    def ES(self) -> int:
        """Number of absorbed supply-side effects, none here."""
        return 0

    @property
    def H(self) -> int:
        """Number of nests, none here."""
        return 0
