"""The method of simulated scores: near maximum likelihood, the same on every engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blpdask.choice_records import ChoiceBlock, LikelihoodEstimates, MixedCoefficients
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import InputError, NumericalWarning
from blpdask.estimators.likelihood_model import SimulatedLikelihood
from blpdask.estimators.simulated_likelihood import maximise_likelihood
from blpdask.estimators.simulated_scores import ScoreOptions, solve_scores
from blpdask.partitions.source import HeldBlocks
from blpdask.progress import EvaluationEvent, Event
from tests.estimators.test_simulated_likelihood import MIXED, START, cut, drawn
from tests.estimators.test_simulated_moments import once

SERIAL = SerialEngine()


def likelihood(
    *blocks: ChoiceBlock, coefficients: MixedCoefficients = MIXED
) -> LikelihoodEstimates:
    model = SimulatedLikelihood(coefficients, "numba", corrected=True)
    return maximise_likelihood(
        list(blocks), model, START[: coefficients.size], engine=SERIAL
    )


def scores(
    first: LikelihoodEstimates, *blocks: ChoiceBlock, **options: Any
) -> LikelihoodEstimates:
    asked = options.pop("options", ScoreOptions(seed=1))
    return solve_scores(
        HeldBlocks(list(blocks)), first, asked, **{"engine": SERIAL, **options}
    )


def test_with_many_draws_it_is_maximum_likelihood_almost() -> None:
    block = once(1000, 200)
    first = likelihood(block)
    found = scores(first, block, options=ScoreOptions(seed=1, roulettes=60))
    errors = np.sqrt(np.diag(first.covariances))
    assert found.converged and found.method == "mss"
    assert (np.abs(found.theta - first.theta) < 0.6 * errors).all()
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariances)), errors, rtol=0.2)
    assert found.log_likelihood < first.log_likelihood
    assert found.log_likelihood_at_zero == first.log_likelihood_at_zero


def test_panels_are_solved_by_sweeps() -> None:
    block = drawn(150, 100)
    first = likelihood(block)
    found = scores(first, block)
    errors = np.sqrt(np.diag(first.covariances))
    assert found.converged
    assert (np.abs(found.theta - first.theta) < 0.6 * errors).all()
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariances)), errors, rtol=0.3)


def test_accept_reject_comes_near_a_root() -> None:
    block = once(1000, 50)
    first = likelihood(block)
    asked = ScoreOptions(seed=2, inverse="accept-reject", roulettes=20)
    found = scores(first, block, options=asked)
    assert found.converged
    assert (
        np.abs(found.theta - first.theta) < np.sqrt(np.diag(found.covariances))
    ).all()


def test_order_of_work_changes_last_bits_alone() -> None:
    block = once(300, 20)
    first = likelihood(block)
    whole = scores(first, block)
    parts = cut(block, 7, 200, 93)
    serial = scores(first, *parts)
    np.testing.assert_allclose(serial.theta, whole.theta, rtol=1e-9)
    np.testing.assert_allclose(serial.covariances, whole.covariances, rtol=1e-5)
    threads = scores(first, *parts, engine=ThreadsEngine(2))
    for name in ("theta", "gradient", "hessian", "scores", "covariances"):
        np.testing.assert_array_equal(getattr(threads, name), getattr(serial, name))


def test_listeners_hear_and_clusters_count() -> None:
    block = once(300, 20)
    first = likelihood(block)
    events: list[Event] = []
    alone = scores(first, block, listener=events.append)
    told = [event for event in events if isinstance(event, EvaluationEvent)]
    assert len(told) == alone.evaluations * 11
    clusters = np.arange(300)[::-1]
    found = scores(first, block, se_type="clustered", clusters=clusters)
    np.testing.assert_allclose(found.covariances, alone.covariances, rtol=1e-10)


def test_what_has_no_root_is_told() -> None:
    block = drawn(20, 2)
    first = likelihood(block)
    far = replace(first, theta=first.theta + 30.0)
    with pytest.warns(NumericalWarning, match="standard errors from zero. There is no"):
        assert not scores(far, block).converged


def test_faults_come_together() -> None:
    block = once(30, 5)
    first = likelihood(once(300, 20))
    shared = replace(block, draws=block.draws[:1])
    with pytest.raises(InputError, match="people share") as caught:
        scores(first, shared, se_type="hessian")
    assert len(caught.value.faults) == 2
