"""The supply side of a block in a store: X3, Z_S and owners, made of its columns.

What :mod:`blpdask.problem.supply_side` makes of whole tables is made of one block's
columns. Owners are compared within markets alone, so that a block may number its firms
for itself; they are numbered in the order of their ids, as they are in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Faults
from ..moments.grouped_sums import subtract_levels
from ..partitions.store_schema import StoreDescription
from ..records import Equation, Floats, Integers, SupplyRows
from .demand_problem import scaled
from .fields import matrix_columns, read_matrix
from .formulas import Column, DesignMatrix, ParsedFormula
from .groupings import Grouping
from .supply_side import by_prices, flatten_ownership, number_owners

Columns = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class SupplyRecipe:
    """How the columns of a block become X3, Z_S and owners.

    Attributes
    ----------
    formula
        Of X3, with effects to absorb.
    exogenous
        Columns of X3 that are instruments too.
    excluded
        Names of the columns of excluded instruments.
    ownership
        Names of the columns of ownership weights; empty where firms say it all.
    effects
        How rows are coded.
    levels
        For each effect ``(G, MS)`` what to subtract from instruments; empty where
        nothing is absorbed, or not yet.
    covariances
        Names of the columns of covariance instruments.
    """

    formula: ParsedFormula
    exogenous: tuple[int, ...]
    excluded: tuple[str, ...]
    ownership: tuple[str, ...]
    effects: tuple[Grouping, ...] = ()
    levels: tuple[Floats, ...] = ()
    covariances: tuple[str, ...] = ()

    @property
    def matrix_names(self) -> list[str]:
        """Columns of products that X3, Z_S and effects need."""
        terms = ParsedFormula(self.formula.terms, ())
        groups = [name for grouping in self.effects for name in grouping.names]
        return [*sorted(terms.names), *self.excluded, *self.covariances, *groups]

    @property
    def owner_names(self) -> list[str]:
        """Columns of products that first-order conditions of prices need."""
        return ["prices", *(self.ownership or ("firm_ids",))]

    @property
    def widths(self) -> tuple[int, int]:
        """Give K3 and MS."""
        return len(self.formula.terms), len(self.excluded) + len(self.exogenous)


def supply_recipe(
    description: StoreDescription,
    formula: ParsedFormula,
    columns: Sequence[Column],
    *,
    add_exogenous: bool,
) -> SupplyRecipe:
    """Choose instruments and owners among the columns of a store.

    Parameters
    ----------
    description
        Of the store.
    formula, columns
        Of X3, and the columns that it makes.
    add_exogenous
        Whether columns that do not depend on shares are instruments.
    """
    names = [column.name for column in description.products]
    return SupplyRecipe(
        formula=formula,
        exogenous=tuple(
            k
            for k, column in enumerate(columns)
            if add_exogenous and "shares" not in column.names
        ),
        excluded=matrix_columns(names, "supply_instruments"),
        ownership=matrix_columns(names, "ownership"),
        covariances=matrix_columns(names, "covariance_instruments"),
    )


def supply_equation(
    recipe: SupplyRecipe, X3: Floats, columns: Columns, *, absorbed: bool
) -> Equation:
    """Make the supply side's linear rows.

    Parameters
    ----------
    recipe
        Says how.
    X3
        ``(N, K3)`` effects not absorbed.
    columns
        Of the block.
    absorbed
        Whether covariances of moments are those of absorbed instruments.
    """
    effects = tuple(grouping.codes(columns) for grouping in recipe.effects)
    Z = _instruments(recipe, X3, columns)
    if absorbed and recipe.levels:
        Z = subtract_levels(Z, effects, recipe.levels)
    return Equation(X3, np.ascontiguousarray(Z), effects)


def covariance_instruments(recipe: SupplyRecipe, columns: Columns) -> Floats | None:
    """Give Z_C ``(N, MC)`` of a block's columns, None where there are none."""
    if not recipe.covariances:
        return None
    return np.column_stack(
        [columns[name].astype(np.float64) for name in recipe.covariances]
    )


def supply_rows(
    recipe: SupplyRecipe,
    X3: Floats,
    columns: Columns,
    offsets: Integers,
    X1: DesignMatrix,
    X2: DesignMatrix,
    epsilon_scale: float = 1.0,
) -> SupplyRows:
    """Make what costs of a block need.

    Parameters
    ----------
    recipe, X3, columns
        As in :func:`supply_equation`.
    offsets
        ``(T + 1,)`` first product of each market, then N.
    X1, X2
        The demand side's, for their derivatives by prices.
    epsilon_scale
        Scale of the extreme-value errors, by which those are divided.
    """
    n_rows = int(offsets[-1])
    Z = _instruments(recipe, X3, columns)
    if recipe.levels:
        effects = [grouping.codes(columns) for grouping in recipe.effects]
        Z = subtract_levels(Z, effects, recipe.levels)
    owners, ownership = np.zeros(n_rows, np.int64), np.empty(0)
    if recipe.ownership:
        weights = np.column_stack([columns[name] for name in recipe.ownership])
        ownership = flatten_ownership(weights.astype(np.float64), offsets)
    else:
        _, firms = np.unique(columns["firm_ids"], return_inverse=True)
        owners = number_owners(firms, offsets)
    _, X1_by_prices = by_prices(columns, X1.columns, n_rows)
    X2_priced, X2_by_prices = by_prices(columns, X2.columns, n_rows)
    return SupplyRows(
        prices=np.asarray(columns["prices"], dtype=np.float64),
        owners=owners,
        ownership=ownership,
        X1_by_prices=np.ascontiguousarray(scaled(X1_by_prices.T, epsilon_scale)),
        X2_by_prices=np.ascontiguousarray(scaled(X2_by_prices.T, epsilon_scale)),
        X2_priced=X2_priced,
        ZS=np.ascontiguousarray(Z),
    )


def missing_firms(
    recipe: SupplyRecipe, description: StoreDescription, columns: Columns
) -> NDArray[np.bool_]:
    """Tell of which rows of a block the firm is missing, ``(N,)``.

    Numbers are finite in every store; of text the code is -1 where it is missing.
    """
    column = description.column("products", "firm_ids")
    if recipe.ownership or column is None or column.kind != "text":
        return np.zeros(len(columns["prices"]), np.bool_)
    return np.asarray(columns["firm_ids"] < 0)


def _instruments(recipe: SupplyRecipe, X3: Floats, columns: Columns) -> Floats:
    """Compute Z_S, effects not absorbed, ``(N, MS)``."""
    exogenous = X3[:, recipe.exogenous]
    if not recipe.excluded:
        return exogenous
    excluded = read_matrix(columns, "supply_instruments", Faults("product_data"))
    assert excluded is not None
    return np.hstack([excluded.astype(np.float64), exogenous])
