"""How the utility of agents falls with the price of a market's first product.

    α_i = Σ_k β_k ∂x1_k/∂p + Σ_k g_k(·) ∂x2_k/∂p

at product 1, by which surplus is turned into money (Small and Rosen 1981).
"""

from __future__ import annotations

import numpy as np

from ..kernels.array_shares import move_tastes, random_coefficients
from ..records import Floats, MarketBlock, Tastes, TrialPrices


def first_slopes(block: MarketBlock, tastes: Tastes, trial: TrialPrices) -> Floats:
    """Compute α_i of the first product of agents' markets, ``(A,)``, over ε.

    Parameters
    ----------
    block
        The markets.
    tastes
        θ.
    trial
        Their utilities over the scale ε of the extreme-value errors.
    """
    sizes, people = np.diff(block.product_offsets), np.diff(block.agent_offsets)
    draws = block.draws
    if block.product_draws is not None:
        widths = np.repeat(sizes, people)
        draws = draws.copy()
        own = block.product_draws[:, np.cumsum(widths) - widths]
        draws[:, list(block.product_columns)] = own.T
    coefficients = random_coefficients(draws, move_tastes(tastes, np), np)
    first = np.repeat(block.product_offsets[:-1], people)
    slopes = trial.X2_by_prices[:, first].T
    moved: Floats = (coefficients[:, trial.X2_priced] * slopes).sum(axis=1)
    return moved + trial.alpha[first]
