"""Draws from around modes integrate what others do, and follow θ as they should.

1. Weights are one on average; many draws give what quadrature gives, to 1e-6.
2. Of draws that stay, the gradient is a difference of LL, for every structure.
3. Draws are a function of people and θ_c: order and cuts of people change last bits
   alone, engines not a bit, what was kept nothing.
4. The search ends where draws made at θ have their maximum near θ; estimates are those
   of exact integration within what draws make.
5. Modes that are not found, and points that are not finite, do no harm or are told.
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
from blpdask.errors import NumericalError, NumericalWarning
from blpdask.estimators import recentring
from blpdask.estimators.laplace_likelihood import LaplaceLikelihood
from blpdask.estimators.likelihood_model import SimulatedLikelihood
from blpdask.estimators.optimizers.choose import OptimizerChoice
from blpdask.estimators.recentring import scoring_step
from blpdask.estimators.simulated_likelihood import maximise_likelihood
from blpdask.integration.rules import Rule, RuleOptions
from blpdask.kernels import array_modes
from blpdask.model.laplace_draws import CentredBlocks, centred_blocks
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.moments.choices import LikelihoodSums
from blpdask.problem.choice_draws import draw_variates, weigh_draws
from blpdask.progress import Event, StepEvent
from blpdask.records import Floats
from tests.driver.clusters import cluster
from tests.estimators.test_simulated_likelihood import MIXED, START, TRUTH, cut, drawn
from tests.kernels.plain_choices import choose, draw_people, plain_log_probabilities
from tests.kernels.test_choices import STRUCTURES, some_theta, take_people


def based(block: ChoiceBlock, mixed: MixedCoefficients, R: int, seed: int = 0):
    """Give people base points, Sobol draws of their kinds."""
    rule = Rule("laplace", R, RuleOptions(seed=seed))
    return replace(block, draws=draw_variates(rule, mixed.random_kinds, block.n_people))


def quadrature(block: ChoiceBlock, mixed: MixedCoefficients, size: int) -> ChoiceBlock:
    rule, kinds = Rule("trapezoid", size), mixed.random_kinds
    draws, logs = draw_variates(rule, kinds, 1), weigh_draws(rule, kinds)
    return replace(block, draws=draws, log_weights=logs)


def sums(
    block: ChoiceBlock,
    mixed: MixedCoefficients,
    theta: Floats,
    centre: Floats | None = None,
    backend: str = "numba",
) -> LikelihoodSums:
    at = theta if centre is None else centre
    model = LaplaceLikelihood(mixed, backend, at)
    state = model.at(theta, derivatives=True, by_person=True)
    return model.work(block, state, None)[0]


def exact(
    block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats, size: int
) -> LikelihoodSums:
    model = SimulatedLikelihood(mixed, "numba")
    state = model.at(theta, derivatives=True, by_person=True)
    return model.work(quadrature(block, mixed, size), state, None)[0]


def estimate(*blocks: ChoiceBlock, **options: object) -> LikelihoodEstimates:
    chosen = {
        "engine": SerialEngine(),
        "start": START,
        "model": LaplaceLikelihood(MIXED, "numba", START),
        **options,
    }
    return maximise_likelihood(blocks, **chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_weights_are_one_on_average(backend: str) -> None:
    few = draw_people(20, 3, 2, 1, situations=(1, 2), alternatives=(2, 3))
    block = based(few, MIXED, 2**14)
    tastes = mixed_tastes(MIXED, TRUTH)
    centred = CentredBlocks().centre(block, tastes, MIXED.random_kinds, backend=backend)
    assert centred.draws.shape == block.draws.shape
    assert centred.log_weights.shape == (20, 2**14)
    weights = np.exp(centred.log_weights)[..., None]
    z = centred.draws
    for terms, expected in ((weights, 1.0), (weights * z, 0.0), (weights * z**2, 1.0)):
        errors = terms.std(axis=1) / 2**7
        assert (np.abs(terms.mean(axis=1) - expected) < 4 * errors).all()
        np.testing.assert_allclose(terms.mean(), expected, atol=2e-3)


KINDS = ["normal", "lognormal", "uniform", "triangular", "truncated", "exponential"]


@pytest.mark.parametrize("kind", KINDS)
def test_many_draws_are_quadrature_in_one_dimension(kind: str) -> None:
    mixed = MixedCoefficients(("a", "b", "c"), ("fixed", kind, "fixed"))
    block = drawn(8)
    theta = np.array([-1.0, 0.3, 1.0, 0.8])
    if kind == "exponential":
        theta = np.array([-1.0, 1.0, 0.8])
    found = sums(based(block, mixed, 2**16), mixed, theta)
    expected = exact(block, mixed, theta, 2001)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, abs=2e-6)
    np.testing.assert_allclose(found.scores, expected.scores, atol=2e-5)


def test_many_draws_are_quadrature_in_two_dimensions() -> None:
    for correlated in (False, True):
        mixed = replace(MIXED, correlated=correlated)
        theta = np.array([-1.0, 0.8, 1.2, 1.0, *([0.5] * correlated), 0.7])
        block = drawn(6)
        found = sums(based(block, mixed, 2**17), mixed, theta)
        expected = exact(block, mixed, theta, 201)
        assert found.log_likelihood == pytest.approx(expected.log_likelihood, abs=6e-6)
        np.testing.assert_allclose(found.scores, expected.scores, atol=2e-5)


def test_few_draws_do_what_many_of_the_prior_do() -> None:
    block = draw_people(60, 3, 2, 1, seed=2, situations=(40, 50), alternatives=(3, 4))
    theta = np.array([-1.0, 0.8, 1.2, 3.0, 2.5])
    beta = theta[:3] + np.random.default_rng(3).normal(size=(60, 3)) * [0.0, 3.0, 2.5]
    block = replace(choose(block, beta, 4), weights=np.ones(60))
    truth = exact(block, MIXED, theta, 301).log_likelihood
    few = sums(based(block, MIXED, 64), MIXED, theta).log_likelihood
    model = SimulatedLikelihood(MIXED, "numba")
    state = model.at(theta, derivatives=False, by_person=False)
    prior = model.work(based(block, MIXED, 256), state, None)[0].log_likelihood
    assert abs(few - truth) < 0.5 < 2.0 < abs(prior - truth)


@pytest.mark.parametrize("case", range(len(STRUCTURES)))
def test_gradients_are_differences_while_draws_stay(case: int) -> None:
    mixed = STRUCTURES[case]
    M, D = len(mixed.demographics), mixed.random.size
    block = draw_people(6, 4, D, 1, seed=case, M=M, situations=(3, 6))
    block = based(block, mixed, 32)
    centre = some_theta(mixed, 5)
    theta = centre + 0.1 * some_theta(mixed, 6)
    backends = [sums(block, mixed, theta, centre, name) for name in ("numba", "numpy")]
    found = backends[0]
    np.testing.assert_allclose(found.scores, backends[1].scores, rtol=1e-8, atol=1e-9)
    for p in range(theta.size):
        step = 1e-5 * np.eye(theta.size)[p]
        up, down = (
            sums(block, mixed, theta + s * step, centre).log_likelihood for s in (1, -1)
        )
        assert found.score[p] == pytest.approx((up - down) / 2e-5, rel=2e-6, abs=1e-6)
    centred = centred_blocks().centre(
        block, mixed_tastes(mixed, centre), mixed.random_kinds, backend="numba"
    )
    logs = plain_log_probabilities(centred, mixed, theta)
    expected = float(block.weights @ logs)
    assert found.log_likelihood == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("case", range(len(STRUCTURES)))
def test_structures_are_integrated_as_draws_of_the_prior_do(case: int) -> None:
    mixed = STRUCTURES[case]
    M, D = len(mixed.demographics), mixed.random.size
    block = draw_people(5, 4, D, 1, seed=case, M=M, situations=(1, 3))
    theta = some_theta(mixed, 5)
    found = sums(based(block, mixed, 2**12), mixed, theta).log_likelihood
    model = SimulatedLikelihood(mixed, "numba")
    state = model.at(theta, derivatives=False, by_person=False)
    prior = model.work(based(block, mixed, 2**15), state, None)[0].log_likelihood
    assert found == pytest.approx(prior, abs=0.01)


def test_draws_are_kept_as_long_as_their_centre() -> None:
    block, kept = based(drawn(5), MIXED, 8), CentredBlocks()
    kinds, other = MIXED.random_kinds, TRUTH + 0.1
    first = kept.centre(block, mixed_tastes(MIXED, TRUTH), kinds, backend="numba")
    same = kept.centre(block, mixed_tastes(MIXED, TRUTH), kinds, backend="numba")
    assert same is first
    moved = kept.centre(block, mixed_tastes(MIXED, other), kinds, backend="numba")
    assert not np.array_equal(moved.draws, first.draws)
    again = kept.centre(block, mixed_tastes(MIXED, TRUTH), kinds, backend="numba")
    np.testing.assert_array_equal(again.draws, first.draws)
    np.testing.assert_array_equal(again.log_weights, first.log_weights)


def test_order_and_cuts_change_last_bits_alone() -> None:
    block = based(drawn(), MIXED, 32)
    whole = sums(block, MIXED, TRUTH, START)
    order = np.random.default_rng(0).permutation(60)
    parts = [sums(part, MIXED, TRUTH, START) for part in cut(block, 1, 30, 29)]
    total = sum(part.log_likelihood for part in parts)
    assert total == pytest.approx(whole.log_likelihood, rel=1e-11)
    scores = np.concatenate([part.scores for part in parts])
    np.testing.assert_allclose(scores, whole.scores, rtol=1e-10, atol=1e-11)
    other = sums(take_people(block, order), MIXED, TRUTH, START)
    assert other.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-11)
    np.testing.assert_allclose(
        other.scores, whole.scores[order], rtol=1e-10, atol=1e-11
    )
    one, two = estimate(block), estimate(*cut(block, 20, 40))
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-9)
    assert one.log_likelihood == pytest.approx(two.log_likelihood, rel=1e-11)


def test_engines_have_one_anothers_bits() -> None:
    blocks = cut(based(drawn(), MIXED, 16), 7, 13, 25, 15)
    serial = estimate(*blocks)
    others = [estimate(*blocks, engine=ThreadsEngine(3))]
    with cluster(2) as client:
        others.append(estimate(*blocks, engine=DaskEngine(client)))
    for other in others:
        assert other.log_likelihood == serial.log_likelihood
        for name in ("theta", "gradient", "hessian", "scores", "concentrations"):
            np.testing.assert_array_equal(getattr(other, name), getattr(serial, name))


def test_estimates_are_those_of_exact_integration() -> None:
    block = drawn(200)
    events: list[Event] = []
    found = estimate(based(block, MIXED, 64), listener=events.append)
    assert found.converged and np.abs(found.gradient).max() < 1e-9
    best = maximise_likelihood(
        [quadrature(block, MIXED, 41)],
        SimulatedLikelihood(MIXED, "numba"),
        START,
        engine=SerialEngine(),
    )
    errors = np.sqrt(np.diag(best.covariances))
    np.testing.assert_array_less(np.abs(found.theta - best.theta) / errors, 0.15)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariances)), errors, rtol=0.05)
    at = exact(block, MIXED, found.theta, 41).log_likelihood
    assert best.log_likelihood - 0.05 < at <= best.log_likelihood + 1e-9
    centred = [
        e for e in events if isinstance(e, StepEvent) and "Centring" in e.message
    ]
    assert 2 <= len(centred) <= 10
    here = sums(based(block, MIXED, 64), MIXED, found.theta)
    assert scoring_step(here)[1] < 0.05
    effective = 1.0 / found.concentrations
    assert 5 < effective.min() < np.median(effective) < 64
    again = estimate(based(block, MIXED, 64), start=found.theta + 0.1)
    np.testing.assert_array_less(np.abs(again.theta - found.theta) / errors, 0.02)


def test_estimates_recover_the_truth() -> None:
    distance = 0.0
    for seed in range(6):
        found = estimate(based(drawn(600, 1, seed), MIXED, 32, seed))
        off = found.theta - TRUTH
        distance += off @ np.linalg.solve(found.covariances, off)
    low, high = scipy.stats.chi2(6 * 5).ppf([1e-3, 1 - 1e-3])
    assert low < distance < high


def test_what_was_not_searched_stays_where_it_was() -> None:
    block = based(drawn(), MIXED, 16)
    model = LaplaceLikelihood(MIXED, "numba", TRUTH)
    found = estimate(block, model=model, optimizer=OptimizerChoice("return"))
    np.testing.assert_array_equal(found.theta, START)
    expected = sums(block, MIXED, START)
    assert found.log_likelihood == expected.log_likelihood


def test_modes_that_are_not_found_cost_draws_and_not_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    block = based(drawn(20), MIXED, 2**13)
    truth = exact(block, MIXED, TRUTH, 201).log_likelihood
    good = sums(block, MIXED, TRUTH)
    monkeypatch.setattr(array_modes, "MAX_STEPS", 1)
    lost = replace(block)
    poor = sums(lost, MIXED, TRUTH)
    assert poor.concentrations.sum() > 1.2 * good.concentrations.sum()
    assert abs(good.log_likelihood - truth) < 2e-3
    assert poor.log_likelihood == pytest.approx(truth, abs=0.02)


def test_points_that_are_not_finite_are_told() -> None:
    mixed = replace(MIXED, kinds=("fixed", "lognormal", "normal"))
    start = np.array([0.0, 800.0, 0.0, 0.1, 0.1])
    model = LaplaceLikelihood(mixed, "numba", start)
    with pytest.raises(NumericalError, match="of 60 of 60 people that are not finite"):
        estimate(based(drawn(), mixed, 8), model=model, start=start)


def test_parameters_that_data_do_not_tell_end_the_search() -> None:
    block = drawn()
    block = based(replace(block, X=block.X * np.array([1.0, 0.0, 1.0])), MIXED, 16)
    events: list[Event] = []
    with pytest.warns(NumericalWarning, match="do not tell all parameters, so that"):
        found = estimate(block, listener=events.append)
    assert not found.converged and np.isnan(found.covariances).all()
    centred = [
        e for e in events if isinstance(e, StepEvent) and "Centring" in e.message
    ]
    assert len(centred) == 5


def test_draws_that_never_rest_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recentring, "NEAR", -1.0)
    monkeypatch.setattr(recentring, "MAX_CENTRES", 3)
    with pytest.warns(NumericalWarning, match="still moves θ by .* use more draws"):
        found = estimate(based(drawn(), MIXED, 8))
    assert found.converged and "use more draws" in found.message
