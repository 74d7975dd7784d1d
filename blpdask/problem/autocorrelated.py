"""A problem whose moments are of innovations, made ready for an estimator.

Lags are rows of other blocks, so instruments are lagged here, once and on all rows
(:mod:`blpdask.moments.quasi_differences`); blocks then differ from those of a problem
in levels by their instruments alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import BlpdaskError
from ..moments.lags import Lags, Stacked
from ..moments.quasi_differences import (
    QuasiDifferences,
    lagged_instruments,
    pseudo_equations,
    sums_to_moments,
)
from ..records import Floats
from .demand_problem import DemandProblem, Survey
from .equation_sums import stacked_ZtX
from .prepared import PreparedDemand


def prepare_autocorrelated(
    demand: DemandProblem,
    types: Sequence[Stacked],
    n_blocks: int | None = None,
    survey: Survey | None = None,
) -> PreparedDemand:
    """Prepare a problem with moments of stated types.

    Parameters
    ----------
    demand
        The problem, without absorbed effects.
    types
        Types of each equation's moments, of all its instruments.
    n_blocks
        Number of blocks, chosen from the data where None.
    survey
        Evaluates what surveys ask of blocks; None without any.

    Raises
    ------
    BlpdaskError
        Where rows have no lags, or effects are absorbed.
    """
    products = demand.products
    supply = products.supply
    effects = products.effects or (supply is not None and supply.effects)
    if products.lags is None or effects:
        raise BlpdaskError(
            "found: moments of innovations of a problem without lags, or with absorbed "
            "effects\n  expected: lag_indices, and effects as dummy variables\n  "
            "what to do: add the one, or write the other as columns of the formula"
        )
    sides = [(products.ZD_absorbed, products.X1_absorbed)]
    if supply is not None:
        sides.append((supply.ZS_absorbed, supply.X3_absorbed))
    Z = lagged_instruments([own for own, _ in sides], types, products.lags)
    with_lags = [(lagged, X) for lagged, (_, X) in zip(Z, sides, strict=True)]
    quasi = _quasi_differences(demand, types, products.lags, stacked_ZtX(with_lags))
    tables = replace(demand.tables, ZD=Z[0][demand.order])
    if tables.supply is not None:
        tables = replace(tables, supply=replace(tables.supply, ZS=Z[1][demand.order]))
    prepared = replace(demand, tables=tables).prepare(n_blocks, survey)
    return replace(prepared, ZtX=quasi.base @ quasi.ZtX, quasi=quasi)


def _quasi_differences(
    demand: DemandProblem, types: Sequence[Stacked], lags: Lags, ZtX: Floats
) -> QuasiDifferences:
    """Gather what makes moments of sums, and their covariances of rows."""
    products = demand.products
    Z = [products.ZD, *([products.supply.ZS] if products.supply else [])]
    base, by_phi = sums_to_moments(types)
    parts, sources = pseudo_equations(Z, types)
    return QuasiDifferences(
        base=base,
        by_phi=by_phi,
        ZtX=np.asarray(ZtX),
        lags=lags,
        Z=parts,
        sources=sources,
        clusters=products.clusters,
    )
