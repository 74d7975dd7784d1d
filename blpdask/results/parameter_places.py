"""Where each estimated parameter stands among Σ, Π, ρ, λ, φ, β and γ.

``parameters`` stacks θ, the free entries of Σ (lower triangle, row by row), Π (row by
row), ρ, all shares λ of types but the last, φ, β and γ, and then the entries of β and γ
that are concentrated out of the objective. Covariances, sensitivities and Jacobians of
estimates are in that order. What has equal bounds is fixed and not among them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import BlpdaskError
from ..model.type_shares import complete_shares, last_free
from ..records import Floats
from .estimates import GmmEstimates

_NONLINEAR = ("sigma", "pi", "rho", "type_shares", "phi")
_LINEAR = ("beta", "gamma")


@dataclass(frozen=True, slots=True)
class Place:
    """One parameter: its matrix, its row and column there, and what it is called."""

    matrix: str
    row: int
    column: int
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class ParameterMatrices:
    """Parameters as results report them.

    Attributes
    ----------
    sigma, pi
        ``(K2, K2)`` lower triangular Σ and ``(K2, D)`` Π.
    beta, gamma
        ``(K1, 1)`` and ``(K3, 1)``.
    rho
        ``(H, 1)``, of size zero without nests.
    type_shares
        ``(R, 1)``, of size zero where types have no shares of their own.
    phi
        ``(E, E)`` of E equations, of size zero where errors have no lags.
    """

    sigma: Floats
    pi: Floats
    beta: Floats
    gamma: Floats
    rho: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    type_shares: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    phi: Floats = field(default_factory=lambda: np.zeros((1, 0)))

    @property
    def sigma_squared(self) -> Floats:
        """ΣΣ', ``(K2, K2)``."""
        return np.asarray(self.sigma @ self.sigma.T)


def parameter_places(estimates: GmmEstimates) -> tuple[Place, ...]:
    """List the places of ``parameters``, ``P + C`` of them.

    Raises
    ------
    BlpdaskError
        Where what stands there is not what ``parameters`` says.
    """
    candidates = [
        (name, k, c)
        for name in _NONLINEAR
        for k, c in _entries(name, getattr(estimates, name, np.zeros((0, 1))))
    ]
    linear = [
        (name, k, 0)
        for name in _LINEAR
        for k in range(getattr(estimates, name).shape[0])
    ]
    out = dict(zip(linear, estimates.concentrated, strict=True))
    candidates += [entry for entry in linear if not out[entry]]
    free = [entry for entry in candidates if not _is_fixed(estimates, *entry)]
    concentrated = [entry for entry in linear if out[entry]]
    labels = [getattr(estimates, f"{name}_labels")[k] for name, k, _ in concentrated]
    names = [*estimates.theta_labels, *labels]
    entries = [*free, *concentrated]
    found = [getattr(estimates, name)[k, c] for name, k, c in entries]
    expected = estimates.parameters[:, 0]
    if len(found) != expected.size or not np.array_equal(found, expected, True):
        raise BlpdaskError(
            f"found: {len(found)} free entries of the parameter matrices that are not "
            f"the {expected.size} parameters\n  expected: the parameters, in order\n  "
            "what to do: report how the results were made"
        )
    return tuple(
        Place(*entry, label) for entry, label in zip(entries, names, strict=True)
    )


def place_parameters(
    estimates: GmmEstimates, places: tuple[Place, ...], values: Floats
) -> ParameterMatrices:
    """Put values ``(P + C,)`` of the parameters where they stand.

    What is fixed stays at its value.
    """
    names = [*_NONLINEAR, *_LINEAR]
    matrices = {
        name: np.array(getattr(estimates, name, np.zeros((0, 1)))) for name in names
    }
    for place, value in zip(places, values, strict=True):
        matrices[place.matrix][place.row, place.column] = value
    complete_shares(matrices["type_shares"], _last_type(estimates))
    return ParameterMatrices(**matrices)


def _entries(name: str, matrix: Floats) -> list[tuple[int, int]]:
    """List the entries of a matrix row by row, below the diagonal only for Σ."""
    rows, columns = matrix.shape
    last = [min(k + 1, columns) if name == "sigma" else columns for k in range(rows)]
    return [(k, c) for k in range(rows) for c in range(last[k])]


def _is_fixed(estimates: GmmEstimates, name: str, row: int, column: int) -> bool:
    low, high = getattr(estimates, f"{name}_bounds")
    follows = name == "type_shares" and row == _last_type(estimates)
    return follows or bool(low[row, column] == high[row, column])


def _last_type(estimates: GmmEstimates) -> int | None:
    """Find the type whose share is what others leave."""
    bounds = getattr(estimates, "type_shares_bounds", None)
    return None if bounds is None else last_free(*bounds)
