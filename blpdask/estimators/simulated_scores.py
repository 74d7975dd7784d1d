"""The method of simulated scores for choices: θ̂ solves Σ_i w_i s̃_i(θ) = 0.

Scores ∂log P_i/∂θ are simulated without the bias of a logarithm of a mean
(:mod:`blpdask.moments.choice_scores`; Hajivassiliou and McFadden 1998). This is an
experiment: simulated moments and the corrected likelihood vary less.

A = -∂g/∂θ' is of central differences, 1e-4 standard errors wide. Where draws are kept
or not, g jumps: differences are then a standard error wide, and a root is where moments
are a quarter of their standard errors from zero, which adds a sixteenth to variances.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..choice_records import ChoiceBlock, LikelihoodEstimates, MixedCoefficients
from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine, Placement
from ..errors import Faults, NumericalWarning
from ..model.mixed_coefficients import mixed_tastes
from ..moments.choice_moments import MomentSums
from ..moments.choice_scores import (
    Chances,
    ScoreState,
    chances_pass,
    roulette_pass,
    sweeps_pass,
)
from ..partitions.source import BlockSource, HeldBlocks
from ..problem.choice_trials import make_roulettes, make_sweeps
from ..progress import Listener, StepEvent, silent
from ..records import Floats, Integers
from .finite_differences import central_differences
from .likelihood_at import add_likelihood
from .moment_roots import AT_REST, Root, find_near_root, find_root
from .simulated_moments import check_moment_errors, conclude_root, tell_of_moments

#: How 1/P is estimated.
INVERSES = ("roulette", "accept-reject")
#: Standard errors that differences are taken over, of smooth scores and of others.
NARROW, WIDE = 1e-4, 1.0
#: Distance from zero of a root of scores that jump, and one not worth coming nearer.
NEAR_ROOT, NEARER = 0.25, 0.02


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How scores are simulated.

    Attributes
    ----------
    seed
        Of all that is drawn beside the draws of people who choose once.
    inverse
        ``"roulette"`` or ``"accept-reject"``, of people who choose once.
    roulettes
        Estimates of 1/P that are averaged.
    sweeps
        Sweeps over draws, of panels.
    """

    seed: int
    inverse: str = "roulette"
    roulettes: int = 8
    sweeps: int = 16


def solve_scores(
    source: BlockSource,
    first: LikelihoodEstimates,
    options: ScoreOptions,
    *,
    engine: Engine,
    backend: str = "numba",
    se_type: str = "robust",
    clusters: Integers | None = None,
    listener: Listener = silent,
) -> LikelihoodEstimates:
    """Estimate by the method of simulated scores.

    Parameters
    ----------
    source
        Blocks of people.
    first
        Where to begin: estimates of a simulated likelihood of the same people.
    options
        How scores are simulated.
    engine, backend, se_type, clusters, listener
        As in :func:`blpdask.estimators.simulated_moments.solve_moments`.

    Returns
    -------
    LikelihoodEstimates
        As of simulated moments, without covariances that are due to draws.

    Raises
    ------
    InputError
        Where arguments do not fit one another.
    NumericalError
        Where scores are not finite at the start.
    """
    began = time.perf_counter()
    blocks = [source.load(place) for place in range(len(source))]
    _check(blocks, se_type, clusters)
    panel = any(map(_chooses_often, blocks))
    jumps = panel or options.inverse == "accept-reject"
    with single_threaded_libraries():
        prepared = _prepare(source, first, options, panel, engine, backend)
        placement = engine.place(prepared)
        placement.listen(listener)
        evaluate = _Evaluation(
            placement=placement,
            work=sweeps_pass if panel else roulette_pass,
            coefficients=first.coefficients,
            backend=backend,
            listener=listener,
            steps=(WIDE if jumps else NARROW) * _standard_errors(first),
        )
        try:
            root = _find(evaluate, first, jumps)
        finally:
            placement.close()
        errors: dict[str, Any] = {"se_type": se_type, "clusters": clusters}
        rest = NEAR_ROOT if jumps else AT_REST
        found = conclude_root(
            root, first.coefficients, method="mss", at_rest=rest, **errors
        )
        found = add_likelihood(found, source, engine=engine, backend=backend)
    if not found.converged:
        warnings.warn(found.message, NumericalWarning, stacklevel=2)
    return replace(found, seconds=time.perf_counter() - began)


