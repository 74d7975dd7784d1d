"""Firms' first- and second-order conditions, market by market and firm by firm."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from ..problem.demand_problem import DemandProblem
from ..records import Floats

ByFirm = dict[Any, dict[Any, Floats]]


def gradients_by_firm(demand: DemandProblem, gradients: Floats, firms: Any) -> ByFirm:
    """Sort gradients of profits ``(N,)``, in the user's order, by market and firm.

    Parameters
    ----------
    demand
        The problem.
    gradients
        ``(N,)``.
    firms
        ``(N,)`` IDs of firms.

    Returns
    -------
    dict
        For each market, for each of its firms, a vector.
    """
    found: ByFirm = {}
    for market, rows in _markets(demand):
        ids, own = np.unique(firms[rows], return_inverse=True)
        found[market] = {
            firm: gradients[rows[own == f]] for f, firm in enumerate(ids.tolist())
        }
    return found


def hessians_by_firm(demand: DemandProblem, hessians: Floats, firms: Any) -> ByFirm:
    """Cut each firm's own block out of its market's Hessian.

    Parameters
    ----------
    demand
        The problem.
    hessians
        ``(F,)`` of all markets, row-major, one after another.
    firms
        ``(N,)`` IDs of firms, in the user's order.
    """
    found: ByFirm = {}
    place = 0
    for market, rows in _markets(demand):
        whole = hessians[place : place + rows.size**2].reshape(rows.size, rows.size)
        place += rows.size**2
        ids, own = np.unique(firms[rows], return_inverse=True)
        found[market] = {
            firm: whole[np.ix_(own == f, own == f)]
            for f, firm in enumerate(ids.tolist())
        }
    return found


def norms(gradients: ByFirm) -> ByFirm:
    """Find the sup norm of each gradient."""
    return {
        market: {firm: np.abs(values).max() for firm, values in of_market.items()}
        for market, of_market in gradients.items()
    }


def eigenvalues(hessians: ByFirm) -> ByFirm:
    """Compute the eigenvalues of each Hessian; NaN where it is not finite."""
    return {
        market: {firm: _eigenvalues(values) for firm, values in of_market.items()}
        for market, of_market in hessians.items()
    }


def _eigenvalues(hessian: Floats) -> Floats:
    if not np.isfinite(hessian).all():
        return np.full(len(hessian), np.nan)
    return np.asarray(np.linalg.eigvalsh(hessian), np.float64)


def _markets(demand: DemandProblem) -> Iterator[tuple[Any, Any]]:
    """Yield each market's ID and rows, in the user's order within."""
    ids = demand.products.unique_market_ids
    for market, (first, stop) in zip(
        ids, pairwise(demand.tables.product_offsets), strict=True
    ):
        yield market, demand.order[first:stop]
