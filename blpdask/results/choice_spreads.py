"""How coefficients vary over people: covariances of η, with standard errors.

With η = b + L z and independent z of variances v (1 for a normal, 1/3 for a uniform and
1/6 for a triangular variate on [-1, 1]),

    Σ = L diag(v) L',        ∂Σ_ab/∂L_dc = v_c (1{a = d} L_bc + 1{b = d} L_ac),

and errors of Σ, of standard deviations √Σ_aa and of correlations Σ_ab / √(Σ_aa Σ_bb)
follow by the delta method. Columns of L have no sign, but for those of exponential
variates: estimates are shown with a positive diagonal, by changing the signs of whole
columns. Of a truncated coefficient Σ is that of the normal before it is cut; of a scale
that is no column's, that of its logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..choice_records import MixedCoefficients
from ..records import Floats

if TYPE_CHECKING:
    from ..model.latent_classes import LatentClasses
    from ..model.nested_choices import NestedCoefficients

#: Variances of the variates that are not standard normal.
_VARIANCES = {"uniform": 1.0 / 3.0, "triangular": 1.0 / 6.0}


@dataclass(frozen=True, slots=True, eq=False)
class Spreads:
    """Covariances of η over people, and standard errors of all of them.

    Attributes
    ----------
    labels
        ``(D,)`` names of random coefficients.
    sigma, sigma_se
        ``(D, D)`` Σ.
    deviations, deviations_se
        ``(D,)`` √Σ_aa.
    correlations, correlations_se
        ``(D, D)``; errors of the diagonal, which is one, are zero.
    """

    labels: tuple[str, ...]
    sigma: Floats
    sigma_se: Floats
    deviations: Floats
    deviations_se: Floats
    correlations: Floats
    correlations_se: Floats


def compute_spreads(
    coefficients: MixedCoefficients, theta: Floats, covariances: Floats
) -> Spreads:
    """Compute covariances of η at θ ``(P,)``, of covariances ``(P, P)``.

    Examples
    --------
    >>> coefficients = MixedCoefficients(("x",), ("uniform",))
    >>> found = compute_spreads(coefficients, np.array([0.0, 3.0]), np.eye(2))
    >>> round(found.sigma.item(), 12), round(found.sigma_se.item(), 12)
    (3.0, 2.0)
    """
    D, E = coefficients.random.size, len(coefficients.entries)
    v = np.array([_VARIANCES.get(kind, 1.0) for kind in coefficients.random_kinds])
    L = place_entries(coefficients, theta)
    first = coefficients.size - E
    V = covariances[first:, first:]
    sigma = L * v @ L.T
    jacobian = np.zeros((D, D, len(coefficients.entries)))
    for e, (d, c) in enumerate(coefficients.entries):
        jacobian[d, :, e] += v[c] * L[:, c]
        jacobian[:, d, e] += v[c] * L[:, c]
    deviations = np.sqrt(np.diag(sigma))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = jacobian[np.arange(D), np.arange(D)] / (2 * deviations**2)[:, None]
        correlations = sigma / np.outer(deviations, deviations)
        by_correlation = jacobian / np.outer(deviations, deviations)[
            :, :, None
        ] - correlations[:, :, None] * (shares[:, None] + shares[None, :])
    # What stands on the diagonal is one, whatever the parameters are.
    by_correlation[np.arange(D), np.arange(D)] = 0.0
    return Spreads(
        labels=tuple(coefficients.names[k] for k in coefficients.random),
        sigma=sigma,
        sigma_se=_errors(jacobian, V),
        deviations=deviations,
        deviations_se=_errors(shares * deviations[:, None], V),
        correlations=correlations,
        correlations_se=_errors(by_correlation, V),
    )


def place_entries(coefficients: MixedCoefficients, theta: Floats) -> Floats:
    """Place the entries of θ that are L's into L, ``(D, D)``."""
    D = coefficients.random.size
    L = np.zeros((D, D))
    for value, place in zip(
        theta[coefficients.size - len(coefficients.entries) :],
        coefficients.entries,
        strict=True,
    ):
        L[place] = value
    return L


def shown_signs(
    coefficients: MixedCoefficients | LatentClasses | NestedCoefficients,
    theta: Floats,
) -> Floats:
    """Give the signs ``(P,)`` with which parameters have a positive diagonal of L.

    Examples
    --------
    >>> coefficients = MixedCoefficients(("x", "y"), ("normal", "normal"), True)
    >>> theta = np.array([-1.0, 1.0, -2.0, 3.0, 1.0])
    >>> (shown_signs(coefficients, theta) * theta).tolist()
    [-1.0, 1.0, 2.0, -3.0, 1.0]
    """
    if not isinstance(coefficients, MixedCoefficients):
        return coefficients.signs(theta, shown_signs)
    negative = np.diag(place_entries(coefficients, theta)) < 0
    kept = np.array([kind == "exponential" for kind in coefficients.random_kinds], bool)
    columns = np.where(negative & ~kept, -1.0, 1.0)
    ones = np.ones(coefficients.size - len(coefficients.entries))
    return np.append(ones, [columns[c] for _, c in coefficients.entries])


def _errors(jacobian: Floats, V: Floats) -> Floats:
    """Compute errors of functions with a Jacobian ``(..., E)`` of entries of L."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(((jacobian @ V) * jacobian).sum(axis=-1)))
