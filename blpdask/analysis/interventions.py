"""Where do buyers go whom an experiment moves? Diversion by changes that are not small.

Of product j alone a variable x, or δ itself, is moved, and shares are computed anew:

    D_jk = -(s_k' - s_k) / (s_j' - s_j),   D_jj = -(s_0' - s_0) / (s_j' - s_j)

(Conlon and Mortimer 2021, "Empirical properties of diversion ratios", RAND Journal of
Economics 52). It is an average over agents of their own diversion, weighed by how much
each moves. As the change shrinks it is the ratio of slopes of
:mod:`blpdask.analysis.substitution`; as δ_j falls without bound nobody chooses j, and
it is diversion where j is taken away. Differences of shares have the digits that shares
have beyond s_j' - s_j: about 16 less the decimal places of the change.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..model.responses import RespondingMarkets
from ..partitions.source import HeldBlocks
from ..records import JOINED, Floats, TrialPrices
from .choices import ChoiceState, shares_pass
from .economy import Economy, take_rows
from .stacked_matrices import place_in_market
from .substitution import ratios_of_changes


@dataclass(frozen=True, slots=True, eq=False)
class MovedMarkets:
    """A block of markets, and utilities of products that are moved: what is placed.

    Attributes
    ----------
    at
        The markets and utilities before.
    moved
        Those of every product once it is moved; one at a time is.
    """

    at: RespondingMarkets
    moved: TrialPrices


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Changes s_k' - s_k of blocks where j is moved, as [j, k] of markets, ``(F,)``."""

    values: Floats = field(metadata=JOINED)


def diversion_of_change(
    economy: Economy, variable: str | None, values: Floats
) -> Floats:
    """Compute D by a change of each product alone, stacked ``(n, max J)``.

    Parameters
    ----------
    economy
        At its parameters.
    variable
        What is moved, δ where None.
    values
        ``(n,)`` its values once moved.

    Returns
    -------
    array
        Rows are products that are moved, D_j0 on diagonals; NaN where nobody moves.
    """
    source = economy.blocks(economy.at(variable))
    moved = economy.at(variable, values)
    blocks, labels, stop = [], [], 0
    for index in range(len(source)):
        at: RespondingMarkets = source.load(index)
        first, stop = stop, stop + at.markets.n_products
        blocks.append(MovedMarkets(at, take_rows(moved, first, stop)))
        labels.append(source.describe(index))
    state = ChoiceState(economy.tastes, economy.backend)
    found: Changes = economy.reduce(
        HeldBlocks(blocks, labels=labels), changes_pass, state
    )
    return ratios_of_changes(found.values, economy.offsets)


def changes_pass(
    block: MovedMarkets, state: ChoiceState, memory: None
) -> tuple[Changes, None]:
    """Move products of a block's markets one by one: what an engine maps over blocks.

    The j-th products of all markets are moved together, so that there are as many
    evaluations of shares as the largest market has products, and one.
    """
    del memory
    offsets = block.at.markets.product_offsets
    sizes, place = np.diff(offsets), place_in_market(offsets)
    widths = np.repeat(sizes, sizes)
    first = np.repeat(np.cumsum(sizes**2) - sizes**2, sizes)
    before = shares_pass(block.at, state, None)[0].values
    found = np.empty(int((sizes**2).sum()))
    for j in range(int(sizes.max())):
        trial = _move(block.at.trial, block.moved, place == j)
        after = shares_pass(replace(block.at, trial=trial), state, None)[0].values
        inside = widths > j
        entries = first + j * widths + place
        found[entries[inside]] = (after - before)[inside]
    return Changes(found), None


def _move(
    before: TrialPrices, after: TrialPrices, rows: NDArray[np.bool_]
) -> TrialPrices:
    """Move utilities of some rows."""
    return replace(
        before,
        delta=np.where(rows, after.delta, before.delta),
        X2=np.where(rows, after.X2, before.X2),
    )
