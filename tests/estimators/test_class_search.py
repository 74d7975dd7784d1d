"""Expectation maximisation rises from step to step, wherever it begins.

What must hold:

1. Log-likelihoods never fall, and ends are maxima that other methods find too.
2. Order of people changes nothing but last bits; engines not a bit.
3. Starts without a finite likelihood do not lose the others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from blpdask.choice_records import MixedCoefficients
from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.engine import Engine
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import NumericalError, NumericalWarning
from blpdask.estimators.class_likelihood import LatentClassLikelihood
from blpdask.estimators.class_search import Climber, distinct, search_classes
from blpdask.estimators.highest_maximum import highest_maximum
from blpdask.estimators.moved_estimates import move_estimates
from blpdask.estimators.optimizers.choose import OptimizerChoice
from blpdask.estimators.simulated_likelihood import maximise_likelihood
from blpdask.model.latent_classes import ClassedBlock, ClassParameters, LatentClasses
from blpdask.moments.latent_classes import ClassState, latent_class_pass
from blpdask.progress import Event, silent
from blpdask.records import Floats
from tests.driver.clusters import cluster
from tests.kernels.plain_choices import choose, draw_people
from tests.kernels.test_choices import take_people
from tests.moments.classed_people import classed, unweighted

FIXED = MixedCoefficients(("a", "b"), ("fixed", "fixed"))
TWO = LatentClasses(FIXED, 2, ("1", "age"))
TRUTH = TWO.join(
    ClassParameters(
        np.array([[1.5, -1.0], [-0.5, 1.0]]), np.array([[0.4, 0.8], [0.0, 0.0]])
    )
)


def drawn(n_people: int = 120, seed: int = 0) -> ClassedBlock:
    """Draw people who choose as ``TRUTH`` says."""
    block = draw_people(
        n_people, 2, 0, 1, seed=seed, situations=(3, 7), alternatives=(2, 5)
    )
    rng = np.random.default_rng([8, seed])
    D = np.column_stack([np.ones(n_people), rng.normal(size=n_people)])
    parameters = TWO.split(TRUTH)
    first = rng.uniform(size=n_people) < 1 / (1 + np.exp(-D @ parameters.gamma[0]))
    beta = parameters.own[np.where(first, 0, 1)]
    return unweighted(classed(choose(block, beta, seed), D))


def starts(classes: LatentClasses, n: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, classes.size))


def search(
    *blocks: ClassedBlock,
    classes: LatentClasses = TWO,
    at: Floats | None = None,
    engine: Engine | None = None,
) -> list[Climber]:
    placement = (engine or SerialEngine()).place(blocks)
    try:
        return search_classes(
            placement,
            classes,
            starts(classes, 8) if at is None else at,
            listener=silent,
        )
    finally:
        placement.close()


def cut(block: ClassedBlock, *sizes: int) -> list[ClassedBlock]:
    stops = np.cumsum(sizes)
    places = [np.arange(b - a, b) for a, b in zip(sizes, stops, strict=True)]
    return [classed(take_people(block, at), block.membership[at]) for at in places]


@pytest.mark.parametrize(
    "classes",
    [
        TWO,
        LatentClasses(FIXED, 3, ("1", "age")),
        LatentClasses(FIXED, 3, ("1", "age"), shared=(1,)),
        LatentClasses(FIXED, 2, ("1", "age"), zeros=((0, 1),)),
    ],
)
def test_no_step_falls(classes: LatentClasses) -> None:
    found = search(drawn(60), classes=classes)
    heights = [one.log_likelihood for one in found]
    assert len(found) == 8 and heights == sorted(heights, reverse=True)
    for one in found:
        assert len(one.path) > 3 and (np.diff(one.path) >= 0.0).all()
    assert sum(one.done for one in found) >= 4


def test_ends_are_maxima() -> None:
    block = drawn()

    def negative(theta: Floats) -> tuple[float, Floats]:
        sums, _ = latent_class_pass(block, ClassState(TWO, theta, "numpy"), None)
        return -sums.log_likelihood, -sums.score

    ends = [minimize(negative, at, jac=True).fun for at in starts(TWO, 8)]
    best = search(block)[0]
    assert best.log_likelihood == pytest.approx(-min(ends), abs=1e-3)
    found = maximise_likelihood(
        [block],
        LatentClassLikelihood(TWO, "numpy"),
        best.theta,
        engine=SerialEngine(),
    )
    assert found.converged and np.abs(found.gradient).max() < 1e-8
    assert found.log_likelihood == pytest.approx(-min(ends), abs=1e-6)
    assert 0.0 <= found.log_likelihood - best.log_likelihood < 1e-3


def test_estimates_recover_the_truth() -> None:
    distance = 0.0
    for seed in range(4):
        block = drawn(800, seed)
        found = maximise_likelihood(
            [block],
            LatentClassLikelihood(TWO, "numba"),
            search(block, at=TRUTH[None])[0].theta,
            engine=SerialEngine(),
        )
        assert found.converged
        off = found.theta - TRUTH
        distance += off @ np.linalg.solve(found.covariances, off)
        np.testing.assert_array_less(np.sqrt(np.diag(found.covariances)), 0.2)
    # Between the quantiles 0.001 and 0.999 of χ² of 4 times 6 degrees of freedom.
    assert 8.09 < distance < 51.18


def test_order_of_people_changes_last_bits_only() -> None:
    block = drawn()
    order = np.random.default_rng(2).permutation(block.n_people)
    other = classed(take_people(block, order), block.membership[order])
    for one, two in zip(search(block)[:4], search(other)[:4], strict=True):
        assert one.log_likelihood == pytest.approx(two.log_likelihood, rel=1e-10)
        np.testing.assert_allclose(one.theta, two.theta, rtol=1e-5, atol=1e-6)


def test_engines_agree_to_the_last_bit() -> None:
    blocks = cut(drawn(), 20, 35, 50, 15)

    def estimate(engine: Engine) -> list[Floats]:
        climbers = search(*blocks, engine=engine)
        found = highest_maximum(
            blocks,
            LatentClassLikelihood(TWO, "numba"),
            [one.theta for one in distinct(climbers, 2)],
            engine=engine,
        )
        paths = [np.array(one.path) for one in climbers]
        return [*paths, found.theta, found.covariances, found.scores, found.hessian]

    serial = estimate(SerialEngine())
    others = [estimate(ThreadsEngine(2))]
    with cluster(2) as client:
        others.append(estimate(DaskEngine(client)))
    for other in others:
        for ours, theirs in zip(serial, other, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_starts_without_a_likelihood_do_not_lose_the_others() -> None:
    at = starts(TWO, 3)
    at[1] = 1e308
    found = search(drawn(60), at=at)
    assert [np.isfinite(one.log_likelihood) for one in found] == [True, True, False]
    assert found[-1].done and not found[-1].path
    assert len(distinct(found, 9)) <= 2


@pytest.mark.parametrize("gamma", [-300.0, -600.0, -720.0, -740.0, -1e4])
def test_classes_that_nobody_is_in_stay_there(gamma: float) -> None:
    classes = LatentClasses(FIXED, 2)
    own = np.array([[1.0, -1.0], [0.3, 0.5]])
    start = classes.join(ClassParameters(own, np.array([[gamma], [0.0]])))
    block = drawn(60)
    block = replace(block, membership=np.ones((60, 1)))
    (empty,) = search(block, classes=classes, at=start[None])
    one = LatentClasses(FIXED, 1)
    (logit,) = search(block, classes=one, at=own[1:])
    assert empty.done and (np.diff(empty.path) >= 0.0).all()
    assert empty.log_likelihood >= logit.log_likelihood - 1e-6


def test_the_listener_hears_of_every_pass() -> None:
    events: list[Event] = []
    placement = SerialEngine().place([drawn(40)])
    found = search_classes(placement, TWO, starts(TWO, 2), listener=events.append)
    objectives = [event.objective for event in events]  # type: ignore[union-attr]
    assert (np.diff(objectives) <= 0.0).all()
    assert -objectives[-1] == found[0].log_likelihood


def test_the_highest_of_several_maxima_is_kept() -> None:
    block = drawn()
    model = LatentClassLikelihood(TWO, "numpy")
    alike = TWO.join(ClassParameters(np.zeros((2, 2)), np.zeros((2, 2))))
    best = search(block)[0]
    stay = OptimizerChoice("return")
    found = highest_maximum(
        [block], model, [alike, best.theta], engine=SerialEngine(), optimizer=stay
    )
    np.testing.assert_array_equal(found.theta, best.theta)
    nowhere = np.full(TWO.size, 1e308)
    found = highest_maximum(
        [block], model, [nowhere, best.theta], engine=SerialEngine()
    )
    assert found.converged
    with pytest.raises(NumericalError, match="not finite"):
        highest_maximum([block], model, [nowhere], engine=SerialEngine())
    with pytest.warns(NumericalWarning, match="not negative definite"):
        highest_maximum([block], model, [alike], engine=SerialEngine())


def test_estimates_in_other_parameters_are_a_search_in_them() -> None:
    block = drawn()
    model = LatentClassLikelihood(TWO, "numpy")
    best = search(block)[0].theta
    found = maximise_likelihood([block], model, best, engine=SerialEngine())
    jacobian = TWO.reorder(np.array([1, 0]))
    moved = move_estimates(found, jacobian @ found.theta, jacobian, TWO)
    other = maximise_likelihood([block], model, jacobian @ best, engine=SerialEngine())
    assert moved.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-13)
    np.testing.assert_allclose(moved.theta, other.theta, rtol=1e-8)
    np.testing.assert_allclose(moved.scores, other.scores, atol=1e-8)
    np.testing.assert_allclose(moved.hessian, other.hessian, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(moved.covariances, other.covariances, rtol=1e-5)
