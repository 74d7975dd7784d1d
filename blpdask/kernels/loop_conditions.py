"""First-order conditions of prices at trial prices, in compiled loops.

Equations are in :mod:`blpdask.kernels.contract`. With m = p - c and what agent i's
purchases are worth to the owner of j, a_ij = Σ_k H_jk P_ik m_k,

    s_j = Σ_i w_i P_ij,   Λ_j = Σ_i w_i α_ij P_ij,   ζ_j = (z_j - s_j) / (H_jj Λ_j),
    z_j = Σ_i w_i α_ij P_ij a_ij,   α_ij = α_j + Σ_r c_ir ∂x_jr/∂p,

where r runs over columns of X2 that depend on prices and c_ir is the agent's taste for
one (Morrow and Skerlos 2011). One tile of agents (:mod:`blpdask.kernels.loop_tiles`) is
held, never more. Where there are nests, or products are not there for all,
probabilities are those of :mod:`blpdask.kernels.loop_pricing`, and

    Λ_j = t_h Σ_i w_i α_ij P_ij,
    a_ij = Σ_k H_jk P_ik m_k + (t_h - 1) Σ_{k∈h} H_jk Q_ik m_k.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Floats, MarketBlock, PriceConditions, Tastes, TrialPrices
from .loop_block import loop_block, loop_tastes
from .loop_compiler import exact, reorder
from .loop_kept import fingerprint_of_loops, kept
from .loop_market import (
    fill_exponentials,
    move_reference,
    prepare_market,
    rows_held,
)
from .loop_plain_market import is_plain
from .loop_pricing import (
    DIFFERENTIATED_ROWS,
    LoopSupply,
    add_columns,
    fill_price_slopes,
    fill_probabilities,
    owned_sums,
    prepare_pricing,
)
from .loop_tiles import (
    agents_of_tile,
    characteristics_of,
    fill_coefficients,
    fill_tile,
    none_is_large,
    scale_rows,
)


def conditions(
    block: MarketBlock,
    tastes: Tastes,
    trial: TrialPrices,
    margins: Floats,
    active: NDArray[np.bool_],
    scratch_bytes: int,
) -> PriceConditions:
    """Compute s, Λ and ζ at trial prices, in the active markets alone.

    Parameters
    ----------
    block
        The markets, with their owners.
    tastes
        θ.
    trial
        What prices move, at the prices tried.
    margins
        ``(N,)`` m = p - c.
    active
        ``(T,)`` markets to work on; others have NaN.
    scratch_bytes
        Bound on the cache of one market's probabilities where there are nests; else a
        tile is smaller than any bound.
    """
    supply = block.supply
    assert supply is not None
    squares = np.diff(block.product_offsets) ** 2
    filled = np.full((3, block.n_products), np.nan)
    _compiled_conditions(fingerprint_of_loops())(
        loop_block(replace(block, X2=np.ascontiguousarray(trial.X2))),
        loop_tastes(tastes, derivatives=False),
        LoopSupply(
            np.concatenate([[0], np.cumsum(squares)]),
            supply.owners,
            supply.ownership,
            np.ascontiguousarray(trial.alpha),
            np.empty((0, block.n_products)),
            np.ascontiguousarray(trial.X2_by_prices),
            trial.X2_priced,
        ),
        np.ascontiguousarray(trial.delta),
        np.ascontiguousarray(margins),
        np.ascontiguousarray(active),
        rows_held(block, scratch_bytes),
        filled,
    )
    return PriceConditions(shares=filled[0], Lambda=filled[1], zeta=filled[2])


@reorder
def add_conditions(E, n, weighted, slopes, worth, rows, sums):
    """Add a tile's part of s, Λ and z to ``sums`` ``(3, J)``.

    ``weighted`` (R + 1, tile) is w_i / (o_i + Σ_j E_ji) times c_ri, one in its first
    row, as ``slopes`` (R + 1, J) is α_j there and ∂x_jr/∂p, both with a row of zeros
    more where R is even; ``rows`` (J,) says in which row of ``worth`` a_ij is.
    """
    last = E.shape[0] - 1
    for first in range(0, E.shape[0], 2):
        # Two products at a time; the last of an odd number is taken twice.
        j, k = first, min(first + 1, last)
        e, a, f, b = E[j], worth[rows[j]], E[k], worth[rows[k]]
        for r in range(0, weighted.shape[0], 2):
            w, v = weighted[r], weighted[r + 1]
            share = earned = share_too = earned_too = 0.0
            other = gained = other_too = gained_too = 0.0
            for i in range(n):
                x, y = a[i] * e[i], b[i] * f[i]
                share += w[i] * e[i]
                earned += w[i] * x
                share_too += v[i] * e[i]
                earned_too += v[i] * x
                other += w[i] * f[i]
                gained += w[i] * y
                other_too += v[i] * f[i]
                gained_too += v[i] * y
            if r == 0:
                sums[0, j] += share
                sums[0, k] += other if k > j else 0.0
            sums[1, j] += slopes[r, j] * share + slopes[r + 1, j] * share_too
            sums[2, j] += slopes[r, j] * earned + slopes[r + 1, j] * earned_too
            if k > j:
                sums[1, k] += slopes[r, k] * other + slopes[r + 1, k] * other_too
                sums[2, k] += slopes[r, k] * gained + slopes[r + 1, k] * gained_too


@exact
def sum_over_agents(
    characteristics,
    slopes,
    priced,
    margins,
    owners,
    H,
    coefficients,
    weights,
    small,
    tile,
    sums,
):
    """Fill s, Λ and z of one market, ``(3, J)``, by so many agents of a tile.

    ``characteristics`` (J, K + 1) and ``coefficients`` (K, I) as in
    :mod:`blpdask.kernels.loop_tiles`; ``small`` says that no utility is large.
    """
    n_products, n_agents = margins.size, weights.size
    E = np.empty((n_products, tile))
    weighted = np.zeros((2 * math.ceil((priced.size + 1) / 2), tile))
    by_row = np.zeros((weighted.shape[0], n_products))
    by_row[: slopes.shape[0]] = slopes
    inverse, by_owner = np.empty(tile), np.empty((owners.max() + 1, tile))
    worth, rows = by_owner, owners
    if H.shape[0] > 0:
        worth, rows = np.empty((n_products, tile)), np.arange(n_products)
    sums[:] = 0.0
    for first in range(0, n_agents, tile):
        n = min(tile, n_agents - first)
        fill_tile(
            characteristics,
            coefficients,
            first,
            n,
            small,
            margins,
            owners,
            E,
            inverse,
            by_owner,
        )
        if H.shape[0] > 0:
            np.dot(H * margins, E, worth)
        scale_rows(worth, n, inverse)
        for i in range(n):
            weighted[0, i] = weights[first + i] * inverse[i]
        for r in range(priced.size):
            c = coefficients[priced[r]]
            for i in range(n):
                weighted[r + 1, i] = weighted[0, i] * c[first + i]
        add_conditions(E, n, weighted, by_row, worth, rows, sums)


@exact
def sum_over_probabilities(market, pricing, margins, sums):
    """Fill s, Λ and z ``(3, J)`` of one market at its reference point."""
    n, n_agents = margins.size, market.weights.size
    held, n_nests = market.E.shape[0], market.nests.shape[1]
    chunk = min(DIFFERENTIATED_ROWS, n_agents)
    shape = (chunk, n)
    Ps, Qs, Ms = np.empty(shape), np.empty(shape), np.empty((chunk, n_nests))
    slopes, worths, nested = np.empty(shape), np.empty(shape), np.empty(shape)
    totals = np.empty(pricing.nest_owners.max() + 1)
    sums[:] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        fill_exponentials(market, first, stop)
        for begin in range(first, stop, chunk):
            end = min(begin + chunk, stop)
            size = end - begin
            P, Q, a, worth = Ps[:size], Qs[:size], slopes[:size], worths[:size]
            fill_probabilities(market, begin - first, P, Q, Ms[:size])
            w = market.weights[begin:end]
            fill_price_slopes(market, pricing, begin, a)
            owned_sums(P, margins, pricing.owners, pricing.ownership, worth, totals)
            if n_nests > 0:
                owners, H = pricing.nest_owners, pricing.nest_ownership
                owned_sums(Q, margins, owners, H, nested[:size], totals)
                add_columns(worth, nested[:size], market.stretch)
            add_rows(w, P, a, worth, sums)
    for j in range(n):
        sums[1, j] *= market.stretch[j]


@reorder
def add_rows(weights, P, slopes, worth, sums):
    """Add some agents' part of s, Σ_i w_i α_ij P_ij and z to ``sums`` ``(3, J)``."""
    for i in range(P.shape[0]):
        for j in range(P.shape[1]):
            x = weights[i] * P[i, j]
            sums[0, j] += x
            sums[1, j] += x * slopes[i, j]
            sums[2, j] += x * slopes[i, j] * worth[i, j]


