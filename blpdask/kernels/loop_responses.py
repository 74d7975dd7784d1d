"""How shares respond to a characteristic, and who gains when a product is gone.

Equations are in :mod:`blpdask.kernels.contract`; here the compiled loops over markets.
Markets without nests, where all is there for all, are those of
:mod:`blpdask.kernels.loop_plain_responses`. For the others ∂s_j/∂x_k is minus Δ_kj of
one owner (:mod:`blpdask.kernels.loop_pricing`), and what is gained is in
:mod:`blpdask.kernels.loop_removals`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..records import Floats, Integers, MarketBlock, Tastes, TrialPrices
from .loop_block import loop_block, loop_tastes
from .loop_compiler import exact
from .loop_kept import fingerprint_of_loops, kept
from .loop_market import prepare_market, share_map
from .loop_plain_market import is_plain
from .loop_plain_responses import plain_jacobian, plain_removals
from .loop_pricing import (
    DIFFERENTIATED_ROWS,
    LoopSupply,
    form_conditions,
    prepare_pricing,
)
from .loop_removals import sum_removals


def jacobians(
    block: MarketBlock,
    tastes: Tastes,
    trial: TrialPrices,
    scratch_bytes: int,
    room: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Compute ∂s_j/∂x_k of every market, row-major, ``(F,)``, and s ``(N,)``.

    Parameters
    ----------
    block, tastes
        The markets and θ.
    trial
        Utilities and how they move with x.
    scratch_bytes
        Not needed: a few agents' probabilities are held at a time.
    room
        ``(F,)`` array that is filled; a new one where None.
    """
    del scratch_bytes
    offsets = _square_offsets(block)
    filled = np.empty(offsets[-1]) if room is None else room
    shares = np.empty(block.n_products)
    _compiled_jacobians(fingerprint_of_loops())(
        loop_block(replace(block, X2=np.ascontiguousarray(trial.X2))),
        loop_tastes(tastes, derivatives=False),
        LoopSupply(
            offsets,
            np.zeros(block.n_products, np.int64),
            np.empty(0),
            np.ascontiguousarray(trial.alpha),
            np.empty((0, block.n_products)),
            np.ascontiguousarray(trial.X2_by_prices),
            trial.X2_priced,
        ),
        np.ascontiguousarray(trial.delta),
        filled,
        shares,
    )
    return filled, shares


def removals(
    block: MarketBlock,
    tastes: Tastes,
    delta: Floats,
    scratch_bytes: int,
    room: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Compute what k gains where j is gone as [j, k], ``(F,)``, and s ``(N,)``.

    Parameters
    ----------
    block, tastes
        The markets and θ.
    delta
        ``(N,)`` mean utilities.
    scratch_bytes
        Not needed: a few agents' probabilities are held at a time.
    room
        As in :func:`jacobians`.
    """
    del scratch_bytes
    offsets = _square_offsets(block)
    filled = np.empty(offsets[-1]) if room is None else room
    shares = np.empty(block.n_products)
    _compiled_removals(fingerprint_of_loops())(
        loop_block(block),
        loop_tastes(tastes, derivatives=False),
        offsets,
        np.ascontiguousarray(delta),
        filled,
        shares,
    )
    return filled, shares


def _square_offsets(block: MarketBlock) -> Integers:
    """Say where each market's J² numbers start, ``(T + 1,)``."""
    return np.concatenate([[0], np.cumsum(np.diff(block.product_offsets) ** 2)])


@exact
def set_reference(market, delta):
    """Make ``delta`` (J,) the reference point, leaving E to be filled.

    Returns zero, or NaN where a utility is not a number, which nests would hide.
    """
    reference = market.characteristics[-1]
    for j in range(delta.size):
        reference[j] = market.stretch[j] * delta[j]
    return 0.0 * market.characteristics.sum()


@functools.cache
def _compiled_jacobians(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over markets."""

    @kept(fills=2)
    def jacobians_block(block, tastes, supply, delta, filled, shares):
        """Fill ∂s_j/∂x_k ``(F,)`` and s ``(N,)`` of a block."""
        _ = fingerprint
        plain = is_plain(block)
        for t in range(block.product_offsets.size - 1):
            a, b = block.product_offsets[t], block.product_offsets[t + 1]
            n, first = b - a, supply.square_offsets[t]
            square = filled[first : first + n * n].reshape((n, n))
            if plain:
                plain_jacobian(
                    t, block, tastes, supply, delta[a:b], square, shares[a:b]
                )
                continue
            market, order = prepare_market(t, block, tastes, DIFFERENTIATED_ROWS)
            nothing = set_reference(market, delta[a:b][order])
            pricing = prepare_pricing(t, a, market, order, supply)
            Delta, s, alike = np.empty((n, n)), np.empty(n), np.ones(n)
            form_conditions(market, pricing, Delta)
            share_map(market, alike, s)
            for j in range(n):
                shares[a + order[j]] = nothing + s[j]
                for k in range(n):
                    square[order[j], order[k]] = nothing - Delta[k, j]

    return jacobians_block


@functools.cache
def _compiled_removals(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over markets."""

    @kept(fills=2)
    def removals_block(block, tastes, square_offsets, delta, filled, shares):
        """Fill what is gained ``(F,)`` and s ``(N,)`` of a block."""
        _ = fingerprint
        plain = is_plain(block)
        for t in range(block.product_offsets.size - 1):
            a, b = block.product_offsets[t], block.product_offsets[t + 1]
            n, order = b - a, np.arange(b - a)
            gained = np.empty((n, n + 1))
            if plain:
                plain_removals(t, block, tastes, delta[a:b], gained)
            else:
                market, order = prepare_market(t, block, tastes, DIFFERENTIATED_ROWS)
                nothing = set_reference(market, delta[a:b][order])
                sum_removals(market, gained)
                gained += nothing
            square = filled[square_offsets[t] : square_offsets[t + 1]].reshape((n, n))
            for j in range(n):
                for k in range(n):
                    square[order[j], order[k]] = gained[j, k]
                square[order[j], order[j]] = gained[j, n]
                shares[a + order[j]] = gained[j].sum()

    return removals_block
