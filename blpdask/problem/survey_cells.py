"""What a survey weighs in a market, cell by cell, and which choices it removes.

W_dij is of agents and choices, ``(I, J)`` or ``(I, 1 + J)``; where the survey asks for
second choices W_dijk is ``(I, J or 1 + J, J or 1 + J)``. The outside option, where it
is a choice, comes first.
"""

from __future__ import annotations

import numpy as np

from ..errors import Faults, InputError
from ..records import Floats, Integers
from .survey_arrays import SurveyDataset
from .survey_expressions import ChoiceExpression
from .survey_market import SurveyedMarket
from .survey_removals import nest_clashes


def cell_weights(dataset: SurveyDataset, market: SurveyedMarket) -> Floats | None:
    """Evaluate W in a market; None where the survey is not.

    Parameters
    ----------
    dataset, market
        What, and where.

    Raises
    ------
    InputError
        Where the function fails, or gives anything but weights.
    """
    if dataset.market_ids is not None and market.market_id not in dataset.market_ids:
        return None
    given = _evaluate(dataset, market)
    n, J = market.n_agents, market.n_products
    pairs = [(n, a, b) for a in (J, 1 + J) for b in (J, 1 + J)]
    where = f"weights of {dataset.label} in market {market.market_id}"
    faults = Faults("dataset")
    if given.shape not in [(n, J), (n, 1 + J), *pairs]:
        faults.add(
            f"{where} of shape {given.shape}",
            f"({n}, {J}) or ({n}, {1 + J}), agents by choices; for second choices as "
            "long a third axis",
            "return an array of one of those shapes from compute_weights",
        )
    wrong = ~np.isfinite(given) | (given < 0)
    if wrong.any():
        faults.add(
            f"{where} of which {wrong.sum()} are negative or not finite",
            "numbers from zero",
            "correct compute_weights",
        )
    faults.check()
    return given


def _evaluate(dataset: SurveyDataset, market: SurveyedMarket) -> Floats:
    """Call compute_weights, or evaluate its formula."""
    function = dataset.weights
    if isinstance(function, ChoiceExpression):
        return function.evaluate(market)[0]
    try:
        found = function(market.market_id, market.products, market.agents)
        return np.array(found, dtype=np.float64)
    except Exception as error:
        faults = Faults("dataset")
        faults.add(
            f"{type(error).__name__} in compute_weights of {dataset.label} in market "
            f"{market.market_id}: {error}",
            "a function of t, products and agents that gives weights, whichever agents "
            "of the market they are",
            "correct compute_weights",
        )
        try:
            faults.check()
        except InputError as told:
            raise told from error
        raise


def check_removed(
    groups: Integers, nests: Integers | None, market_id: object, faults: Faults
) -> None:
    """Check that each group lies within a nest, or is a union of nests.

    Only then is a group's second choice split by first choices
    (:mod:`blpdask.kernels.contract`).

    Parameters
    ----------
    groups
        ``(1 + J,)`` codes.
    nests
        ``(J,)`` codes, None without nests.
    market_id, faults
        Where, and what faults are added to.
    """
    if nests is None:
        return
    for _ in nest_clashes(groups, nests):
        faults.add(
            f"a group of eliminated products in market {market_id} with products "
            "of several nests, not all of theirs",
            "groups within one nest, or unions of nests",
            "choose another column of product_ids",
        )