@exact
def plain_conditions(t, block, tastes, supply, delta, margins, sums):
    """Fill s, Λ and z ``(3, J)`` of market t where there are no nests."""
    a, b = block.product_offsets[t], block.product_offsets[t + 1]
    c, d = block.agent_offsets[t], block.agent_offsets[t + 1]
    n = b - a
    H = np.empty((0, 0))
    if supply.ownership.size > 0:
        where = supply.square_offsets[t], supply.square_offsets[t + 1]
        H = supply.ownership[where[0] : where[1]].reshape((n, n))
    characteristics = characteristics_of(block.X2[:, a:b], delta[a:b])
    coefficients = np.empty((characteristics.shape[1] - 1, d - c))
    draws = block.draws[c:d]
    fill_coefficients(draws, tastes.loadings, tastes.types, coefficients)
    slopes = np.empty((supply.priced.size + 1, n))
    slopes[0] = supply.alpha[a:b]
    slopes[1:] = supply.X2_by_prices[:, a:b]
    sum_over_agents(
        characteristics,
        slopes,
        supply.priced,
        margins[a:b],
        supply.owners[a:b],
        H,
        coefficients,
        block.weights[c:d],
        none_is_large(characteristics, coefficients),
        agents_of_tile(n, d - c),
        sums,
    )


