"""Equilibrium prices of one market after another, where utility is linear in prices.

    p = c + ζ(p),   δ(p) = δ(p_0) + α (p - p_0),   x2(p) = x2(p_0) + (p - p_0) ∂x2/∂p

(Morrow and Skerlos 2011). The whole iteration of a market, secant steps included
(:mod:`blpdask.kernels.loop_secants`), is compiled, and tastes are drawn once. What is
found is what :mod:`blpdask.model.equilibrium` finds, in as many evaluations; nests,
availability and draws that differ over products are left to it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..records import (
    Floats,
    Integers,
    InversionControls,
    MarketBlock,
    PriceConditions,
    PriceSearch,
    Tastes,
    TrialPrices,
)
from .loop_block import loop_block, loop_tastes
from .loop_compiler import exact
from .loop_conditions import sum_over_agents
from .loop_kept import fingerprint_of_loops, kept
from .loop_market import LARGE_UTILITY
from .loop_numeric import sup_norm
from .loop_pricing import LoopSupply
from .loop_secants import bound_of, can_retry, new_past, propose
from .loop_tiles import (
    TO_TWO,
    agents_of_tile,
    characteristics_of,
    fill_coefficients,
)


def equilibrium(
    block: MarketBlock,
    tastes: Tastes,
    line: TrialPrices,
    start: Floats,
    costs: Floats,
    controls: InversionControls,
) -> PriceSearch | None:
    """Iterate prices to their fixed point by secant steps.

    Parameters
    ----------
    block
        The markets, with their owners.
    tastes
        θ.
    line
        What prices move, linearly, at prices p_0 of the size of those sought.
    start
        ``(N,)`` prices where iteration starts.
    costs
        ``(N,)`` c.
    controls
        The bound on gradients of profits, and on evaluations.

    Returns
    -------
    PriceSearch or None
        Prices, and how each market ended; None where there are nests, or products are
        not there for all or differ to agents.
    """
    supply = block.supply
    assert supply is not None
    given = loop_block(block)
    if given.nests.size or given.availability.size or given.product_columns.size:
        return None
    squares = np.diff(block.product_offsets) ** 2
    prices = np.empty(block.n_products)
    filled = np.full((3, block.n_products), np.nan)
    outcome = np.zeros((4, block.n_markets), np.int64)
    _compiled_equilibrium(fingerprint_of_loops())(
        given._replace(X2=np.ascontiguousarray(line.X2)),
        loop_tastes(tastes, derivatives=False),
        LoopSupply(
            np.concatenate([[0], np.cumsum(squares)]),
            supply.owners,
            supply.ownership,
            np.ascontiguousarray(line.alpha),
            np.empty((0, block.n_products)),
            np.ascontiguousarray(line.X2_by_prices),
            line.X2_priced,
        ),
        np.ascontiguousarray(line.delta),
        np.ascontiguousarray(line.prices),
        np.ascontiguousarray(start),
        np.ascontiguousarray(costs),
        float(controls.atol),
        int(controls.max_evaluations),
        prices,
        filled,
        outcome,
    )
    return PriceSearch(
        prices=prices,
        conditions=PriceConditions(*filled),
        done=outcome[0] > 0,
        broken=outcome[1] > 0,
        iterations=outcome[2],
        evaluations=outcome[3],
    )


class LinearMarket(NamedTuple):
    """One market whose utilities are linear in prices.

    ``at_line`` (J, K + 1), ``by_prices`` (J, K + 1) and ``characteristics`` (J, K + 1)
    as in :func:`blpdask.kernels.loop_tiles.characteristics_of`: at the prices of
    ``line`` (J,), by prices, and, overwritten, at the prices tried. ``slopes``
    (R + 1, J) α_j and ∂x_jr/∂p for the r in ``priced``; ``ownership`` (J, J) H, or
    (0, 0); ``largest`` (K + 1,) max_i |c_ik|, and one; ``sums`` (3, J) is filled with
    s, H_jj Λ_j and ζ.
    """

    at_line: Floats
    by_prices: Floats
    characteristics: Floats
    line: Floats
    costs: Floats
    slopes: Floats
    priced: Integers
    owners: Integers
    ownership: Floats
    coefficients: Floats
    largest: Floats
    weights: Floats
    sums: Floats


@exact
def prepare_linear(t, block, tastes, supply, delta, line, costs):
    """Cut market t out of the block, and draw its tastes."""
    a, b = block.product_offsets[t], block.product_offsets[t + 1]
    c, d = block.agent_offsets[t], block.agent_offsets[t + 1]
    n, n_random = b - a, block.X2.shape[0]
    H = np.empty((0, 0))
    if supply.ownership.size > 0:
        where = supply.square_offsets[t], supply.square_offsets[t + 1]
        H = supply.ownership[where[0] : where[1]].reshape((n, n)).copy()
    slopes = np.empty((supply.priced.size + 1, n))
    slopes[0] = supply.alpha[a:b]
    slopes[1:] = supply.X2_by_prices[:, a:b]
    moved = np.zeros((n_random, n))
    for r in range(supply.priced.size):
        moved[supply.priced[r]] = slopes[r + 1]
    at_line = characteristics_of(block.X2[:, a:b], delta[a:b])
    coefficients = np.empty((at_line.shape[1] - 1, d - c))
    draws = block.draws[c:d]
    fill_coefficients(draws, tastes.loadings, tastes.types, coefficients)
    largest = np.ones(at_line.shape[1])
    for k in range(coefficients.shape[0]):
        largest[k] = sup_norm(coefficients[k])
    return LinearMarket(
        at_line,
        characteristics_of(moved, slopes[0]),
        at_line.copy(),
        line[a:b],
        costs[a:b],
        slopes,
        supply.priced,
        supply.owners[a:b],
        H,
        coefficients,
        largest,
        block.weights[c:d],
        np.empty((3, n)),
    )


@exact
def evaluate(market, prices):
    """Fill s, H_jj Λ_j and ζ at some prices; NaN where utilities are not numbers."""
    sums, bound = market.sums, 0.0
    for j in range(prices.size):
        move, size = prices[j] - market.line[j], 0.0
        for k in range(market.at_line.shape[1]):
            x = market.at_line[j, k] + market.by_prices[j, k] * move
            market.characteristics[j, k] = x
            size += abs(x) * market.largest[k]
        bound = max(bound, size)
        if not math.isfinite(size):
            sums[:] = math.nan
            return
    sum_over_agents(
        market.characteristics,
        market.slopes,
        market.priced,
        prices - market.costs,
        market.owners,
        market.ownership,
        market.coefficients,
        market.weights,
        bound <= TO_TWO * LARGE_UTILITY,
        agents_of_tile(prices.size, market.weights.size),
        sums,
    )
    for j in range(prices.size):
        own = market.ownership[j, j] if market.ownership.size > 0 else 1.0
        scale = own * sums[1, j]
        worth = sums[2, j] - sums[0, j]
        sums[1, j] = scale
        sums[2, j] = worth / scale if scale != 0.0 else math.nan


@exact
def step(market, prices, moved):
    """Fill c + ζ(p); give the sup norms of gradients of profits and of the step.

    Both are NaN where either or c + ζ(p) is not finite.
    """
    evaluate(market, prices)
    for j in range(prices.size):
        moved[j] = market.costs[j] + market.sums[2, j]
    gap = sup_norm(market.sums[1] * (moved - prices))
    if not math.isfinite(gap) or not math.isfinite(sup_norm(moved)):
        return math.nan, math.nan
    return gap, sup_norm(moved - prices)


@exact
def search_prices(market, start, atol, max_evaluations, prices):
    """Fill prices and conditions there.

    Returns whether gradients reached the tolerance, whether prices are not finite,
    iterations and evaluations.
    """
    past = new_past(start)
    prices[:] = start
    moved, ahead = np.empty(prices.size), np.empty(prices.size)
    iterations = evaluations = 0
    while True:
        gap, size = step(market, prices, moved)
        finite, again = not math.isnan(size), can_retry(past)
        evaluations += 1
        iterations += 1 if finite else 0
        near = finite and size <= bound_of(past) and gap < atol
        if not finite:
            moved[:] = past.best if again else prices
        stuck = not finite and not again
        if near or stuck or evaluations >= max_evaluations:
            prices[:] = moved
            evaluate(market, prices)
            return near, stuck, iterations, evaluations
        propose(past, prices, moved, size, ahead)
        prices[:] = ahead


@functools.cache
def _compiled_equilibrium(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over markets."""

    @kept(fills=3)
    def equilibrium_block(
        block,
        tastes,
        supply,
        delta,
        line,
        start,
        costs,
        atol,
        max_evaluations,
        prices,
        filled,
        outcome,
    ):
        """Find the prices of every market of a block."""
        _ = fingerprint
        for t in range(block.product_offsets.size - 1):
            a, b = block.product_offsets[t], block.product_offsets[t + 1]
            market = prepare_linear(t, block, tastes, supply, delta, line, costs)
            done, broken, iterations, evaluations = search_prices(
                market, start[a:b], atol, max_evaluations, prices[a:b]
            )
            filled[:, a:b] = market.sums
            outcome[0, t] = done
            outcome[1, t] = broken
            outcome[2, t] = iterations
            outcome[3, t] = evaluations

    return equilibrium_block
