"""The method of simulated moments for choices: θ̂ solves Σ_i w_i m_i(θ) = 0.

    m_i = Σ_t Σ_j W_itj (y_itj - P̌_itj(θ)),   W_itj = ∂log P_itj/∂θ at a first θ̃,

W of draws of its own, held fixed, and P̌ a mean over draws (McFadden 1989). Estimates
are consistent at any number of draws, where those of simulated likelihood are not; with
W at the truth and all draws they are efficient where people choose once. Of panels the
moments are those of single situations: consistent, but they leave unused what a
person's choices say of one another.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..choice_records import ChoiceBlock, LikelihoodEstimates, MixedCoefficients
from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine, Placement
from ..errors import Faults, NumericalWarning
from ..model.mixed_coefficients import mixed_tastes
from ..moments.choice_instruments import Instruments, instruments_pass
from ..moments.choice_moments import MomentState, MomentSums, moments_pass
from ..partitions.source import BlockSource, HeldBlocks, as_source
from ..progress import EvaluationEvent, Listener, StepEvent, silent
from ..records import Floats, Integers
from .likelihood_at import add_likelihood
from .likelihood_covariances import check_errors
from .moment_covariances import MOMENT_SE_TYPES, moment_covariances, sandwich
from .moment_roots import AT_REST, Root, distance_from_root, find_root

Blocks = BlockSource | Sequence[ChoiceBlock]


def compute_instruments(
    source: Blocks, coefficients: MixedCoefficients, theta: Floats, *, engine: Engine
) -> Floats:
    """Compute W ``(N, P)`` at ``theta`` ``(P,)``, alternatives in the order of blocks.

    Draws of ``source`` should be independent of those that moments are simulated with.
    """
    with single_threaded_libraries():
        placement = engine.place(source)
        try:
            tastes = mixed_tastes(coefficients, theta)
            found: Instruments = placement.reduce(instruments_pass, tastes)
        finally:
            placement.close()
    return found.W


def solve_moments(
    source: Blocks,
    instruments: Floats,
    coefficients: MixedCoefficients,
    start: Floats,
    *,
    engine: Engine,
    backend: str = "numba",
    se_type: str = "robust",
    clusters: Integers | None = None,
    listener: Listener = silent,
) -> LikelihoodEstimates:
    """Estimate by the method of simulated moments.

    Parameters
    ----------
    source
        Blocks of people, each with draws of its own.
    instruments
        ``(N, P)`` W, alternatives in the order of blocks
        (:func:`compute_instruments`).
    coefficients
        What varies and how.
    start
        ``(P,)`` first θ.
    engine
        Where blocks are worked on.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    se_type
        ``"robust"``, or ``"clustered"`` with
    clusters
        ``(I,)`` clusters of people in the order of blocks.
    listener
        Told of every evaluation, with λ² of :mod:`.moment_roots` as its objective.

    Returns
    -------
    LikelihoodEstimates
        With g and ∂g/∂θ' as its gradient and Hessian, w_i m_i as its scores, and the
        simulated log-likelihood at θ̂, which nothing has maximised.

    Raises
    ------
    InputError
        Where arguments do not fit one another.
    NumericalError
        Where moments are not finite at the start.
    """
    began = time.perf_counter()
    source, start = as_source(source), np.asarray(start, np.float64)
    _check(source, instruments, coefficients, start, se_type, clusters)
    with single_threaded_libraries():
        placement = engine.place(attach_instruments(source, instruments))
        placement.listen(listener)
        try:
            evaluate = _Evaluation(placement, coefficients, backend, listener)
            listener(StepEvent(2, "Solving for the root of moments"))
            root = find_root(evaluate, start)
            root = replace(root, sums=evaluate(root.theta, variances=True))
        finally:
            placement.close()
        found = conclude_root(
            root, coefficients, se_type=se_type, clusters=clusters, method="msm"
        )
        found = add_likelihood(found, source, engine=engine, backend=backend)
    if not found.converged:
        warnings.warn(found.message, NumericalWarning, stacklevel=2)
    return replace(found, seconds=time.perf_counter() - began)


def attach_instruments(source: BlockSource, instruments: Floats) -> HeldBlocks:
    """Put rows of W ``(N, P)`` beside those of X, block by block."""
    blocks, first = [], 0
    for place in range(len(source)):
        block: ChoiceBlock = source.load(place)
        own = instruments[first : first + len(block.X)]
        blocks.append(replace(block, X=np.column_stack([block.X, own])))
        first += len(block.X)
    return HeldBlocks(blocks)


def conclude_root(
    root: Root,
    coefficients: MixedCoefficients,
    *,
    se_type: str,
    clusters: Integers | None,
    method: str,
    at_rest: float = AT_REST,
) -> LikelihoodEstimates:
    """Compute what follows from a root, but the likelihood there and the time taken."""
    G, sums = root.sums.jacobian, root.sums
    converged = bool(root.distance <= at_rest)
    message = f"Moments are {root.distance:.1e} standard errors from zero."
    if np.isnan(root.distance):
        message = (
            "Moments of people are collinear: the data do not tell all parameters, or "
            "instruments are alike."
        )
    elif not converged:
        message += " There is no root where the search ended: give another start."
    return LikelihoodEstimates(
        coefficients=coefficients,
        theta=root.theta,
        log_likelihood=np.nan,
        gradient=sums.moments,
        hessian=G,
        scores=sums.by_person,
        covariances=moment_covariances(G, sums.by_person, clusters),
        se_type=se_type,
        log_likelihood_at_zero=np.nan,
        converged=converged,
        iterations=root.iterations,
        evaluations=root.evaluations,
        message=message,
        seconds=np.nan,
        method=method,
        simulation_covariances=sandwich(G, sums.simulation)
        if len(sums.simulation)
        else sums.simulation,
    )


class _Evaluation:
    """Moments and their Jacobian at θ, of which a listener is told."""

    def __init__(
        self,
        placement: Placement,
        coefficients: MixedCoefficients,
        backend: str,
        listener: Listener,
    ) -> None:
        self._placement = placement
        self._coefficients = coefficients
        self._backend = backend
        self._listener = listener
        self._number = 0

    def __call__(self, theta: Floats, *, variances: bool = False) -> MomentSums:
        began = time.perf_counter()
        tastes = mixed_tastes(self._coefficients, theta)
        state = MomentState(tastes, self._backend, variances=variances)
        sums: MomentSums = self._placement.reduce(moments_pass, state)
        self._number += 1
        tell_of_moments(
            self._listener, theta, sums, self._number, time.perf_counter() - began
        )
        return sums


def tell_of_moments(
    listener: Listener, theta: Floats, sums: MomentSums, number: int, seconds: float
) -> None:
    """Tell a listener how far from zero moments are."""
    distance = distance_from_root(sums)
    listener(
        EvaluationEvent(
            step=2,
            start=0,
            number=number,
            iterations=number - 1,
            objective=distance**2,
            gradient_norm=float(np.abs(sums.moments).max(initial=0.0)),
            best=False,
            seconds=seconds,
            share_maps=0,
            markets_failed=sums.nonfinite,
            theta=tuple(float(value) for value in theta),
        )
    )


def _check(
    source: BlockSource,
    instruments: Floats,
    coefficients: MixedCoefficients,
    start: Floats,
    se_type: str,
    clusters: Integers | None,
) -> None:
    """Check what is asked for, all of it at once."""
    faults = Faults("the method of simulated moments")
    blocks = [source.load(place) for place in range(len(source))]
    P, N = coefficients.size, sum(len(block.X) for block in blocks)
    n_people = sum(block.n_people for block in blocks)
    for name, found, expected in (
        ("a start", start.shape, (P,)),
        ("instruments", np.shape(instruments), (N, P)),
    ):
        if found != expected:
            faults.add(
                found=f"{name} of shape {found}",
                expected=f"shape {expected}",
                remedy=f"give {name} of that shape",
            )
    check_moment_errors(se_type, clusters, n_people, faults)
    if any(len(b.draws) < b.n_people and b.draws.shape[2] for b in blocks):
        faults.add(
            found="draws that people share",
            expected="draws of each person's own, without which moments of people are "
            "not independent of one another",
            remedy="give each person draws",
        )
    faults.check()


def check_moment_errors(
    se_type: str, clusters: Integers | None, n_people: int, faults: Faults
) -> None:
    """Check the kind of standard errors of moments, and clusters."""
    check_errors(se_type, MOMENT_SE_TYPES, clusters, n_people, faults)
