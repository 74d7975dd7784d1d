"""How far the money goes that makes up for other prices, and where formulas end.

With changes of prices m_j = p'_j - p_j, nobody needs more than max(0, max_j m_j), which
makes everything as good as it was, or less than min(0, min_j m_j). On the way prices
less money may leave what formulas are made for, as zero is left by log p. Where utility
rises without bound there, nobody is left who needs as much, and the range ends; that
nobody is left is checked agent by agent (:mod:`blpdask.model.compensation`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..records import Floats, Integers, TrialPrices

#: Part of a range by which its pieces differ at least: prices that all change by as
#: much do so up to rounding.
_ROUNDING = 1e-12
#: Halvings by which the end of formulas is found, and pieces before it, each so many
#: times shorter than the one before.
_HALVINGS = 70
_GRADES = 12
_SHRINK = 0.25
Flags = NDArray[np.bool_]
Utility = Callable[[Floats], TrialPrices]


@dataclass(frozen=True, slots=True, eq=False)
class CompensationRange:
    """Where E CV_i of each market's agents is integrated.

    Attributes
    ----------
    breaks
        ``(T, K + 1)`` where pieces begin and end: zero and p' - p in order, then the
        last again and again.
    beyond
        ``(T,)`` how far it would go on if formulas did.
    """

    breaks: Floats
    beyond: Floats

    @property
    def top(self) -> Floats:
        """Give the most money, ``(T,)``."""
        return self.breaks[:, -1]


def compensation_range(
    utility: Utility, offsets: Integers, before: Floats, after: Floats
) -> CompensationRange:
    """Find the range of every market.

    Parameters
    ----------
    utility
        Of all rows at prices.
    offsets
        ``(T + 1,)`` first row of each market, then N.
    before, after
        ``(N,)`` p and p'.

    Examples
    --------
    Two products become dearer, with logarithms that end at the new price of the first:

    >>> none = np.empty((0, 2))
    >>> def utility(p):
    ...     with np.errstate(all="ignore"):
    ...         return TrialPrices(p, -np.log(p), -1 / p, none, none, np.arange(0))
    >>> one, two = np.array([1.0, 9.0]), np.array([2.0, 12.0])
    >>> found = compensation_range(utility, np.array([0, 2]), one, two)
    >>> found.breaks[0, :3].round(4), found.top.round(6), found.beyond.round(6)
    (array([0.  , 1.  , 1.75]), array([2.]), array([1.]))
    """
    sizes, starts = np.diff(offsets), offsets[:-1]
    changes = after - before
    high = np.maximum(np.maximum.reduceat(changes, starts), 0.0)
    top = _last_finite(utility, offsets, after, changes, high)
    widest = int(sizes.max())
    breaks = np.zeros((sizes.size, 1 + widest))
    breaks[:, 1:][np.arange(widest) < sizes[:, None]] = changes
    breaks = np.minimum(breaks, top[:, None])
    if (top < high).any():
        breaks = np.concatenate([breaks, _graded(breaks, top, top < high)], axis=1)
    return CompensationRange(_sort_apart(breaks), high - top)


def undefined_outside(utility: Utility, outside_prices: Floats, top: Floats) -> Flags:
    """Tell in which markets money has no value outside, ``(T,)``.

    Parameters
    ----------
    utility
        Of the first product of each market.
    outside_prices, top
        ``(T,)`` q, and the most money.
    """
    there = [_finite(utility(outside_prices - m)) for m in (0.0 * top, top / 2, top)]
    return np.asarray(~np.logical_and.reduce(there))


def _last_finite(
    utility: Utility, offsets: Integers, after: Floats, changes: Floats, high: Floats
) -> Floats:
    """Find the most money at which formulas of what it makes better are finite."""
    sizes, starts = np.diff(offsets), offsets[:-1]

    def is_finite(m: Floats) -> Flags:
        money = np.repeat(m, sizes)
        fine = _finite(utility(after - money)) | (money < changes)
        return np.asarray(np.logical_and.reduceat(fine, starts))

    whole = is_finite(high)
    if whole.all():
        return high
    low, above = np.zeros_like(high), high.copy()
    for _ in range(_HALVINGS):
        middle = (low + above) / 2
        fine = is_finite(middle)
        low, above = np.where(fine, middle, low), np.where(fine, above, middle)
    return np.where(whole, high, low)


def _finite(trial: TrialPrices) -> Flags:
    """Tell at which rows utility is finite."""
    return np.asarray(np.isfinite(trial.delta) & np.isfinite(trial.X2).all(axis=0))


def _graded(breaks: Floats, top: Floats, cut: Flags) -> Floats:
    """Add ever shorter pieces before the end of formulas, ``(T, G)``."""
    below = np.where(breaks < top[:, None], breaks, -np.inf).max(axis=1)
    below = np.where(cut & np.isfinite(below), below, top)
    grades = _SHRINK ** np.arange(1, _GRADES + 1)
    return np.asarray(top[:, None] - (top - below)[:, None] * grades)


def _sort_apart(breaks: Floats) -> Floats:
    """Sort breaks of each market, and put those that differ first."""
    found = np.sort(breaks, axis=1)
    widths = np.ptp(found, axis=1)[:, None]
    same = np.diff(found, axis=1) <= _ROUNDING * widths
    top = found[:, -1:].copy()
    found[:, 1:][same] = np.inf
    found = np.sort(found, axis=1)
    longest = int(np.isfinite(found).sum(axis=1).max())
    return np.asarray(np.where(np.isinf(found), top, found)[:, : max(longest, 2)])
