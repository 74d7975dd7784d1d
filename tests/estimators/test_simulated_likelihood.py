"""Maximum simulated likelihood finds what made the data, and says how well.

What must hold:

1. Estimates recover what choices were made with, and standard errors their spread.
2. LL, score and Hessian are those of plain formulas; covariances those of their kinds.
3. Order of people and cuts into blocks change nothing but last bits; engines not a bit.
4. Weights count people: two of a person weigh as much as one of weight two.
5. What goes wrong is told: bad arguments at once, probabilities that are not finite
   with their number, parameters that data do not tell as such.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from blpdask.choice_records import ChoiceBlock, LikelihoodEstimates, MixedCoefficients
from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import InputError, NumericalError, NumericalWarning
from blpdask.estimators.likelihood_model import SimulatedLikelihood
from blpdask.estimators.optimizers.choose import OptimizerChoice
from blpdask.estimators.optimizers.protocol import Objective, Outcome
from blpdask.estimators.simulated_likelihood import maximise_likelihood
from blpdask.progress import EvaluationEvent, Event, StepEvent
from blpdask.records import Floats, Integers
from tests.driver.clusters import cluster
from tests.kernels.plain_choices import choose, draw_people, plain_log_probabilities
from tests.kernels.test_choices import take_people

MIXED = MixedCoefficients(("price", "size", "speed"), ("fixed", "normal", "normal"))
TRUTH = np.array([-1.0, 0.8, 1.2, 1.0, 0.7])
START = np.array([0.0, 0.0, 0.0, 0.5, 0.5])


def drawn(n_people: int = 60, R: int = 50, seed: int = 0) -> ChoiceBlock:
    """Draw people who choose as ``TRUTH`` says, of weight one."""
    block = draw_people(
        n_people, 3, 2, R, seed=seed, situations=(4, 8), alternatives=(2, 5)
    )
    rng = np.random.default_rng([7, seed])
    beta = np.tile(TRUTH[:3], (n_people, 1))
    beta[:, 1:] += TRUTH[3:] * rng.normal(size=(n_people, 2))
    block = choose(block, beta, seed)
    return replace(block, weights=np.ones(n_people))


def estimate(*blocks: ChoiceBlock, **options: object) -> LikelihoodEstimates:
    mixed = options.pop("coefficients", MIXED)
    backend = options.pop("backend", "numba")
    model = SimulatedLikelihood(mixed, backend)  # type: ignore[arg-type]
    chosen = {"engine": SerialEngine(), "start": START, "model": model, **options}
    return maximise_likelihood(blocks, **chosen)  # type: ignore[arg-type]


def cut(block: ChoiceBlock, *sizes: int) -> list[ChoiceBlock]:
    """Cut people into blocks."""
    stops = np.cumsum(sizes)
    assert stops[-1] == block.n_people
    return [
        take_people(block, np.arange(stop - size, stop))
        for size, stop in zip(sizes, stops, strict=True)
    ]


def same(one: LikelihoodEstimates, other: LikelihoodEstimates, rtol: float) -> None:
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=rtol)
    np.testing.assert_allclose(one.theta, other.theta, rtol=rtol)
    np.testing.assert_allclose(one.covariances, other.covariances, rtol=1e-6, atol=1e-8)


def test_estimates_recover_the_truth() -> None:
    distance = 0.0
    for seed in range(6):
        found = estimate(drawn(800, 200, seed))
        assert found.converged
        off = found.theta - TRUTH
        distance += off @ np.linalg.solve(found.covariances, off)
        np.testing.assert_array_less(np.sqrt(np.diag(found.covariances)), 0.1)
    low, high = scipy.stats.chi2(6 * 5).ppf([1e-3, 1 - 1e-3])
    assert low < distance < high


def test_kinds_of_standard_errors_agree_where_the_model_is_true() -> None:
    block = drawn(1500, 200)
    kinds = [estimate(block, se_type=kind) for kind in ("hessian", "bhhh", "robust")]
    errors = [np.sqrt(np.diag(found.covariances)) for found in kinds]
    np.testing.assert_allclose(errors[0], errors[2], rtol=0.1)
    np.testing.assert_allclose(errors[1], errors[2], rtol=0.15)


def test_standard_errors_are_the_spread_of_estimates() -> None:
    found = [estimate(drawn(150, 40, seed)) for seed in range(1, 41)]
    means = np.array([one.theta[:3] for one in found])
    errors = np.mean([np.sqrt(np.diag(one.covariances))[:3] for one in found], axis=0)
    np.testing.assert_allclose(means.std(axis=0, ddof=1) / errors, 1.0, atol=0.35)
    np.testing.assert_allclose(means.mean(axis=0), TRUTH[:3], atol=0.06)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_likelihood_and_derivatives_are_those_of_formulas(backend: str) -> None:
    block = replace(drawn(15, 20), weights=np.linspace(0.5, 2.0, 15))
    found = estimate(block, backend=backend)
    theta = found.theta

    def plain(at: Floats) -> float:
        return float(block.weights @ plain_log_probabilities(block, MIXED, at))

    assert found.log_likelihood == pytest.approx(plain(theta), rel=1e-12)
    assert np.abs(found.gradient).max() < 1e-10
    steps = 1e-3 * np.eye(5)
    second = np.empty((5, 5))
    for p in range(5):
        for q in range(5):
            up, across = steps[p], steps[q]
            second[p, q] = (
                plain(theta + up + across)
                - plain(theta + up - across)
                - plain(theta - up + across)
                + plain(theta - up - across)
            ) / 4e-6
    np.testing.assert_allclose(found.hessian, second, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(found.scores.sum(axis=0), found.gradient, atol=1e-12)
    worse = [plain(theta + sign * step) for step in steps for sign in (-30, 30)]
    assert max(worse) < found.log_likelihood
    J = np.diff(block.situation_offsets)
    T = np.diff(block.person_offsets)
    at_zero = -(np.repeat(block.weights, T) * np.log(J)).sum()
    assert found.log_likelihood_at_zero == pytest.approx(at_zero, rel=1e-13)


def test_covariances_of_each_kind() -> None:
    weights = np.random.default_rng(2).integers(1, 4, 60).astype(float)
    block = replace(drawn(), weights=weights)
    clusters = np.arange(60) // 3 * 10
    found = {
        kind: estimate(
            block, se_type=kind, clusters=clusters if kind == "clustered" else None
        )
        for kind in ("hessian", "bhhh", "robust", "clustered")
    }
    one = found["robust"]
    H, S = np.linalg.inv(one.hessian), one.scores
    middle = sum(np.outer(s, s) for s in S)
    sums = [S[clusters == code].sum(axis=0) for code in np.unique(clusters)]
    between = sum(np.outer(s, s) for s in sums)
    outer = sum(np.outer(s, s) / w for s, w in zip(S, weights, strict=True))
    expected = {
        "hessian": -H,
        "bhhh": np.linalg.inv(outer),
        "robust": H @ middle @ H,
        "clustered": H @ between @ H,
    }
    for kind, covariances in expected.items():
        assert found[kind].se_type == kind
        np.testing.assert_allclose(found[kind].covariances, covariances, rtol=1e-8)
    alone = estimate(block, se_type="clustered", clusters=np.arange(60)[::-1])
    np.testing.assert_allclose(alone.covariances, one.covariances, rtol=1e-12)


def test_weights_count_people() -> None:
    block = drawn()
    weights = np.random.default_rng(4).integers(1, 4, 60)
    weighted = estimate(replace(block, weights=weights.astype(float)), se_type="bhhh")
    repeated = take_people(block, np.repeat(np.arange(60), weights))
    counted = estimate(repeated, se_type="bhhh")
    same(weighted, counted, 1e-9)
    once, twice = estimate(block), estimate(block, block)
    assert twice.log_likelihood == pytest.approx(2.0 * once.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(twice.theta, once.theta, rtol=1e-9)
    np.testing.assert_allclose(2.0 * twice.covariances, once.covariances, rtol=1e-6)
    without = replace(block, weights=(np.arange(60) < 40).astype(float))
    same(estimate(without), estimate(take_people(block, np.arange(40))), 1e-9)


def test_order_and_cuts_change_last_bits_alone() -> None:
    block = drawn()
    whole = evaluate(block)
    order = np.random.default_rng(0).permutation(60)
    for blocks in (cut(block, 1, 30, 29), cut(block, *(20,) * 3)):
        same_point(evaluate(*blocks), whole, np.arange(60))
        same(estimate(*blocks), estimate(block), 1e-9)
    same_point(evaluate(take_people(block, order)), whole, order)


def evaluate(*blocks: ChoiceBlock) -> LikelihoodEstimates:
    """Evaluate at the start, where nothing is searched."""
    return estimate(*blocks, optimizer=OptimizerChoice("return"))


def same_point(
    found: LikelihoodEstimates, whole: LikelihoodEstimates, order: Integers
) -> None:
    np.testing.assert_array_equal(found.theta, whole.theta)
    assert found.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-11)
    np.testing.assert_allclose(found.gradient, whole.gradient, rtol=1e-11)
    np.testing.assert_allclose(found.scores, whole.scores[order], rtol=1e-11)


def test_engines_have_one_anothers_bits() -> None:
    blocks = cut(drawn(), 7, 13, 25, 15)
    serial = estimate(*blocks)
    others = [estimate(*blocks, engine=ThreadsEngine(3))]
    with cluster(2) as client:
        others.append(estimate(*blocks, engine=DaskEngine(client)))
    for other in others:
        assert other.log_likelihood == serial.log_likelihood
        for name in ("theta", "gradient", "hessian", "scores", "covariances"):
            np.testing.assert_array_equal(getattr(other, name), getattr(serial, name))


def test_optimisers_find_the_same_maximum() -> None:
    block = drawn()
    bfgs = estimate(block)
    for method in ("l-bfgs-b", "trust-constr"):
        other = estimate(block, optimizer=OptimizerChoice(method))
        assert other.converged
        np.testing.assert_allclose(np.abs(other.theta), np.abs(bfgs.theta), rtol=1e-8)


def test_what_was_not_searched_stays_where_it_was() -> None:
    found = evaluate(drawn())
    np.testing.assert_array_equal(found.theta, START)
    assert found.converged and found.iterations == 0
    assert np.abs(found.gradient).max() > 1.0


def test_listeners_hear_of_every_evaluation() -> None:
    events: list[Event] = []
    found = estimate(drawn(), listener=events.append)
    told = [event for event in events if isinstance(event, EvaluationEvent)]
    assert [event.number for event in told] == list(range(1, found.evaluations + 1))
    assert told[0].theta == tuple(START)
    best = min(event.objective for event in told)
    assert best == pytest.approx(-found.log_likelihood, rel=1e-12)
    steps = [event.message for event in events if isinstance(event, StepEvent)]
    assert steps == ["Optimising", "Computing the Hessian"]


def test_searches_step_back_from_probabilities_that_are_not_finite() -> None:
    mixed = replace(MIXED, kinds=("fixed", "lognormal", "normal"))
    events: list[Event] = []

    def search(objective: Objective, start: Floats, bounds: Floats) -> Outcome:
        here = objective(start)
        assert np.isfinite(here.objective)
        beyond = objective(np.array([0.0, 750.0, 0.0, 0.1, 0.1]))
        assert beyond.objective == np.inf and not beyond.finite
        return OptimizerChoice("bfgs")(objective, start, bounds)

    start = np.array([0.0, 0.0, 0.0, 0.1, 0.5])
    options = {"coefficients": mixed, "start": start}
    found = estimate(drawn(), **options, optimizer=search, listener=events.append)
    same(found, estimate(drawn(), **options), 1e-9)
    told = [event for event in events if isinstance(event, EvaluationEvent)]
    assert [event.markets_failed for event in told[:3]] == [0, 60, 0]


def test_probabilities_that_are_not_finite_at_the_start_are_told() -> None:
    mixed = replace(MIXED, kinds=("fixed", "lognormal", "normal"))
    start = np.array([0.0, 750.0, 0.0, 0.1, 0.1])
    with pytest.raises(NumericalError, match="of 60 of 60 people that are not finite"):
        estimate(drawn(), coefficients=mixed, start=start)


def test_parameters_that_data_do_not_tell() -> None:
    block = drawn()
    block = replace(block, X=block.X * np.array([1.0, 0.0, 1.0]))
    with pytest.warns(NumericalWarning, match="not negative definite"):
        found = estimate(block)
    assert not found.converged
    assert np.isnan(found.covariances).all()


def test_all_arguments_that_do_not_fit_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        estimate(drawn(), start=START[:4], se_type="white", clusters=np.arange(60))
    assert len(caught.value.faults) == 3
    assert "sd.size, sd.speed" in str(caught.value)
    with pytest.raises(InputError, match="one for each of 60 people"):
        estimate(drawn(), se_type="clustered", clusters=np.arange(59))
    with pytest.raises(InputError, match="'clustered' without clusters"):
        estimate(drawn(), se_type="clustered")
