"""The method of simulated moments, against the logit, formulas and large samples.

What must hold:

1. Where nothing is random it is the logit's maximum likelihood.
2. ∂g/∂θ' is differenced g; covariances are sandwiches of it; what draws add is in them.
3. With the best instruments and many draws, A is the information and estimates are
   close to maximum likelihood's.
4. Order of people changes last bits alone; engines not a bit; weights count people.
5. What does not fit is refused with every fault.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.choice_records import ChoiceBlock, LikelihoodEstimates, MixedCoefficients
from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import InputError, NumericalError, NumericalWarning
from blpdask.estimators.likelihood_model import SimulatedLikelihood
from blpdask.estimators.simulated_likelihood import maximise_likelihood
from blpdask.estimators.simulated_moments import (
    attach_instruments,
    compute_instruments,
    solve_moments,
)
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.moments.choice_moments import MomentState, MomentSums, moments_pass
from blpdask.partitions.source import HeldBlocks
from blpdask.progress import EvaluationEvent, Event
from blpdask.records import Floats
from tests.driver.clusters import cluster
from tests.estimators.test_simulated_likelihood import MIXED, START, TRUTH, cut, drawn
from tests.kernels.plain_choices import choose, draw_people
from tests.kernels.test_choices import take_people

SERIAL = SerialEngine()


def other_draws(block: ChoiceBlock, R: int = 60, seed: int = 99) -> ChoiceBlock:
    """Give people draws that are independent of those they have."""
    rng = np.random.default_rng(seed)
    shape = (block.n_people, R, block.draws.shape[2])
    return replace(block, draws=rng.normal(size=shape))


def instruments_of(
    blocks: list[ChoiceBlock], theta: Floats, mixed: MixedCoefficients = MIXED
) -> Floats:
    return compute_instruments(
        [other_draws(block, seed=n) for n, block in enumerate(blocks)],
        mixed,
        theta,
        engine=SERIAL,
    )


def estimate(
    *blocks: ChoiceBlock, W: Floats | None = None, **options: object
) -> LikelihoodEstimates:
    given = list(blocks)
    chosen = {"engine": SERIAL, **options}
    W = instruments_of(given, TRUTH) if W is None else W
    return solve_moments(given, W, MIXED, TRUTH, **chosen)  # type: ignore[arg-type]


def sums_at(block: ChoiceBlock, W: Floats, theta: Floats) -> MomentSums:
    whole = attach_instruments(HeldBlocks([block]), W).load(0)
    state = MomentState(mixed_tastes(MIXED, theta), "numpy", variances=True)
    return moments_pass(whole, state, None)[0]


def once(n_people: int, R: int, seed: int = 0) -> ChoiceBlock:
    """Draw people who choose once among four, as ``TRUTH`` says."""
    block = draw_people(
        n_people, 3, 2, R, seed=seed, situations=(1, 1), alternatives=(4, 4)
    )
    rng = np.random.default_rng([8, seed])
    beta = np.tile(TRUTH[:3], (n_people, 1))
    beta[:, 1:] += TRUTH[3:] * rng.normal(size=(n_people, 2))
    return replace(choose(block, beta, seed), weights=np.ones(n_people))


def test_without_random_coefficients_it_is_the_logit() -> None:
    plain = MixedCoefficients(MIXED.labels, ("fixed",) * 3)
    weights = np.linspace(0.5, 2.0, 60)
    block = replace(drawn(), draws=np.empty((60, 1, 0)), weights=weights)
    logit = maximise_likelihood(
        [block], SimulatedLikelihood(plain, "numba"), np.zeros(3), engine=SERIAL
    )
    for first in (np.zeros(3), logit.theta, np.array([1.0, -2.0, 3.0])):
        W = compute_instruments([block], plain, first, engine=SERIAL)
        found = solve_moments([block], W, plain, np.zeros(3), engine=SERIAL)
        assert found.converged and found.method == "msm"
        np.testing.assert_allclose(found.theta, logit.theta, rtol=1e-8)
        np.testing.assert_allclose(found.covariances, logit.covariances, rtol=1e-6)
        np.testing.assert_allclose(found.hessian, logit.hessian, rtol=1e-6)
        np.testing.assert_allclose(found.scores, logit.scores, rtol=1e-7, atol=1e-9)
        assert found.log_likelihood == pytest.approx(logit.log_likelihood, rel=1e-12)


def test_the_jacobian_and_covariances_are_those_of_formulas() -> None:
    block = replace(drawn(), weights=np.linspace(0.5, 2.0, 60))
    W = instruments_of([block], TRUTH)
    found = estimate(block, W=W)
    theta = found.theta
    assert found.converged and np.abs(found.gradient).max() < 1e-10
    slopes = np.column_stack(
        [
            sums_at(block, W, theta + step).moments
            - sums_at(block, W, theta - step).moments
            for step in 1e-5 * np.eye(5)
        ]
    )
    np.testing.assert_allclose(found.hessian, slopes / 2e-5, rtol=1e-6, atol=1e-7)
    A = np.linalg.inv(found.hessian)
    middle = sum(np.outer(m, m) for m in found.scores)
    np.testing.assert_allclose(found.covariances, A @ middle @ A.T, rtol=1e-8)
    draws = A @ sums_at(block, W, theta).simulation @ A.T
    np.testing.assert_allclose(found.simulation_covariances, draws, rtol=1e-8)
    clusters = np.arange(60) // 3
    by_cluster = estimate(block, W=W, se_type="clustered", clusters=clusters)
    sums = [found.scores[clusters == c].sum(axis=0) for c in range(20)]
    middle = sum(np.outer(s, s) for s in sums)
    np.testing.assert_allclose(by_cluster.covariances, A @ middle @ A.T, rtol=1e-8)


def test_what_draws_add_is_in_the_variance_of_moments() -> None:
    few, many = (sums_at(*with_instruments(once(4000, R)), TRUTH) for R in (2, 200))
    B = [sums.by_person.T @ sums.by_person / 4000 for sums in (few, many)]
    drawn_part = few.simulation / 4000
    np.testing.assert_allclose(
        np.diag(B[0]), np.diag(B[1] + drawn_part), rtol=0.12, atol=0.002
    )
    assert (np.diag(drawn_part) > 0.1 * np.diag(B[1]))[3:].all()
    assert (np.diag(many.simulation) < 0.02 * np.diag(few.simulation)).all()


def with_instruments(block: ChoiceBlock) -> tuple[ChoiceBlock, Floats]:
    return block, instruments_of([block], TRUTH)


def test_with_the_best_instruments_it_is_maximum_likelihood_almost() -> None:
    block = once(3000, 200)
    likelihood = maximise_likelihood(
        [block], SimulatedLikelihood(MIXED, "numba"), START, engine=SERIAL
    )
    W = compute_instruments(
        [other_draws(block, 200)], MIXED, likelihood.theta, engine=SERIAL
    )
    found = estimate(block, W=W)
    errors = np.sqrt(np.diag(found.covariances))
    information = found.scores.T @ found.scores
    np.testing.assert_allclose(
        -found.hessian, information, rtol=0.1, atol=0.05 * np.abs(information).max()
    )
    theirs = np.sqrt(np.diag(likelihood.covariances))
    np.testing.assert_allclose(errors, theirs, rtol=0.1)
    assert (np.abs(found.theta - likelihood.theta) < 0.4 * errors).all()


def test_estimates_do_not_depend_on_the_start() -> None:
    block = drawn(200)
    W = instruments_of([block], TRUTH)
    found = estimate(block, W=W)
    for start in (START, TRUTH * 0.5, TRUTH + 0.3):
        other = solve_moments([block], W, MIXED, start, engine=SERIAL)
        np.testing.assert_allclose(other.theta, found.theta, rtol=1e-10)


def test_order_and_cuts_change_last_bits_alone() -> None:
    block = drawn()
    W = instruments_of([block], TRUTH)
    whole = estimate(block, W=W)
    parts = estimate(*cut(block, 1, 30, 29), W=W)
    order = np.random.default_rng(0).permutation(60)
    rows = np.split(W, block.situation_offsets[block.person_offsets][1:-1])
    moved = estimate(
        take_people(block, order), W=np.concatenate([rows[i] for i in order])
    )
    for other, places in ((parts, np.arange(60)), (moved, order)):
        np.testing.assert_allclose(other.theta, whole.theta, rtol=1e-10)
        np.testing.assert_allclose(other.covariances, whole.covariances, rtol=1e-8)
        np.testing.assert_allclose(
            other.scores, whole.scores[places], rtol=1e-8, atol=1e-10
        )


def test_engines_have_one_anothers_bits() -> None:
    blocks = cut(drawn(), 7, 13, 25, 15)
    W = instruments_of(blocks, TRUTH)
    serial = estimate(*blocks, W=W)
    others = [estimate(*blocks, W=W, engine=ThreadsEngine(3))]
    with cluster(2) as client:
        engine = DaskEngine(client)
        others.append(estimate(*blocks, W=W, engine=engine))
        same = [other_draws(block, seed=n) for n, block in enumerate(blocks)]
        again = compute_instruments(same, MIXED, TRUTH, engine=engine)
    np.testing.assert_array_equal(again, W)
    for other in others:
        assert other.log_likelihood == serial.log_likelihood
        for name in ("theta", "gradient", "hessian", "scores", "covariances"):
            np.testing.assert_array_equal(getattr(other, name), getattr(serial, name))


def test_weights_count_people() -> None:
    block = drawn()
    weights = np.random.default_rng(4).integers(1, 4, 60)
    W = instruments_of([block], TRUTH)
    weighted = estimate(replace(block, weights=weights.astype(float)), W=W)
    rows = np.split(W, block.situation_offsets[block.person_offsets][1:-1])
    times = np.repeat(np.arange(60), weights)
    repeated = estimate(
        take_people(block, times), W=np.concatenate([rows[i] for i in times])
    )
    np.testing.assert_allclose(weighted.theta, repeated.theta, rtol=1e-9)
    np.testing.assert_allclose(weighted.hessian, repeated.hessian, rtol=1e-9)


def test_listeners_hear_how_far_from_zero_moments_are() -> None:
    events: list[Event] = []
    found = estimate(drawn(), listener=events.append)
    told = [event for event in events if isinstance(event, EvaluationEvent)]
    assert len(told) == found.evaluations + 1
    assert told[0].theta == tuple(TRUTH)
    assert told[0].objective > 0.01 and told[-1].objective < 1e-20


def test_a_search_that_finds_no_root_says_so() -> None:
    block, rng = drawn(), np.random.default_rng(0)
    W = rng.normal(size=(len(block.X), 5)) ** 3
    with pytest.warns(NumericalWarning, match="standard errors from zero. There is no"):
        found = estimate(block, W=W)
    assert not found.converged
    W[:, 1] = W[:, 0]
    with pytest.warns(NumericalWarning, match="collinear"):
        found = estimate(block, W=W)
    assert not found.converged
    W[0] = np.nan
    with pytest.raises(NumericalError, match="1 of 60 people"):
        estimate(block, W=W)


def test_faults_come_together() -> None:
    block = drawn()
    shared = replace(block, draws=block.draws[:1])
    with pytest.raises(InputError) as caught:
        solve_moments(
            [shared], np.ones((3, 2)), MIXED, np.ones(2), engine=SERIAL, se_type="bhhh"
        )
    text = str(caught.value)
    assert len(caught.value.faults) == 4
    for part in ("start of shape (2,)", "(3, 2)", "'bhhh'", "people share"):
        assert part in text
    W = np.ones((len(block.X), 5))
    with pytest.raises(InputError, match="without clusters"):
        estimate(block, W=W, se_type="clustered")
    with pytest.raises(InputError, match=r"clusters of shape \(3,\)"):
        estimate(block, W=W, se_type="clustered", clusters=np.arange(3))
