"""What parameters drawn around their estimates imply of markets.

Parameters are drawn from their asymptotic distribution, with what is beyond its bounds
put on them,

    (θ_d, β_d, γ_d) ~ N((θ̂, β̂, γ̂), V / N),

and errors ξ and ω are held at their estimates: at observed prices and shares

    δ_d = δ̂ + X1 (β_d - β̂),     c̃_d = c̃ + X3 (γ_d - γ̂).

With a supply side prices are those of equilibrium at c_d, else those of the data, and
shares are s(δ_d(p), θ_d): a parametric bootstrap (Conlon and Gortmaker 2020, section
3.6; Nevo 2000 draws so for counterfactuals).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..errors import BlpdaskError, Faults, NumericalWarning
from ..records import Floats, InversionControls
from ..results.estimates import Counts, GmmEstimates
from ..results.parameter_places import (
    ParameterMatrices,
    Place,
    parameter_places,
    place_parameters,
)
from ..status import PriceStatus
from .choices import shares_at
from .economy import Economy, Owners
from .firm_conditions import equilibrium

#: How negative an eigenvalue of covariances may be, relative to the largest.
_INDEFINITE = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Firms:
    """What firms do at a draw.

    Attributes
    ----------
    owners
        Who sets prices.
    costs
        ``(N,)`` c at the shares of the data, in the user's order.
    controls
        How prices iterate.
    constant_costs
        Whether costs stay as they are where X3 has shares.
    """

    owners: Owners
    costs: Floats
    controls: InversionControls
    constant_costs: bool


@dataclass(frozen=True, slots=True, eq=False)
class Realized:
    """What a draw implies of all markets.

    Attributes
    ----------
    prices, shares, delta
        ``(N,)`` p, s and δ at these prices, in the user's order.
    status, iterations, evaluations
        ``(T,)`` of the search for prices: codes of
        :class:`blpdask.status.PriceStatus`, steps, and evaluations of ζ.
    """

    prices: Floats
    shares: Floats
    delta: Floats
    status: Counts
    iterations: Counts
    evaluations: Counts


@dataclass(frozen=True, slots=True, eq=False)
class DrawnParameters:
    """Parameters that were drawn: ``theta`` ``(draws, P)``, and matrices of each."""

    theta: Floats
    matrices: tuple[ParameterMatrices, ...]

    def stacked(self, name: str) -> Floats:
        """Stack a matrix of all draws, ``(draws, …)``."""
        return np.stack([getattr(matrices, name) for matrices in self.matrices])


def draw_parameters(
    estimates: GmmEstimates, draws: int, seed: int | None
) -> DrawnParameters:
    """Draw parameters from their distribution.

    Parameters
    ----------
    estimates
        With the covariances V of √N times the parameters.
    draws
        How many.
    seed
        Of a :class:`numpy.random.RandomState`, whose stream is PyBLP's; or None.

    Raises
    ------
    BlpdaskError
        Where covariances are not finite.
    InputError
        Where drawn shares of types leave one of them none.
    """
    V = np.asarray(estimates.parameter_covariances) / estimates.n_products
    _check_covariances(V)
    stream = np.random.RandomState(seed)
    mean = estimates.parameters[:, 0]
    drawn = stream.multivariate_normal(mean, V, draws, check_valid="ignore")
    places = parameter_places(estimates)
    low, high = _bounds(estimates, places)
    values = np.clip(drawn, low, high)
    matrices = tuple(place_parameters(estimates, places, own) for own in values)
    _check_types(matrices)
    return DrawnParameters(values[:, : estimates.theta.size], matrices)


def realize(economy: Economy, firms: Firms | None) -> Realized:
    """Find prices and shares of all markets at a draw.

    Parameters
    ----------
    economy
        At the draw's parameters and δ at the prices of the data.
    firms
        Who sets prices at which costs; None where prices are the data's.
    """
    if firms is None:
        none = np.zeros(economy.offsets.size - 1, np.int64)
        shares = economy.in_user_order(shares_at(economy, economy.at("prices")))
        return Realized(economy.prices, shares, economy.delta, none, none, none)
    found = equilibrium(
        economy,
        firms.owners,
        firms.costs[economy.rows],
        economy.values_of("prices"),
        firms.controls,
        constant_costs=firms.constant_costs,
    )
    return Realized(
        prices=economy.in_user_order(found.prices),
        shares=economy.in_user_order(found.shares),
        delta=economy.in_user_order(found.delta),
        status=found.status,
        iterations=found.iterations,
        evaluations=found.evaluations,
    )


def failed_draws(status: Counts) -> dict[PriceStatus, Counts]:
    """Say in which draws, by status ``(T, draws)``, searches for prices failed."""
    kinds = list(PriceStatus)[1:]
    found = {kind: np.flatnonzero((status == kind).any(axis=0)) for kind in kinds}
    return {kind: places for kind, places in found.items() if places.size}


def _check_covariances(V: Floats) -> None:
    """Check that parameters can be drawn; warn where they have no distribution."""
    bad = np.flatnonzero(~np.isfinite(np.diagonal(V)))
    if bad.size or not np.isfinite(V).all():
        raise BlpdaskError(
            f"found: covariances of {max(bad.size, 1)} parameters that are not finite"
            "\n  expected: covariances of all parameters, to draw from\n  what to do: "
            "see the warnings of these results; fix parameters that are not identified"
        )
    values = np.linalg.eigvalsh((V + V.T) / 2)
    if values.size and values[0] < -_INDEFINITE * np.abs(values).max():
        warnings.warn(
            f"bootstrap: covariances of the parameters have the eigenvalue "
            f"{values[0]:.3g} below zero: draws do not have this distribution",
            NumericalWarning,
            stacklevel=5,
        )


def _bounds(
    estimates: GmmEstimates, places: tuple[Place, ...]
) -> tuple[Floats, Floats]:
    """Give the bounds of parameters, ``(P + C,)`` each, infinite without any."""
    ends = []
    for side, nothing in ((0, -np.inf), (1, np.inf)):
        values = np.array(
            [
                getattr(estimates, f"{p.matrix}_bounds")[side][p.row, p.column]
                for p in places
            ]
        )
        ends.append(np.where(np.isnan(values), nothing, values))
    return ends[0], ends[1]


def _check_types(drawn: tuple[ParameterMatrices, ...]) -> None:
    """Check that every type of agents has a share."""
    beyond = sum(bool((own.type_shares < 0).any()) for own in drawn)
    faults = Faults("bootstrap")
    if beyond:
        faults.add(
            f"{beyond} draws in which shares of types are negative",
            "shares of types that add up to one",
            "bound type_shares when solving, or fix them",
        )
    faults.check()
