"""One column of a design matrix, as a function of the data that can be differentiated.

Elasticities, markups and marginal costs need ∂x/∂p of every characteristic x that
moves with prices, at prices that need not be those observed. A column carries its
expression and evaluates it, or its exact derivative, wherever it is asked to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..records import Floats
from .formula_calculus import differentiate
from .formula_data import Table, count_rows, read_column
from .formula_expressions import Expression, Indicator, Leaf, evaluate, leaves


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a design matrix, as a function of the data.

    Attributes
    ----------
    name
        The column as PyBLP prints it: ``1``, ``prices**2``, ``prices*sugar``,
        ``region['north']``.
    label
        The column as the formula writes it: ``I(prices ** 2)``, ``prices:sugar``.
    names
        Variables that it depends on.
    expression
        What it computes.
    """

    name: str
    label: str
    names: frozenset[str]
    expression: Expression
    _derivatives: dict[tuple[str, int], Expression] = field(
        default_factory=dict, repr=False, compare=False
    )

    def evaluate(
        self, data: Table, override: Mapping[str, Any] | None = None
    ) -> Floats:
        """Evaluate the column, ``(N,)``, at data, some of it overridden."""
        return evaluate_expression(self.expression, data, override)

    def derivative(
        self,
        name: str,
        data: Table,
        override: Mapping[str, Any] | None = None,
        order: int = 1,
    ) -> Floats:
        """Evaluate the column's exact derivative.

        Parameters
        ----------
        name
            Variable with respect to which.
        data
            Where variables are read.
        override
            Where they are looked for first, such as counterfactual prices.
        order
            How many times to differentiate.

        Returns
        -------
        Floats
            ``(N,)`` ∂ⁿx/∂(name)ⁿ.
        """
        return evaluate_expression(self._differentiate(name, order), data, override)

    def is_linear_in(self, name: str) -> bool:
        """Tell whether the column is a variable times, and plus, what others say."""
        return all(leaf.name != name for leaf in leaves(self._differentiate(name, 1)))

    def _differentiate(self, name: str, order: int) -> Expression:
        """Differentiate the expression, once."""
        derivative = self._derivatives.get((name, order))
        if derivative is None:
            derivative = differentiate(self.expression, name, order)
            self._derivatives[name, order] = derivative
        return derivative


@dataclass(frozen=True, slots=True)
class DesignMatrix:
    """A design matrix and what its columns are.

    Attributes
    ----------
    values
        ``(N, K)`` evaluated columns.
    columns
        The K columns.
    """

    values: Floats
    columns: tuple[Column, ...]


def evaluate_expression(
    expression: Expression,
    data: Table,
    override: Mapping[str, Any] | None = None,
    n_rows: int | None = None,
) -> Floats:
    """Evaluate an expression, ``(N,)``; what is not finite is left for all to see."""

    def read(leaf: Leaf) -> Floats:
        overridden = override is not None and leaf.name in override
        source = override if overridden and override is not None else data
        values = read_column(source, leaf.name)
        if isinstance(leaf, Indicator):
            return np.asarray(values == leaf.level, dtype=np.float64)
        return values.astype(np.float64)

    with np.errstate(all="ignore"):
        values = np.asarray(evaluate(expression, read), dtype=np.float64)
    if values.ndim:
        return values
    return np.full(count_rows(data) if n_rows is None else n_rows, float(values))
