"""How far a simulated log-likelihood is from what other draws find at the same θ.

The mean P̂_i of R independent draws has, relative to P_i, about the variance

    v_i = (R c_i - 1) / (R - 1),   c_i = Σ_r ω_ir²,

and its logarithm, on average, the error -v_i / 2. Of two log-likelihoods of different
draws the difference is therefore, give or take √(V + V'),

    LL' - LL ≈ (U - U') / 2,   V = Σ_i w_i² v_i,   U = Σ_i w_i v_i.

and of logarithms that are corrected by v_i / 2 about zero. Where it is much larger,
draws of some people miss where their tastes are, which c_i cannot tell. Draws that are
spread evenly err less than these formulas say.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..choice_records import ChoiceBlock
from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine
from ..errors import NumericalWarning
from ..moments.choices import LikelihoodSums
from ..partitions.source import BlockSource
from ..records import Floats
from .likelihood_model import LikelihoodModel

#: Differences of log-likelihoods that do not matter, and standard errors that do.
SMALL = 1.0
MANY = 3.0
#: Rises that matter though draws explain them: of all people, and of each.
LARGE, LARGE_EACH = 5.0, 0.01


@dataclass(frozen=True, slots=True)
class FreshLikelihood:
    """A log-likelihood at θ with other draws than θ was found with.

    Attributes
    ----------
    log_likelihood
        With R' fresh draws of a person.
    draws
        R'.
    difference
        From that of the estimates.
    expected
        (U - U') / 2, or zero where logarithms are corrected.
    standard_error
        √(V + V').
    people
        Σ_i w_i.
    """

    log_likelihood: float
    draws: int
    difference: float
    expected: float
    standard_error: float
    people: float = np.inf

    @property
    def is_large(self) -> bool:
        """Whether so few draws hide much of the likelihood, as their errors say."""
        each = self.difference / self.people
        return self.difference > LARGE and each > LARGE_EACH

    @property
    def is_explained(self) -> bool:
        """Whether the difference is small, or what draws make by chance."""
        surprise = abs(self.difference - self.expected)
        return abs(self.difference) <= SMALL or surprise <= MANY * self.standard_error


def sums_at(
    source: BlockSource | Sequence[ChoiceBlock],
    model: LikelihoodModel,
    theta: Floats,
    *,
    engine: Engine,
) -> LikelihoodSums:
    """Evaluate a likelihood at θ ``(P,)`` once, without derivatives."""
    state = model.at(theta, derivatives=False, by_person=True)
    with single_threaded_libraries():
        placement = engine.place(source)
        try:
            found: LikelihoodSums = placement.reduce(model.work, state)
        finally:
            placement.close()
    return found


def compare_draws(
    log_likelihood: float,
    concentrations: Floats,
    R: int,
    fresh: LikelihoodSums,
    fresh_R: int,
    *,
    corrected: bool = False,
) -> FreshLikelihood:
    """Compare a log-likelihood, of people's ``(I,)`` c_i at R draws, with fresh ones.

    Both are ``corrected`` for the bias of logarithms, or neither is.

    Warns
    -----
    NumericalWarning
        Where draws do not explain the difference.
    """
    w = fresh.weights
    v, fresh_v = (
        relative_variances(c, n)
        for c, n in ((concentrations, R), (fresh.concentrations, fresh_R))
    )
    found = FreshLikelihood(
        log_likelihood=fresh.log_likelihood,
        draws=fresh_R,
        difference=fresh.log_likelihood - log_likelihood,
        expected=0.0 if corrected else float(w @ (v - fresh_v)) / 2.0,
        standard_error=float(np.sqrt(w**2 @ (v + fresh_v))),
        people=float(w.sum()),
    )
    if not found.is_explained:
        warnings.warn(
            f"the log-likelihood is {log_likelihood:.6g}, and "
            f"{found.log_likelihood:.6g} with {fresh_R} fresh draws of a person, which "
            f"is further than draws explain ({found.expected:+.2g} give or take "
            f"{found.standard_error:.2g}): estimate with more draws",
            NumericalWarning,
            stacklevel=3,
        )
    elif found.is_large:
        warnings.warn(
            f"the log-likelihood is {log_likelihood:.6g}, and rises to "
            f"{found.log_likelihood:.6g} with {fresh_R} fresh draws of a person: few "
            f"of the {R} are where tastes are; estimate with more draws",
            NumericalWarning,
            stacklevel=3,
        )
    return found


def relative_variances(concentrations: Floats, R: int) -> Floats:
    """Compute v_i ``(I,)``; zero of a single draw, whose variance nothing tells."""
    if R == 1:
        return np.zeros_like(concentrations)
    return np.maximum(R * concentrations - 1.0, 0.0) / (R - 1.0)
