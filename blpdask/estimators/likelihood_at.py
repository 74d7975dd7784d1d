"""The simulated log-likelihood at given parameters, for estimates of another method."""

from __future__ import annotations

from dataclasses import replace

from ..choice_records import LikelihoodEstimates
from ..driver.engine import Engine
from ..model.mixed_coefficients import mixed_tastes
from ..moments.choices import (
    EqualChances,
    LikelihoodState,
    LikelihoodSums,
    equal_chances_pass,
    likelihood_pass,
)
from ..partitions.source import BlockSource


def add_likelihood(
    estimates: LikelihoodEstimates,
    source: BlockSource,
    *,
    engine: Engine,
    backend: str,
) -> LikelihoodEstimates:
    """Fill in log-likelihoods at θ̂, and of all alternatives alike."""
    state = LikelihoodState(
        mixed_tastes(estimates.coefficients, estimates.theta),
        backend,
        derivatives=False,
    )
    placement = engine.place(source)
    try:
        sums: LikelihoodSums = placement.reduce(likelihood_pass, state)
        alike: EqualChances = placement.reduce(equal_chances_pass, None)
    finally:
        placement.close()
    return replace(
        estimates,
        log_likelihood=sums.log_likelihood,
        log_likelihood_at_zero=alike.log_likelihood,
    )
