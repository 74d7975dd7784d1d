"""A problem's dimensions, under PyBLP's letters."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..problem.demand_problem import DemandProblem
from ..problem.fields import factorize
from ..problem.outline import DemandOutline, outline_of
from ..problem.stored_problem import StoredProblem
from .stored import in_memory


class Dimensions:
    """Counts of a problem; what a supply side would have is zero without one."""

    _demand: DemandProblem | StoredProblem

    @property
    def outline(self) -> DemandOutline:
        """What is known without rows, of data in memory or in a store."""
        if isinstance(self._demand, StoredProblem):
            return self._demand.outline
        return outline_of(self._demand)

    @property
    def unique_market_ids(self) -> np.ndarray[Any, Any]:
        """Sorted market IDs, ``(T,)`` objects."""
        return self.outline.market_ids.astype(object)

    @property
    def unique_firm_ids(self) -> np.ndarray[Any, Any]:
        """Sorted IDs of firms, ``(F,)`` objects."""
        return self._unique("firm_ids")

    @property
    def unique_product_ids(self) -> np.ndarray[Any, Any]:
        """Sorted IDs of products, objects; of all columns together."""
        return self._unique("product_ids")

    @property
    def unique_agent_ids(self) -> np.ndarray[Any, Any]:
        """Sorted IDs of agents, none: nothing here tells agents apart."""
        return np.empty(0, np.object_)

    def _unique(self, name: str) -> np.ndarray[Any, Any]:
        """Sort identifiers of products, each once."""
        ids = in_memory(self._demand, f"unique_{name}").products.ids.get(name)
        if ids is None:
            return np.empty(0, np.object_)
        return np.asarray(factorize(np.ravel(ids))[1], dtype=object)

    @property
    def epsilon_scale(self) -> float:
        """Scale of the extreme-value errors, ε."""
        return float(self._demand.epsilon_scale)

    @property
    def rc_types(self) -> list[str]:
        """Types of random coefficients."""
        return list(self.outline.types)

    @property
    def N(self) -> int:
        """Number of products, all markets together."""
        return self.outline.n_products

    @property
    def T(self) -> int:
        """Number of markets."""
        return int(self.outline.market_ids.size)

    @property
    def F(self) -> int:
        """Number of firms."""
        if isinstance(self._demand, StoredProblem):
            return self._demand.store.description.n_firms
        ids = self._demand.products.ids.get("firm_ids")
        return 0 if ids is None else len(set(ids.tolist()))

    @property
    def I(self) -> int:  # noqa: E743
        """Number of agents, all markets together."""
        return self.outline.n_agents

    @property
    def K1(self) -> int:
        """Number of linear characteristics."""
        return len(self.outline.X1_columns)

    @property
    def K2(self) -> int:
        """Number of characteristics with random coefficients."""
        return len(self.outline.X2_columns)

    @property
    def K3(self) -> int:
        """Number of cost characteristics."""
        return len(self.outline.X3_columns)

    @property
    def D(self) -> int:
        """Number of demographics."""
        return len(self.outline.agent_columns)

    @property
    def MD(self) -> int:
        """Number of demand-side instruments, exogenous characteristics included."""
        return len(self.outline.ZD_names)

    @property
    def MS(self) -> int:
        """Number of supply-side instruments, exogenous characteristics included."""
        return len(self.outline.ZS_names)

    @property
    def MC(self) -> int:
        """Number of covariance instruments."""
        return len(self.outline.ZC_names)

    @property
    def ED(self) -> int:
        """Number of absorbed demand-side effects."""
        return self.outline.n_effects

    @property
    def ES(self) -> int:
        """Number of absorbed supply-side effects."""
        return self.outline.n_cost_effects

    @property
    def H(self) -> int:
        """Number of nests."""
        return len(self.outline.nesting_ids)

    @property
    def unique_nesting_ids(self) -> np.ndarray[Any, Any]:
        """Sorted nesting IDs, ``(H,)`` objects."""
        found = np.empty(self.H, np.object_)
        found[:] = self.outline.nesting_ids
        return found
