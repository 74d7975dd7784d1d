"""A market as the functions of surveys see it: PyBLP's tables, and columns by name.

Functions take ``(t, products, agents)`` and give an array of agents by choices;
formulas name columns, which are broadcast: what agents have, ``(I, 1)``, what products
have, ``(1, 1 + J)`` with zero for the outside option, which comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..records import Floats

#: The column that is one for every product and zero for the outside option.
INSIDE = "inside"
#: Matrices among the fields of products.
_MATRICES = ("ownership", "ZD", "ZS", "ZC", "X1", "X2", "X3")


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedMarket:
    """One market.

    Attributes
    ----------
    market_id
        t.
    products, agents
        Record arrays of J and of I rows, with PyBLP's fields.
    demographics
        Names of the columns of ``agents.demographics``.
    """

    market_id: Any
    products: np.recarray[Any, Any]
    agents: np.recarray[Any, Any]
    demographics: tuple[str, ...]

    @property
    def n_agents(self) -> int:
        """Count the agents, I."""
        return self.agents.size

    @property
    def n_products(self) -> int:
        """Count the products, J."""
        return self.products.size

    def column(self, name: str) -> Floats:
        """Give a column by name, ``(I, 1)``, ``(1, 1 + J)`` or ``(I, 1 + J)``.

        Parameters
        ----------
        name
            One of :meth:`names`.
        """
        if name == INSIDE:
            return _choices(np.ones(self.n_products))
        if name in self.demographics:
            values = self.agents["demographics"][:, self.demographics.index(name)]
            return _choices(values) if values.ndim == 2 else values[:, None]
        if name in self._nodes:
            return np.asarray(self.agents["nodes"][:, [self._nodes.index(name)]])
        return _choices(self.products[name][:, 0])

    def names(self) -> tuple[str, ...]:
        """List the names of columns; one that is there twice has two meanings."""
        return (INSIDE, *self.demographics, *self._nodes, *self.product_names)

    @property
    def product_names(self) -> tuple[str, ...]:
        """Names of products' columns of numbers."""
        return tuple(
            name
            for name in self.products.dtype.names or ()
            if name not in _MATRICES
            and self.products.dtype[name].base == np.float64
            and self.products.dtype[name].shape == (1,)
        )

    @property
    def _nodes(self) -> tuple[str, ...]:
        """Name columns of nodes as tables do."""
        return tuple(f"nodes{k}" for k in range(self.agents["nodes"].shape[1]))


def _choices(values: Floats) -> Floats:
    """Put zeros before products' values ``(J,)`` or ``(I, J)``, for the outside."""
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    return np.hstack([np.zeros((len(table), 1)), table])
