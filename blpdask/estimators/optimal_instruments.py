"""Which instruments leave estimates the least variance? Feasible optimal instruments.

Given conditional moments E[ξ | Z] = E[ω | Z] = 0 with errors of constant covariance Σ,
the instruments of the smallest asymptotic variance are (Amemiya 1977; Chamberlain 1987)

    [Z_D,j; Z_S,j] = Σ⁻¹ E[∂(ξ_j, ω_j)/∂θ' | Z],     Σ = Cov(ξ, ω),

one of each a parameter, and are computed at estimates (Berry, Levinsohn and Pakes 1999;
Reynaert and Verboven 2014; Conlon and Gortmaker 2020, section 4). The expectation is

    (1/R) Σ_r ∂(ξ, ω)/∂θ' at p_r, s_r    (:mod:`blpdask.estimators.realizations`)

over R draws of (ξ, ω) from a normal distribution or from the estimates, or it is
approximated by the derivatives where both are zero. Prices p_r are those of equilibrium
at the draw; without a supply side they are those that the instruments predict. What
instruments a linear parameter that is not in θ has is no question of θ̂: exogenous
characteristics are their own, and prices have E[p | Z].
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine, Placement
from ..errors import NumericalWarning
from ..moments.weighting import invert_covariances
from ..partitions.source import HeldBlocks
from ..problem.demand_problem import DemandProblem
from ..problem.fields import some
from ..progress import Listener, StepEvent, silent
from ..records import Floats, Integers
from ..status import PriceStatus
from .drawn_markets import (
    EstimatedErrors,
    Expectation,
    drawn_markets,
    realization_state,
)
from .realizations import ErrorDraw, Realization, RealizationState, realization_pass

_DRAW = "errors"
#: Draws are told of this many times, at most.
_TOLD = 10


@dataclass(frozen=True, slots=True, eq=False)
class OptimalInstruments:
    """Feasible optimal instruments of θ, rows in the user's order.

    Attributes
    ----------
    demand_instruments, supply_instruments
        ``(N, P)`` Z_D and Z_S; the latter ``(N, 0)`` without a supply side.
    inverse_covariance_matrix
        ``(2, 2)`` Σ⁻¹, or ``(1, 1)`` 1 / Var(ξ).
    xi_by_theta, omega_by_theta
        ``(N, P)`` expected derivatives; NaN of ω without a supply side.
    prices, shares
        ``(N,)`` means over draws.
    converged, iterations, evaluations
        ``(T, R)`` of the searches for prices.
    """

    demand_instruments: Floats
    supply_instruments: Floats
    inverse_covariance_matrix: Floats
    xi_by_theta: Floats
    omega_by_theta: Floats
    prices: Floats
    shares: Floats
    converged: np.ndarray[Any, np.dtype[np.bool_]]
    iterations: Integers
    evaluations: Integers


def optimal_instruments(
    demand: DemandProblem,
    estimated: EstimatedErrors,
    how: Expectation,
    engine: Engine,
    listener: Listener = silent,
    step: int = 0,
) -> OptimalInstruments:
    """Compute feasible optimal instruments.

    Parameters
    ----------
    demand, estimated
        A problem and its estimates.
    how
        How expectations are taken.
    engine
        Where blocks are worked on.
    listener, step
        Who is told of draws, and the GMM step that the estimates are of.
    """
    source = drawn_markets(demand, estimated, how)
    state = realization_state(estimated, how)
    with single_threaded_libraries():
        placement = engine.place(source)
        placement.listen(listener)
        try:
            mean = _average(
                demand, estimated, how, state, _Draws(source, placement), listener, step
            )
        finally:
            placement.close()
    return _combine(estimated, mean)


def draw_errors(
    estimated: EstimatedErrors, method: str, draws: int, seed: int | None
) -> Iterator[ErrorDraw | None]:
    """Draw errors of all products, R times, with PyBLP's numbers for the same seed.

    Gives None, which is zero errors, where they are not drawn.
    """
    if method == "approximate":
        yield None
        return
    stream = np.random.RandomState(seed)
    xi, omega = estimated.xi, estimated.omega
    N = xi.size
    for _ in range(draws):
        if method == "empirical":
            rows = stream.choice(N, N)
            yield ErrorDraw(xi[rows], None if omega is None else omega[rows])
        elif omega is None:
            yield ErrorDraw(stream.normal(0, np.std(xi), N), None)
        else:
            both = stream.multivariate_normal([0, 0], np.cov(xi, omega), N)
            yield ErrorDraw(both[:, 0], both[:, 1])


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Blocks, and where they are worked on."""

    source: HeldBlocks
    placement: Placement

    def realize(
        self, draw: ErrorDraw | None, state: RealizationState, order: Integers
    ) -> Realization:
        """Work out what a draw of all errors implies, rows in the user's order."""
        anchor = None
        if draw is not None:
            self.placement.remember(_DRAW, self._cut(draw, order))
            anchor = _DRAW
        found: Realization = self.placement.reduce(
            realization_pass, state, anchor=anchor
        )
        self.placement.forget(_DRAW)
        names = ("prices", "shares", "xi_by_theta", "omega_by_theta")
        rows = {name: np.empty_like(getattr(found, name)) for name in names}
        for name, values in rows.items():
            values[order] = getattr(found, name)
        return replace(found, **rows)

    def _cut(self, draw: ErrorDraw, order: Integers) -> list[ErrorDraw]:
        """Give each block its errors."""
        blocks = [self.source.load(index) for index in range(len(self.source))]
        stops = np.cumsum([block.priced.markets.n_products for block in blocks])[:-1]
        xi = np.split(draw.xi[order], stops)
        if draw.omega is None:
            return [ErrorDraw(own, None) for own in xi]
        omega = np.split(draw.omega[order], stops)
        return [ErrorDraw(*own) for own in zip(xi, omega, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class _Mean:
    """Means over draws, and how the search of each ended, ``(T, R)``."""

    prices: Floats
    shares: Floats
    xi_by_theta: Floats
    omega_by_theta: Floats
    status: Integers
    iterations: Integers
    evaluations: Integers


def _average(
    demand: DemandProblem,
    estimated: EstimatedErrors,
    how: Expectation,
    state: RealizationState,
    draws: _Draws,
    listener: Listener,
    step: int,
) -> _Mean:
    """Average over draws, one after another."""
    R = 1 if how.method == "approximate" else how.draws
    drawn = draw_errors(estimated, how.method, R, how.seed)
    sums: list[Floats] = []
    ends: list[tuple[Integers, Integers, Integers]] = []
    lost = np.zeros(2, np.int64)
    for number, draw in enumerate(drawn):
        if R > 1 and number % max(R // _TOLD, 1) == 0:
            listener(StepEvent(step, f"Errors, draw {number + 1} of {R}"))
        found = draws.realize(draw, state, demand.order)
        xi_by_theta, n_xi = _mend(found.xi_by_theta, estimated.xi_by_theta)
        omega_by_theta, n_omega = _mend(found.omega_by_theta, estimated.omega_by_theta)
        lost += (n_xi, n_omega)
        ends.append((found.status, found.iterations, found.evaluations))
        values = (found.prices, found.shares, xi_by_theta, omega_by_theta)
        sums = [a + b for a, b in zip(sums, values, strict=True)] if sums else [*values]
    status, iterations, evaluations = (
        np.column_stack(of) for of in zip(*ends, strict=True)
    )
    _warn_of_prices(status, demand)
    _warn_of_lost(lost)
    prices, shares, xi_by_theta, omega_by_theta = (total / R for total in sums)
    return _Mean(
        prices,
        shares,
        xi_by_theta,
        omega_by_theta,
        status,
        iterations,
        evaluations,
    )


def _mend(found: Floats, estimated: Floats | None) -> tuple[Floats, int]:
    """Replace derivatives that are not finite by those at the estimates; count them."""
    bad = ~np.isfinite(found)
    if estimated is None or not bad.any():
        return found, 0
    return np.where(bad, estimated, found), int(bad.sum())


def _warn_of_prices(status: Integers, demand: DemandProblem) -> None:
    """Say in which markets prices of equilibrium were not found."""
    said = []
    for kind in PriceStatus:
        where = np.flatnonzero((status == kind).any(axis=1))
        if where.size and kind != PriceStatus.CONVERGED:
            named = some(demand.products.unique_market_ids[where])
            said.append(f"in {where.size} markets ({named}) {kind.sentence}")
    if said:
        warnings.warn("; ".join(said), NumericalWarning, stacklevel=6)


def _warn_of_lost(lost: Integers) -> None:
    """Say how many derivatives could not be computed."""
    for name, count in zip(("xi", "omega"), lost, strict=True):
        if count:
            warnings.warn(
                f"{count} derivatives of {name} by theta are not finite at expected "
                "prices; those at the estimates stand in for them",
                NumericalWarning,
                stacklevel=6,
            )


def _combine(estimated: EstimatedErrors, mean: _Mean) -> OptimalInstruments:
    """Weigh expected derivatives by Σ⁻¹."""
    omega_by_theta = mean.omega_by_theta
    with np.errstate(divide="ignore", invalid="ignore"):
        if estimated.omega is None:
            weights = np.array([[1 / np.var(estimated.xi)]])
            Z_D = weights * mean.xi_by_theta
            Z_S = np.empty((Z_D.shape[0], 0))
            omega_by_theta = np.full_like(Z_D, np.nan)
        else:
            S = np.cov(estimated.xi, estimated.omega)
            weights = invert_covariances(S, "the covariance matrix of xi and omega")
            both = np.stack([mean.xi_by_theta, omega_by_theta])
            Z_D, Z_S = np.einsum("ab,bnp->anp", weights, both)
    return OptimalInstruments(
        demand_instruments=Z_D,
        supply_instruments=Z_S,
        inverse_covariance_matrix=weights,
        xi_by_theta=mean.xi_by_theta,
        omega_by_theta=omega_by_theta,
        prices=mean.prices,
        shares=mean.shares,
        converged=mean.status == int(PriceStatus.CONVERGED),
        iterations=mean.iterations,
        evaluations=mean.evaluations,
    )
