"""Maximum likelihood of choices, simulated or not: θ̂ maximises Σ_i w_i log P_i(θ).

A search ends where the optimiser's rules say. Newton's method then goes on until
nothing but rounding is left of the gradient, so that estimates do not depend on the
path to them (Train 2009, 8 and 10).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..choice_records import ChoiceBlock, LikelihoodEstimates
from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine
from ..errors import Faults, NumericalWarning
from ..moments.choices import EqualChances, equal_chances_pass
from ..partitions.source import BlockSource
from ..progress import Listener, silent
from ..records import Floats, Integers
from .laplace_likelihood import LaplaceLikelihood
from .likelihood_covariances import (
    SE_TYPES,
    check_errors,
    likelihood_covariances,
    summed_covariances,
)
from .likelihood_model import LikelihoodModel
from .likelihood_newton import Peak
from .likelihood_objective import LikelihoodObjective
from .likelihood_starts import climb_highest
from .optimizers.choose import OptimizerChoice
from .optimizers.protocol import Objective, Outcome
from .recentring import search_recentred

Optimizer = Callable[[Objective, Floats, Floats], Outcome]
#: Steps to go, in standard errors, at what is a maximum.
AT_REST = 1e-6


def maximise_likelihood(
    source: BlockSource | Sequence[ChoiceBlock],
    model: LikelihoodModel,
    start: Floats,
    *,
    engine: Engine,
    starts: Sequence[Floats] | Floats = (),
    optimizer: Optimizer | None = None,
    se_type: str = "robust",
    clusters: Integers | None = None,
    listener: Listener = silent,
) -> LikelihoodEstimates:
    """Estimate a model of choices by maximum likelihood.

    Parameters
    ----------
    source
        Blocks of people.
    model
        Parameters and the pass over blocks, such as
        :class:`blpdask.estimators.likelihood_model.SimulatedLikelihood`.
    start
        ``(P,)`` first θ.
    engine
        Where blocks are worked on.
    starts
        Further starts ``(P,)``, of which, and the first, the one that leads highest is
        kept (:mod:`blpdask.estimators.likelihood_starts`).
    optimizer
        What searches, BFGS where None. After one that does not search, such as
        ``"return"``, there are no Newton steps either.
    se_type
        ``"hessian"``, ``"bhhh"``, ``"robust"`` or ``"clustered"``
        (:mod:`blpdask.estimators.likelihood_covariances`).
    clusters
        ``(I,)`` clusters of people in the order of blocks, of ``"clustered"``.
    listener
        Told of every evaluation, with -LL as its objective.

    Returns
    -------
    LikelihoodEstimates
        Spreads have the signs that the search found.

    Raises
    ------
    InputError
        Where arguments do not fit one another.
    NumericalError
        Where probabilities are not finite at the start or at the end.
    """
    began = time.perf_counter()
    start = np.asarray(start, np.float64)
    with single_threaded_libraries():
        placement = engine.place(source)
        placement.listen(listener)
        placement.warm(model.warm)
        try:
            alike: EqualChances = placement.reduce(equal_chances_pass, None)
            _check(model.coefficients, start, se_type, clusters, alike.people)
            make = partial(
                LikelihoodObjective,
                placement=placement,
                model=model,
                weight=alike.weight,
                listener=listener,
            )
            highest = climb_highest(
                lambda number: make(number=number),
                partial(_search, optimizer, model, listener),
                [start, *np.asarray(starts, np.float64)],
                listener,
            )
        finally:
            placement.close()
    outcome, peak = highest.outcome, highest.peak
    found = _conclude(model.coefficients, outcome, peak, se_type, clusters)
    if not found.converged:
        warnings.warn(found.message, NumericalWarning, stacklevel=2)
    return replace(
        found,
        log_likelihood_at_zero=alike.log_likelihood,
        evaluations=highest.evaluations,
        searches=tuple(
            replace(search, converged=found.converged)
            if number == highest.number
            else search
            for number, search in enumerate(highest.searches)
        ),
        seconds=time.perf_counter() - began,
    )


def _check(
    coefficients: Any,
    start: Floats,
    se_type: str,
    clusters: Integers | None,
    n_people: int,
) -> None:
    """Check what is asked for, all of it at once."""
    faults = Faults("a simulated likelihood")
    P = coefficients.size
    if start.shape != (P,) or not np.isfinite(start).all():
        faults.add(
            found=f"a start of shape {start.shape}: {start.tolist()}",
            expected=f"{P} finite numbers: {', '.join(coefficients.parameter_labels)}",
            remedy="give a number for each parameter, in this order",
        )
    check_errors(se_type, SE_TYPES, clusters, n_people, faults)
    faults.check()


def _search(
    optimizer: Optimizer | None,
    model: LikelihoodModel,
    listener: Listener,
    objective: LikelihoodObjective,
    start: Floats,
) -> Outcome:
    """Minimise -LL a person from the start on, without bounds."""
    chosen = OptimizerChoice("bfgs") if optimizer is None else optimizer
    bounds = np.tile([-np.inf, np.inf], (start.size, 1))
    # Line searches compare values that are infinite far from any maximum.
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(model, LaplaceLikelihood):
            return search_recentred(objective, model, chosen, start, bounds, listener)
        return chosen(objective, start, bounds)


def _conclude(
    coefficients: Any,
    outcome: Outcome,
    peak: Peak,
    se_type: str,
    clusters: Integers | None,
) -> LikelihoodEstimates:
    """Compute what follows from where the search ended."""
    converged, message = _verdict(outcome, peak)
    return LikelihoodEstimates(
        coefficients=coefficients,
        theta=peak.theta,
        log_likelihood=peak.sums.log_likelihood,
        gradient=peak.sums.score,
        hessian=peak.hessian,
        scores=peak.sums.scores,
        covariances=_covariances(se_type, peak, clusters),
        se_type=se_type,
        log_likelihood_at_zero=np.nan,
        converged=converged,
        iterations=outcome.iterations + peak.steps,
        evaluations=outcome.evaluations,
        message=message,
        seconds=np.nan,
        concentrations=peak.sums.concentrations,
    )


def _covariances(se_type: str, peak: Peak, clusters: Integers | None) -> Floats:
    """Compute covariances from scores of people, or sums of their products."""
    sums = peak.sums
    if sums.outer.size:
        return summed_covariances(
            se_type,
            hessian=peak.hessian,
            outer=sums.outer,
            information=sums.information,
        )
    return likelihood_covariances(
        se_type,
        hessian=peak.hessian,
        scores=sums.scores,
        weights=sums.weights,
        clusters=_codes(clusters),
    )


def _verdict(outcome: Outcome, peak: Peak) -> tuple[bool, str]:
    """Say whether θ is a maximum, and why the search ended."""
    if outcome.evaluations == 0:
        return outcome.converged, outcome.message
    if not np.isfinite(peak.decrement):
        return False, (
            f"{outcome.message} The Hessian is not negative definite there: θ is no "
            "maximum, or the data do not tell all parameters."
        )
    moved = f"A Newton step would move θ by {peak.decrement:.1e} standard errors."
    return peak.decrement <= AT_REST, f"{outcome.message} {moved}"


def _codes(clusters: Integers | None) -> Integers | None:
    """Give clusters codes from zero on."""
    if clusters is None:
        return None
    codes: Integers = np.unique(clusters, return_inverse=True)[1].ravel()
    return codes