@functools.cache
def _compiled_conditions(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over markets."""

    @kept(fills=1)
    def conditions_block(
        block, tastes, supply, delta, margins, active, rows_held, filled
    ):
        """Fill s, Λ and ζ of the active markets of a block."""
        _ = fingerprint
        plain = is_plain(block)
        for t in range(block.product_offsets.size - 1):
            if not active[t]:
                continue
            a, b = block.product_offsets[t], block.product_offsets[t + 1]
            n = b - a
            sums, order = np.empty((3, n)), np.arange(n)
            if plain:
                plain_conditions(t, block, tastes, supply, delta, margins, sums)
            else:
                market, order = prepare_market(t, block, tastes, rows_held)
                move_reference(market, delta[a:b][order])
                pricing = prepare_pricing(t, a, market, order, supply)
                sum_over_probabilities(market, pricing, margins[a:b][order], sums)
            first = supply.square_offsets[t]
            for j in range(n):
                own, place = 1.0, order[j]
                if supply.ownership.size > 0:
                    own = supply.ownership[first + place * n + place]
                scale = own * sums[1, j]
                filled[0, a + place] = sums[0, j]
                filled[1, a + place] = scale
                filled[2, a + place] = (
                    (sums[2, j] - sums[0, j]) / scale if scale != 0.0 else math.nan
                )

    return conditions_block
