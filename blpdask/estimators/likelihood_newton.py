"""Newton's method near a maximum of a likelihood, until its gradient is rounding.

With H the Hessian and s the score, steps are d = (-H)⁻¹ s, and the Newton decrement

    λ = (s'd)^½

is the length of d in standard errors, whatever the units of parameters. One H serves as
long as λ falls fast. H is of central differences of the score; parameters move by
1e-4 (Σ_i s_ip²)^-½, which is 1e-4 of standard errors if others were known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..moments.choices import LikelihoodSums
from ..records import Floats
from .finite_differences import central_differences
from .likelihood_objective import LikelihoodObjective

#: Standard errors of a step that is not worth taking; rounding often ends it before.
TOLERANCE = 1e-13
#: Standard errors by which parameters move for central differences.
SPREAD = 1e-4
#: A Hessian serves while steps shrink to this part of those before them.
SHRINKING = 0.1
#: Standard errors from where a Hessian was computed, within which it stays.
NEAR = 1e-7
MAX_STEPS = 50
MAX_HALVINGS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Peak:
    """Where Newton's method ended.

    Attributes
    ----------
    theta
        ``(P,)``.
    sums
        LL, its score, and scores of people there.
    hessian
        ``(P, P)`` of LL there.
    decrement
        λ there; NaN where -H is not positive definite.
    steps
        Steps taken.
    """

    theta: Floats
    sums: LikelihoodSums
    hessian: Floats
    decrement: float
    steps: int


def climb(objective: LikelihoodObjective, theta: Floats, *, steps: bool) -> Peak:
    """Take Newton steps from ``theta`` ``(P,)``, or with no ``steps`` stay there.

    Raises
    ------
    NumericalError
        Where probabilities are not finite.
    """
    sums = objective.finite_sums(theta, by_person=True)
    hessian = likelihood_hessian(objective, theta, sums)
    before, moved, taken = np.inf, 0.0, 0
    while True:
        step, decrement = newton_step(hessian, sums.score)
        done = not steps or decrement <= TOLERANCE or taken == MAX_STEPS
        found = None
        if not done and decrement <= SHRINKING * before:
            found = _line_search(objective, theta, step, sums)
        if found is not None:
            theta, sums = found
            before, moved, taken = decrement, moved + decrement, taken + 1
        elif moved > NEAR:
            hessian = likelihood_hessian(objective, theta, sums)
            before, moved = np.inf, 0.0
        else:
            return Peak(theta, sums, hessian, decrement, taken)


def newton_step(hessian: Floats, score: Floats) -> tuple[Floats, float]:
    """Compute d and λ; NaN where -H is not positive definite."""
    try:
        factor = scipy.linalg.cho_factor(-hessian)
    except (scipy.linalg.LinAlgError, ValueError):
        return np.full_like(score, np.nan), np.nan
    step = scipy.linalg.cho_solve(factor, score)
    return step, float(np.sqrt(max(score @ step, 0.0)))


def likelihood_hessian(
    objective: LikelihoodObjective, theta: Floats, sums: LikelihoodSums
) -> Floats:
    """Compute the Hessian of LL, ``(P, P)``, at a θ whose ``sums`` are known."""
    size = sums.score_sizes
    scale = 1.0 / np.where(size > 0.0, size, 1.0)

    def score(x: Floats) -> Floats:
        return objective.finite_sums(theta + scale * x).score

    slopes = central_differences(score, np.zeros_like(theta), 2.0 * SPREAD) / scale
    return np.asarray((slopes + slopes.T) / 2.0)


def _line_search(
    objective: LikelihoodObjective, theta: Floats, step: Floats, sums: LikelihoodSums
) -> tuple[Floats, LikelihoodSums] | None:
    """Halve a step until LL is no lower but for rounding; None where it never is."""
    slack = 1e-12 * abs(sums.log_likelihood)
    for halving in range(MAX_HALVINGS):
        at = theta + step * 0.5**halving
        tried = objective.sums(at, by_person=True)
        if not tried.nonfinite and tried.log_likelihood >= sums.log_likelihood - slack:
            return at, tried
    return None
