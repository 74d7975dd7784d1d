"""λ, the shares of types of agents: checked, completed to one, and differentiated.

    s_j(δ, θ) = Σ_r λ_r Σ_{i∈r} w_i s_ij(δ, θ),   Σ_{i∈r} w_i = 1,   Σ_r λ_r = 1

(Berry, Carnall and Spiller 2006; Berry and Jia 2010). θ holds the shares themselves of
all types that are estimated but the last, whose share is one minus all others':

    ∂λ_r/∂θ_p = 1[r = r_p] - 1[r is the last].

Shares, and not their log odds, are what bounds, covariances and functions of parameters
are about, and the objective is close to quadratic in them. Bounds keep each to (0, 1);
that the last is not negative is no such bound where three or more are estimated, and at
a trial θ where it is, there are no market shares: the evaluation fails like any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers

#: How far from zero and one an estimated share stays where it has no bounds of its own.
MARGIN = 1e-3
#: How far from one given shares may sum.
SUM_TOLERANCE = 1e-8


def read_type_shares(faults: Faults, given: Any, labels: tuple[str, ...]) -> Floats:
    """Read λ as a user types it, ``(R, 1)``; ``(0, 1)`` where None.

    Parameters
    ----------
    faults
        What every fault is added to.
    given
        ``(R,)`` shares in the order of the labels, or None.
    labels
        Names of the R types, none where agents have no types.

    Examples
    --------
    >>> faults = Faults("starting values")
    >>> read_type_shares(faults, [0.25, 0.75], ("commuters", "tourists")).tolist()
    [[0.25], [0.75]]
    """
    nothing = np.zeros((0, 1))
    if given is None or not np.size(given):
        return nothing
    if not labels:
        faults.add(
            "type_shares although agents have no types",
            "a type for every agent",
            "add a column type_ids to agent_data, or leave type_shares out",
        )
        return nothing
    try:
        shares = np.asarray(given, dtype=np.float64).reshape(-1, 1)
    except (TypeError, ValueError):
        shares = np.full((1, 1), np.nan)
    if shares.shape[0] != len(labels):
        faults.add(
            f"type_shares of {shares.shape[0]} numbers",
            f"{len(labels)}, one a type, in the order {', '.join(labels)}",
            "pass them in the sorted order of type_ids",
        )
        return nothing
    if not np.isfinite(shares).all() or (shares < 0).any():
        faults.add(
            f"type_shares of {', '.join(f'{s:g}' for s in shares[:, 0])}",
            "numbers from zero to one, none missing",
            "pass a share for every type; one of zero leaves the type out",
        )
        return nothing
    if abs(shares.sum() - 1) > SUM_TOLERANCE:
        faults.add(
            f"type_shares that sum to {shares.sum():.10g}",
            "shares that sum to one",
            "divide them by their sum",
        )
        return nothing
    return shares


def within_simplex(
    shares: Floats, bounds: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Bound shares off zero and one, or at the start where that is closer.

    The last is bounded by what the others leave.

    Parameters
    ----------
    shares
        ``(R, 1)`` λ at the start.
    bounds
        Bounds, of which those that are finite stay.

    Examples
    --------
    >>> none = np.full((2, 1), np.inf)
    >>> low, high = within_simplex(np.array([[0.2], [0.8]]), (-none, none))
    >>> low.ravel().tolist(), high.ravel().tolist()
    ([0.001, 0.0010000000000000009], [0.999, 0.999])
    """
    low, high = bounds
    low = np.where(np.isfinite(low), low, np.minimum(MARGIN, shares))
    high = np.where(np.isfinite(high), high, np.maximum(1 - MARGIN, shares))
    if (last := last_free(low, high)) is not None:
        low[last, 0], high[last, 0] = implied_bounds(low, high, last)
    return low, high


def last_free(low: Floats, high: Floats) -> int | None:
    """Find the type whose share is what others leave; None where all are fixed.

    Parameters
    ----------
    low, high
        ``(R, 1)`` bounds, equal where a share is fixed.
    """
    free = np.flatnonzero(low != high)
    return int(free[-1]) if free.size else None


def check_share_bounds(faults: Faults, low: Floats, high: Floats) -> None:
    """Refuse bounds on the last share that those of the others do not imply already."""
    last = last_free(low, high)
    if last is None:
        return
    least, most = implied_bounds(low, high, last)
    lower, upper = float(low[last, 0]), float(high[last, 0])
    if lower > least + SUM_TOLERANCE or upper < most - SUM_TOLERANCE:
        faults.add(
            f"bounds ({lower:g}, {upper:g}) on the share of type {last}, the last that "
            f"is estimated, where those of the others let it be {least:g} to {most:g}",
            "no bounds on that share, which is one minus the others'",
            "bound the others, with NaN for that one; or order types differently",
        )


def implied_bounds(low: Floats, high: Floats, last: int) -> tuple[float, float]:
    """Bound what others, who have bounds ``(R, 1)``, leave of one.

    Examples
    --------
    >>> low, high = np.array([[0.25], [0.125], [0.0]]), np.array([[0.5], [0.25], [1.0]])
    >>> implied_bounds(low, high, 2)
    (0.25, 0.625)
    """
    others = np.arange(low.shape[0]) != last
    taken = np.minimum(high[others, 0], 1.0), np.maximum(low[others, 0], 0.0)
    return max(1.0 - float(taken[0].sum()), 0.0), min(1.0 - float(taken[1].sum()), 1.0)


def complete_shares(shares: Floats, last: int | None) -> None:
    """Set the last share to what the others leave, in place."""
    if last is not None:
        shares[last] = 0.0
        shares[last] = 1.0 - shares.sum()


def shares_by_theta(n_types: int, rows: Integers, last: int | None) -> Floats:
    """Differentiate λ by its entries in θ, ``(R, L)``.

    Parameters
    ----------
    n_types
        R.
    rows
        ``(L,)`` types whose shares are in θ.
    last
        The type that takes what they leave.

    Examples
    --------
    >>> shares_by_theta(3, np.array([0]), 2).ravel().tolist()
    [1.0, 0.0, -1.0]
    """
    slopes = np.zeros((n_types, rows.size))
    slopes[rows, np.arange(rows.size)] = 1.0
    if last is not None:
        slopes[last] = -1.0
    return slopes
