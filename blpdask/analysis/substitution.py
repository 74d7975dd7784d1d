"""How demand responds to a variable: slopes, elasticities and diversion of markets.

With x a variable of the formulas, or δ itself,

    ε_jk = x_k / s_j ∂s_j/∂x_k,
    D_jk = -∂s_k/∂x_j / ∂s_j/∂x_j,       D_jj = -∂s_0/∂x_j / ∂s_j/∂x_j,
    D̄_jk = (s_k(-j) - s_k) / s_j,        D̄_jj = (s_0(-j) - s_0) / s_j,

where s(-j) are shares without product j (Conlon and Mortimer 2021), and the aggregate
elasticity of a market is Σ_j (s_j(x + Δx) - s_j) / Δ. Each row of D and D̄ is about one
product that loses customers, and sums to one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..model.demand_hessian import demand_hessian
from ..model.responses import Responses, ResponseState, responses_pass
from ..records import Floats, Integers, TrialPrices
from .choices import shares_at
from .economy import Economy, take_rows
from .stacked_matrices import (
    diagonals_of,
    place_in_market,
    row_sums,
    scale_stacked,
    stack_matrices,
    transpose_matrices,
)


def slopes_of_shares(
    economy: Economy, variable: str | None, values: Floats | None = None
) -> Floats:
    """Differentiate shares by a variable, δ where None.

    Parameters
    ----------
    economy
        At its parameters.
    variable
        Its name.
    values
        ``(n,)`` where; at the data where None.

    Returns
    -------
    array
        ``(F,)`` matrices of markets, row-major, side by side.
    """
    return _respond(economy, economy.at(variable, values), removed=False)


def elasticities(economy: Economy, variable: str | None) -> Floats:
    """Compute ε by a variable, δ where None, stacked ``(n, max J)``."""
    offsets = economy.offsets
    found = stack_matrices(slopes_of_shares(economy, variable), offsets)
    scale_stacked(
        found,
        offsets,
        rows=1.0 / economy.values_of("shares"),
        columns=economy.values_of(variable),
    )
    return found


def aggregate_elasticities(
    economy: Economy, variable: str | None, factor: float
) -> Floats:
    """Compute Σ_j (s_j(x + Δx) - s_j) / Δ of each market, ``(T,)``."""
    moved = (1.0 + factor) * economy.values_of(variable)
    shares = shares_at(economy, economy.at(variable, moved))
    return economy.segment_sums(shares - economy.values_of("shares")) / factor


def jacobians(economy: Economy, variable: str) -> Floats:
    """Compute ∂s/∂x', stacked ``(n, max J)``."""
    return stack_matrices(slopes_of_shares(economy, variable), economy.offsets)


def diversion_ratios(economy: Economy, variable: str | None) -> Floats:
    """Compute D by a variable, δ where None, stacked ``(n, max J)``."""
    of_columns = slopes_of_shares(economy, variable)
    transpose_matrices(of_columns, economy.offsets)
    return ratios_of_changes(of_columns, economy.offsets)


def ratios_of_changes(changes: Floats, offsets: Integers) -> Floats:
    """Turn changes of shares into where those go who leave, stacked ``(N, max J)``.

    Parameters
    ----------
    changes
        ``(F,)`` how s_k changes where something is done to j, as [j, k] of each market;
        overwritten.
    offsets
        ``(T + 1,)`` first row of each market, then N.

    Examples
    --------
    Each loses a fifth of the market, half of it to the other, half to none:

    >>> ratios_of_changes(np.array([-0.2, 0.1, 0.1, -0.2]), np.array([0, 2])).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    to_all = row_sums(changes, offsets)
    found = stack_matrices(changes, offsets)
    own = diagonals_of(found, offsets)
    found[np.arange(own.size), place_in_market(offsets)] = -to_all
    with np.errstate(divide="ignore", invalid="ignore"):
        found /= -own[:, None]
    return found


def long_run_diversion_ratios(economy: Economy) -> Floats:
    """Compute D̄, stacked ``(n, max J)``."""
    gains = _respond(economy, economy.at(None), removed=True)
    # All that is gained is what was lost: s_j.
    lost = row_sums(gains, economy.offsets)
    found = stack_matrices(gains, economy.offsets)
    found /= lost[:, None]
    return found


def demand_hessians(economy: Economy, variable: str) -> Floats:
    """Compute ∂²s_j/∂x_k∂x_l, stacked ``(n, max J, max J)``."""
    return _stack_cubes(economy, _cubes(economy, variable, None))


def profit_hessians(economy: Economy, prices: Floats, costs: Floats) -> Floats:
    """Compute ∂²(p_j - c_j)s_j/∂p_k∂p_l, stacked ``(n, max J, max J)``.

    Parameters
    ----------
    economy
        At its parameters.
    prices, costs
        ``(n,)``.
    """
    slopes = slopes_of_shares(economy, "prices", prices)
    margins, offsets = prices - costs, economy.offsets
    ends = np.concatenate([[0], np.cumsum(np.diff(offsets) ** 2)])
    found = []
    for t, cube in enumerate(_cubes(economy, "prices", prices)):
        J = len(cube)
        S, own = slopes[ends[t] : ends[t + 1]].reshape(J, J), np.arange(J)
        bent = margins[offsets[t] : offsets[t + 1], None, None] * cube
        bent[own, own, :] += S
        bent[own, :, own] += S
        found.append(bent)
    return _stack_cubes(economy, found)


def _respond(economy: Economy, trial: TrialPrices, *, removed: bool) -> Floats:
    """Map kernels of responses over blocks."""
    state = ResponseState(
        tastes=economy.tastes,
        removed=removed,
        backend=economy.backend,
        scratch_bytes=economy.scratch_bytes,
    )
    room = economy.room_for_matrices()
    blocks = economy.blocks(trial, room=room)
    found: Responses = economy.reduce(blocks, responses_pass, state)
    return found.values if room is None else room


def _cubes(economy: Economy, variable: str, values: Floats | None) -> Iterator[Floats]:
    """Yield second derivatives of demand of each market, ``(J, J, J)``."""
    columns = economy.utility(variable)
    given = economy.values_of(variable) if values is None else values
    with np.errstate(all="ignore"):
        trial, (linear, random) = columns(given), columns.curvature(given)
    for market, first, stop in economy.each_market(trial):
        rows = slice(first, stop)
        yield demand_hessian(
            market,
            economy.tastes,
            take_rows(trial, first, stop),
            (linear[rows], random[:, rows]),
        )


def _stack_cubes(economy: Economy, cubes: Iterable[Floats]) -> Floats:
    """Stack cubes of markets, NaN-padded."""
    offsets = economy.offsets
    largest = int(np.diff(offsets).max())
    found = np.full((int(offsets[-1]), largest, largest), np.nan)
    for first, cube in zip(offsets, cubes, strict=False):
        J = len(cube)
        found[first : first + J, :J, :J] = cube
    return found
