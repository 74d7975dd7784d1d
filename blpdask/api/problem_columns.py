"""Columns of a problem in memory, net of controls: what diagnostics start from.

Endogenous are the columns of X1 that depend on prices. The other columns of X1 and the
absorbed effects are controls; instruments are what is left of Z net of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.net_regression import independent_columns
from ..errors import Faults
from ..problem.clusters import check_one_way
from ..problem.lasso_penalty import partial_out
from ..problem.products import Products
from ..records import Floats
from .stored import in_memory

if TYPE_CHECKING:
    from .dimensions import Dimensions


@dataclass(frozen=True, slots=True, eq=False)
class ProblemColumns:
    """Rows of a problem, and which columns of X1 and Z are what.

    Attributes
    ----------
    products
        The rows.
    endogenous
        ``(N, n)`` columns of X1 that depend on prices, as formulated.
    exogenous
        ``(N, K1 - n)`` the others.
    instruments
        ``(N, MD)`` Z, effects absorbed.
    endogenous_names, instrument_names
        Names of the columns.
    """

    products: Products
    endogenous: Floats
    exogenous: Floats
    instruments: Floats
    endogenous_names: tuple[str, ...]
    instrument_names: tuple[str, ...]

    def net(self, values: Floats) -> tuple[Floats, int]:
        """Take exogenous columns and effects out of ``(N, K)`` columns; count them."""
        found = partial_out(
            values, self.exogenous, self.products.effects, self.products.absorption
        )
        return found.values, found.n_controls

    def net_instruments(self, before: Floats | None = None) -> tuple[Floats, list[int]]:
        """Give instruments net of controls, of full rank, and their places in Z.

        Parameters
        ----------
        before
            ``(N, B)`` columns, net of controls too, that they must not be spanned by.
        """
        values, _ = self.net(self.instruments)
        kept = np.flatnonzero(independent_columns(values, before))
        return values[:, kept], kept.tolist()


def problem_columns(problem: Dimensions, what: str) -> ProblemColumns:
    """Sort the columns of a problem whose rows are in memory.

    Raises
    ------
    BlpdaskError
        Where they are in a store.
    InputError
        Where they are clustered in several ways.
    """
    products = in_memory(problem._demand, what).products
    faults = Faults(what)
    check_one_way(products.clusters, faults)
    faults.check()
    columns = products.X1_columns
    endogenous = [k for k, c in enumerate(columns) if "prices" in c.names]
    exogenous = [k for k, c in enumerate(columns) if "prices" not in c.names]
    return ProblemColumns(
        products=products,
        endogenous=products.X1[:, endogenous],
        exogenous=products.X1[:, exogenous],
        instruments=products.ZD_absorbed,
        endogenous_names=tuple(columns[k].name for k in endogenous),
        instrument_names=products.ZD_names,
    )
