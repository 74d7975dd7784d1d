"""Blocks and tastes as compiled loops take them: tuples of arrays, nothing optional.

What a block does not have is an array of size zero. θ does not change a block: it is
arranged once, and stays so for as long as it lives.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..records import Floats, Integers, MarketBlock, Tastes
from .loop_kept import only_read


class LoopBlock(NamedTuple):
    """Arrays of :class:`blpdask.records.MarketBlock`, and where markets' a_ij start."""

    product_offsets: Integers
    agent_offsets: Integers
    available_offsets: Integers
    X2: Floats
    log_shares: Floats
    draws: Floats
    weights: Floats
    nests: Integers
    availability: Floats
    product_draws: Floats
    product_columns: Integers


class LoopTastes(NamedTuple):
    """Arrays of :class:`blpdask.records.Tastes`."""

    loadings: Floats
    types: Integers
    rows: Integers
    columns: Integers
    rho: Floats
    rho_places: Integers


_ARRANGED: WeakKeyDictionary[MarketBlock, LoopBlock] = WeakKeyDictionary()


def loop_block(block: MarketBlock) -> LoopBlock:
    """Arrange a block for compiled loops, which may only read it."""
    arranged = _ARRANGED.get(block)
    if arranged is None:
        arranged = _ARRANGED[block] = only_read(_arrange(block))
    return arranged


def _arrange(block: MarketBlock) -> LoopBlock:
    """List a block's arrays, and say where its markets' a_ij start."""
    sizes = np.diff(block.product_offsets) * np.diff(block.agent_offsets)
    return LoopBlock(
        block.product_offsets,
        block.agent_offsets,
        np.concatenate([[0], np.cumsum(sizes)]),
        block.X2,
        block.log_shares,
        block.draws,
        block.weights,
        np.empty(0, np.int64) if block.nests is None else block.nests,
        np.empty(0) if block.availability is None else block.availability,
        np.empty((0, 0)) if block.product_draws is None else block.product_draws,
        np.array(block.product_columns, np.int64),
    )


def loop_tastes(tastes: Tastes, *, derivatives: bool) -> LoopTastes:
    """Arrange tastes for compiled loops, without free parameters where not wanted."""
    rows, columns, places = tastes.rows, tastes.columns, tastes.rho_places
    if not derivatives:
        rows, columns, places = rows[:0], columns[:0], np.full_like(places, -1)
    return LoopTastes(tastes.loadings, tastes.types, rows, columns, tastes.rho, places)
