"""When steps of iterated GMM have settled.

Step k estimates with W_k and updates to W_{k+1} = S(θ̂_k)⁻¹. At a fixed point, θ̂ has the
first-order conditions of the weights of itself (Hansen and Lee 2021, Econometrica 89).
Weights are compared on a scale that units of moments do not change, estimates on that
of their standard errors:

    max_mn |W_{k+1} - W_k|_mn / (W_k,mm W_k,nn)^½ ≤ tolerance,
    max_p  |ψ̂_k - ψ̂_{k-1}|_p / se_p               ≤ tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import NumericalError
from ..moments.weighting import describe_indefinite
from ..records import Floats
from ..results.estimates import GmmEstimates


def have_settled(steps: Sequence[GmmEstimates], tolerance: float) -> bool:
    """Tell whether the last step's weights and estimates are those of the one before.

    Parameters
    ----------
    steps
        Of one estimation, first to last; an initial update is none.
    tolerance
        Largest change.
    """
    last = steps[-1]
    if change_of_weights(last.W, last.updated_W) > tolerance:
        return False
    before = [step for step in steps[:-1] if step.step > 0]
    return bool(before) and change_of_estimates(before[-1], last) <= tolerance


def change_of_weights(W: Floats, updated: Floats) -> float:
    """Compare weighting matrices, infinite where they cannot be.

    Examples
    --------
    >>> W = np.diag([1.0, 100.0])
    >>> change_of_weights(W, np.array([[1.0, 0.2], [0.2, 100.0]]))
    0.02
    """
    scale = np.sqrt(W.diagonal())
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(updated - W) / np.outer(scale, scale)
    return _largest(np.where(updated == W, 0.0, change))


def change_of_estimates(before: GmmEstimates, after: GmmEstimates) -> float:
    """Compare estimates in standard errors, or as they are where there are none."""
    change = np.abs(after.parameters - before.parameters)[:, 0]
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(after.parameter_covariances.diagonal() / after.n_products)
    return _largest(change / np.where(errors > 0, errors, 1.0))


def check_next_weights(estimates: GmmEstimates) -> None:
    """Refuse weights that are none, as clusters in several ways can give them.

    Raises
    ------
    NumericalError
        Where updated weights have negative eigenvalues.
    """
    if estimates.W_type != "clustered" or len(estimates.cluster_counts) < 2:
        return
    described = describe_indefinite(estimates.updated_W)
    if described is not None:
        raise NumericalError(
            f"found: the weighting matrix of step {estimates.step + 1} has {described}"
            "\n  expected: a positive semi-definite matrix\n  what to do: W_type="
            "'clustered_psd', which sets negative eigenvalues to zero, W_type='robust'"
            ", or method='1s' with clustered standard errors"
        )


def _largest(changes: Floats) -> float:
    """Give the largest of some changes, infinity where one is not a number."""
    largest = float(np.max(changes, initial=0.0))
    return largest if np.isfinite(largest) else float("inf")