def _find(evaluate: _Evaluation, first: LikelihoodEstimates, jumps: bool) -> Root:
    """Search for the root, or where scores that jump are close to zero."""
    evaluate.listener(StepEvent(2, "Solving for the root of scores"))
    if not jumps:
        return find_root(evaluate, first.theta)
    near = find_near_root(evaluate.scores, first.hessian, first.theta, near=NEARER)
    return replace(near, sums=evaluate(near.theta))


def _prepare(
    source: BlockSource,
    first: LikelihoodEstimates,
    options: ScoreOptions,
    panel: bool,
    engine: Engine,
    backend: str,
) -> HeldBlocks:
    """Draw what scores are simulated with."""
    kinds = first.coefficients.random_kinds
    if panel:
        size = source.load(0).draws.shape[1]
        return make_sweeps(
            source, kinds, size=size, sweeps=options.sweeps, seed=options.seed
        )
    placement = engine.place(source)
    try:
        tastes = mixed_tastes(first.coefficients, first.theta)
        found: Chances = placement.reduce(chances_pass, ScoreState(tastes, backend))
    finally:
        placement.close()
    return make_roulettes(
        source,
        kinds,
        found.P,
        roulettes=options.roulettes,
        seed=options.seed,
        accept_reject=options.inverse == "accept-reject",
    )


@dataclass(slots=True)
class _Evaluation:
    """Scores at θ and their differences ``steps`` ``(P,)`` wide."""

    placement: Placement
    work: Callable[..., tuple[MomentSums, None]]
    coefficients: MixedCoefficients
    backend: str
    listener: Listener
    steps: Floats
    number: int = 0

    def __call__(self, theta: Floats) -> MomentSums:
        sums = self.scores(theta)
        slopes = central_differences(
            lambda x: self.scores(theta + self.steps * x).moments,
            np.zeros_like(theta),
            2.0,
        )
        return replace(sums, jacobian=slopes / self.steps)

    def scores(self, theta: Floats) -> MomentSums:
        """Sum scores at θ, and tell the listener."""
        began = time.perf_counter()
        state = ScoreState(mixed_tastes(self.coefficients, theta), self.backend)
        sums: MomentSums = self.placement.reduce(self.work, state)
        self.number += 1
        tell_of_moments(
            self.listener, theta, sums, self.number, time.perf_counter() - began
        )
        return sums


def _standard_errors(first: LikelihoodEstimates) -> Floats:
    """Give about the standard errors of θ if others were known, ``(P,)``."""
    size = np.sqrt((first.scores**2).sum(axis=0))
    return np.asarray(1.0 / np.where(size > 0.0, size, 1.0))


def _chooses_often(block: ChoiceBlock) -> bool:
    """Say whether someone has several situations."""
    return bool((np.diff(block.person_offsets) > 1).any())


def _check(blocks: list[ChoiceBlock], se_type: str, clusters: Integers | None) -> None:
    """Check the kind of standard errors, and that people have draws of their own."""
    faults = Faults("the method of simulated scores")
    n_people = sum(block.n_people for block in blocks)
    check_moment_errors(se_type, clusters, n_people, faults)
    if any(len(b.draws) < b.n_people or not b.draws.shape[2] for b in blocks):
        faults.add(
            found="draws that people share, or none",
            expected="draws of each person's own",
            remedy="name random coefficients and give each person draws; without, the "
            "likelihood is not simulated",
        )
    faults.check()
