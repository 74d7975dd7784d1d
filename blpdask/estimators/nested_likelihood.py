"""Maximum likelihood of the nested logit of choices, with every ρ in [0, 1).

A search moves s = -log(1 - ρ), so that ρ stays below one. Where a maximum has ρ < 0,
which utilities of nests do not have, the most negative is held at zero and the others
are searched for again; where the likelihood would rise from there, that is told. What
comes back is said in β and ρ.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..choice_records import LikelihoodEstimates
from ..errors import NumericalWarning
from ..model.nested_choices import NestedCoefficients
from ..moments.nested_choices import NestedState, nested_pass
from ..records import Floats
from .likelihood_model import LikelihoodPass
from .moved_estimates import move_estimates
from .optimizers.choose import OptimizerChoice
from .simulated_likelihood import maximise_likelihood


@dataclass(frozen=True, slots=True)
class NestedLikelihood:
    """Nested logit by maximum likelihood: θ is β, then s.

    Attributes
    ----------
    coefficients
        Which parameters there are.
    """

    coefficients: NestedCoefficients

    @property
    def work(self) -> LikelihoodPass:
        """Sum log P_i and scores."""
        return nested_pass

    @property
    def warm(self) -> Callable[[], None]:
        """Load the pass."""
        return _nothing

    def at(self, theta: Floats, *, derivatives: bool, by_person: bool) -> NestedState:
        """Read β and ρ."""
        K = len(self.coefficients.labels)
        with np.errstate(over="ignore"):
            rho = -np.expm1(-theta[K:])
        return NestedState(
            coefficients=self.coefficients,
            beta=theta[:K],
            rho=rho,
            derivatives=derivatives,
            by_person=by_person,
        )


def maximise_nested(
    source: Any, coefficients: NestedCoefficients, start: Floats, **search: Any
) -> LikelihoodEstimates:
    """Estimate β and ρ, the latter within [0, 1).

    Parameters
    ----------
    source
        Blocks, of :class:`blpdask.model.nested_choices.NestedBlock`.
    coefficients
        Which parameters there are.
    start
        ``(P,)`` β, then ρ in [0, 1).
    search
        As of :func:`blpdask.estimators.simulated_likelihood.maximise_likelihood`.

    Returns
    -------
    LikelihoodEstimates
        In β and those ρ that are not held at zero, which its coefficients name.

    Warns
    -----
    NumericalWarning
        Where a ρ is held at zero.
    """
    K, held = len(coefficients.labels), []
    free = coefficients
    while True:
        found = _maximise(source, free, start, **search)
        rho = found.theta[K:]
        if not (rho < 0.0).any():
            break
        worst = int(np.argmin(rho))
        held.append(free.rho_labels[worst])
        free = free.hold(worst)
        kept = np.delete(np.maximum(rho, 0.0), worst)
        start = np.concatenate([found.theta[:K], kept])
    if held:
        rising = _rising(source, coefficients, found, held, **search)
        _warn(held, rising)
    return found


def _maximise(
    source: Any, coefficients: NestedCoefficients, start: Floats, **search: Any
) -> LikelihoodEstimates:
    """Estimate β and ρ < 1."""
    K = len(coefficients.labels)
    values = np.array(start, np.float64)
    values[K:] = -np.log1p(-values[K:])
    model = NestedLikelihood(coefficients)
    found = maximise_likelihood(source, model, values, **search)
    theta = found.theta.copy()
    theta[K:] = -np.expm1(-theta[K:])
    slopes = np.ones(theta.size)
    slopes[K:] = 1.0 - theta[K:]
    return move_estimates(found, theta, np.diag(slopes), coefficients)


def _rising(
    source: Any,
    coefficients: NestedCoefficients,
    found: LikelihoodEstimates,
    held: list[str],
    **search: Any,
) -> list[str]:
    """Name those ρ held at zero of which the likelihood would rise."""
    known = dict(
        zip(found.coefficients.parameter_labels, found.theta.tolist(), strict=True)
    )
    theta = np.array([known.get(name, 0.0) for name in coefficients.parameter_labels])
    stay = {**search, "optimizer": OptimizerChoice("return")}
    there = _maximise(source, coefficients, theta, **stay)
    slopes = zip(coefficients.parameter_labels, there.gradient.tolist(), strict=True)
    return [name for name, slope in slopes if name in held and slope > 1e-6]


def _warn(held: list[str], rising: list[str]) -> None:
    words = (
        f"[{', '.join(held)}] would be negative and are held at zero: alternatives of "
        "these nests are no more alike than others"
    )
    if rising:
        words += (
            f"; the likelihood would rise with [{', '.join(rising)}] from there, so "
            "that this is no maximum: try other starting values"
        )
    warnings.warn(words, NumericalWarning, stacklevel=4)


def _nothing() -> None:
    """Compile nothing."""
