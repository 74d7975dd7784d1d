"""Which likelihood a problem's rule asks for, and what fresh draws say of estimates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..choice_records import LikelihoodEstimates
from ..driver.engine import Engine
from ..estimators.fresh_likelihood import FreshLikelihood, compare_draws, sums_at
from ..estimators.laplace_likelihood import LaplaceLikelihood
from ..estimators.likelihood_model import SimulatedLikelihood
from ..problem.choice_blocks import make_blocks
from ..records import Floats

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem

__all__ = ["FreshLikelihood", "check_with_fresh_draws", "choose_likelihood"]

#: Fresh draws for each of those that θ was found with.
MORE = 4


def choose_likelihood(
    problem: ChoiceProblem, backend: str, theta: Floats, *, corrected: bool = False
) -> LaplaceLikelihood | SimulatedLikelihood:
    """Choose draws around modes at ``theta`` where the rule is such, or the rule's."""
    how = {"corrected": corrected, "summed": problem.is_stored}
    if problem.integration_rule.is_centred and problem.D:
        return LaplaceLikelihood(problem.coefficients, backend, np.array(theta), **how)
    return SimulatedLikelihood(problem.coefficients, backend, **how)


def check_with_fresh_draws(
    problem: ChoiceProblem,
    estimates: LikelihoodEstimates,
    engine: Engine,
    backend: str,
) -> FreshLikelihood:
    """Evaluate the likelihood of estimates with four times as many draws, other ones.

    The rule is one of draws.
    """
    rule = problem.integration_rule
    assert rule.options.seed is not None
    seeded = replace(rule.options, seed=rule.options.seed + 1)
    fresh = replace(rule, size=MORE * rule.size, options=seeded)
    source = make_blocks(problem.table, fresh, problem.coefficients.random_kinds)
    theta, corrected = estimates.theta, estimates.method == "corrected"
    model = choose_likelihood(problem, backend, theta, corrected=corrected)
    sums = sums_at(source, model, theta, engine=engine)
    return compare_draws(
        estimates.log_likelihood,
        estimates.concentrations,
        rule.size,
        sums,
        fresh.size,
        corrected=corrected,
    )
