"""Products of both equations' errors: how their covariance enters moments.

Where unobserved quality and unobserved costs are uncorrelated, or have a known
covariance m (MacKay and Miller 2025, "Estimating Models of Supply and Demand:
Instruments and Covariance Restrictions"),

    E[(ξ_j ω_j - m) z_Cj] = 0,

so that u_C = ξω - m is the error of a third equation, without parameters of its own and
with instruments Z_C. With ξ = M_D (δ - X1 β), ω = M_S (c̃ - X3 γ), effects absorbed by
M_D and M_S, and D_ξ = ∂(δ - X1 β)/∂ψ', D_ω = ∂(c̃ - X3 γ)/∂ψ' before they are,

    ∂/∂ψ Σ_j z_Cj ξ_j ω_j = D_ξ'M_D (z_C ∘ ω) + D_ω'M_S (z_C ∘ ξ):

M is symmetric, and effects are taken out of one column an equation and instrument, not
of the columns of D.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..model.inversion import InversionMemory
from ..model.linear_places import LinearPlaces
from ..records import Floats, LinearRows, MarketBlock
from .errors import BlockErrors, ErrorState, block_errors


@dataclass(frozen=True, slots=True, eq=False)
class ProductState:
    """What products of errors depend on, as sent to every block.

    Attributes
    ----------
    errors
        β, γ and the absorbed levels.
    mean
        m.
    places
        Which of β and γ are in ψ; None where derivatives are not wanted.
    column
        Place of the instrument z_C whose z_C ∘ ω and z_C ∘ ξ are remembered in the
        places of δ and c̃.
    """

    errors: ErrorState
    mean: float
    places: LinearPlaces | None
    column: int = 0


@dataclass(frozen=True, slots=True)
class ProductSums:
    """What a block adds to moments of products.

    Attributes
    ----------
    values
        ``(MC,)`` Σ_j (ξ_j ω_j - m) z_Cj.
    by_psi
        ``(MC, P)`` D_ξ'(z_C ∘ ω) + D_ω'(z_C ∘ ξ), transposed, effects not taken out; of
        size zero where derivatives are not wanted.
    """

    values: Floats
    by_psi: Floats


def products_pass(
    block: MarketBlock, state: ProductState, memory: InversionMemory
) -> tuple[ProductSums, InversionMemory]:
    """Sum moments of products and, where wanted, their derivatives."""
    found = block_errors(block, state.errors, memory)
    linear = found.linear
    xi, omega = (one.u for one in found.equations)
    assert linear.ZC is not None
    with np.errstate(over="ignore", invalid="ignore"):
        values = linear.ZC.T @ (xi * omega - state.mean)[:, 0]
        scores = linear.ZC * omega, linear.ZC * xi
        by_psi = np.empty((0, 0))
        if state.places is not None:
            slopes = slopes_of(linear, state.places, memory)
            by_psi = scores[0].T @ slopes[0] + scores[1].T @ slopes[1]
    own = [score[:, state.column].copy() for score in scores]
    return ProductSums(values, by_psi), remember_scores(memory, own[0], own[1])


def moment_errors(found: BlockErrors, mean: float) -> tuple[Floats, list[Floats]]:
    """Give the errors of all equations, and their instruments.

    Parameters
    ----------
    found
        Errors of a block.
    mean
        m.

    Returns
    -------
    tuple
        ``(N, E)`` ξ, ω and, where there are covariance instruments, ξω - m; and Z_D,
        Z_S and Z_C.
    """
    u = [one.u for one in found.equations]
    Z = [equation.Z for equation in found.linear.equations]
    if found.linear.ZC is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            u.append(u[0] * u[1] - mean)
        Z.append(found.linear.ZC)
    return np.hstack(u), Z


def slopes_of(
    linear: LinearRows, places: LinearPlaces, memory: InversionMemory
) -> list[Floats]:
    """Compute D_e = ∂(y_e - X_e b)/∂ψ' of a block's rows, ``(N, P)`` each."""
    by_theta = (memory.delta_by_theta, memory.costs_by_theta)
    slopes = places.spread(by_theta[: len(linear.equations)])
    return [
        y_by_theta - places.columns_of(e, equation.X)
        for e, (equation, y_by_theta) in enumerate(
            zip(linear.equations, slopes, strict=True)
        )
    ]


def remember_scores(
    memory: InversionMemory, of_demand: Floats, of_supply: Floats | None
) -> InversionMemory:
    """Remember columns ``(N,)`` in y's place, to take effects out of them."""
    return replace(
        memory, theta=None, delta=of_demand, factor=np.empty(0), costs=of_supply
    )
