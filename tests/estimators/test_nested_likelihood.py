"""Maximum likelihood of the nested logit finds what made the choices, within bounds.

What must hold:

1. LL and score, by the search's parameters, are those of formulas and of differences.
2. Estimates recover the truth, in ρ itself, with errors that say how well.
3. A ρ that would be negative is held at zero, which is told.
4. Order of people changes last bits only; engines not a bit.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from blpdask.choice_records import LikelihoodEstimates
from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import NumericalWarning
from blpdask.estimators.nested_likelihood import NestedLikelihood, maximise_nested
from blpdask.model.nested_choices import NestedBlock, NestedCoefficients
from blpdask.moments.nested_choices import nested_pass
from blpdask.records import Floats
from tests.driver.clusters import cluster
from tests.kernels.test_choices import take_people
from tests.model.plain_nested_choices import (
    nest,
    nested_people,
    plain_nested_logs,
    plain_probabilities,
    row_nests,
)

NESTS = ("a", "b", "c", "d")
EACH = NestedCoefficients(("x", "y"), NESTS, ("rho.a", "rho.b", "rho.c"), (0, 1, 2, -1))
ONE = NestedCoefficients(("x", "y"), NESTS, ("rho",), (0, 0, 0, 0))
TRUTH = np.array([0.8, -1.3, 0.2, 0.5, 0.7])


def drawn(n_people: int = 100, seed: int = 0, truth: Floats = TRUTH) -> NestedBlock:
    """Draw people who choose with nested probabilities."""
    block = nested_people(n_people, seed)
    P = plain_probabilities(block, truth[:2], np.append(truth[2:], 0.0))
    rng = np.random.default_rng([5, seed])
    parts = np.split(P, block.situation_offsets[1:-1])
    chosen = [rng.choice(part.size, p=part / part.sum()) for part in parts]
    return replace(
        block,
        chosen=block.situation_offsets[:-1] + np.array(chosen),
        weights=np.ones(n_people),
    )


def estimate(
    *blocks: NestedBlock,
    coefficients: NestedCoefficients = EACH,
    start: Floats | None = None,
    **options: object,
) -> LikelihoodEstimates:
    chosen = {"engine": SerialEngine(), **options}
    start = np.zeros(coefficients.size) if start is None else start
    return maximise_nested(blocks, coefficients, start, **chosen)


def take(block: NestedBlock, order: Floats) -> NestedBlock:
    """Give some people, in an order."""
    marked = replace(block, X=np.column_stack([block.X, row_nests(block)]))
    other = take_people(marked, order)
    nests = other.X[:, -1].astype(np.int64)
    return nest(replace(other, X=other.X[:, :-1].copy()), nests)


@pytest.mark.parametrize("coefficients", [EACH, ONE])
def test_sums_are_those_of_formulas(coefficients: NestedCoefficients) -> None:
    block = replace(nested_people(12), weights=np.linspace(0.5, 2.0, 12))
    model = NestedLikelihood(coefficients)
    s = np.array([0.9, -0.4, 0.3, 1.2, -0.1])[: coefficients.size]

    def value(at: Floats) -> float:
        rho = coefficients.nest_rho(1 - np.exp(-at[2:]))
        return float(block.weights @ plain_nested_logs(block, at[:2], rho))

    state = model.at(s, derivatives=True, by_person=True)
    sums, _ = nested_pass(block, state, None)
    assert sums.log_likelihood == pytest.approx(value(s), rel=1e-12)
    for p, step in enumerate(1e-5 * np.eye(s.size)):
        slope = (value(s + step) - value(s - step)) / 2e-5
        assert sums.score[p] == pytest.approx(slope, rel=1e-6, abs=1e-7)
    np.testing.assert_allclose(sums.scores.sum(axis=0), sums.score, rtol=1e-11)
    few = model.at(s, derivatives=False, by_person=False)
    assert nested_pass(block, few, None)[0].score.size == 0


def test_estimates_recover_the_truth() -> None:
    distance = 0.0
    for seed in range(4):
        found = estimate(drawn(1000, seed))
        assert found.converged and found.coefficients is EACH
        off = found.theta - TRUTH
        distance += off @ np.linalg.solve(found.covariances, off)
        np.testing.assert_array_less(np.sqrt(np.diag(found.covariances)), 0.1)
    # Between the quantiles 0.001 and 0.999 of χ² of 4 times 5 degrees of freedom.
    assert 5.92 < distance < 45.31


def test_maximum_and_curvature_are_in_rho_itself() -> None:
    block = drawn(300, 1)
    found = estimate(block, se_type="hessian")

    def negative(theta: Floats) -> float:
        rho = np.append(theta[2:], 0.0)
        return -float(plain_nested_logs(block, theta[:2], rho).sum())

    best = minimize(negative, found.theta + 0.02, options={"gtol": 1e-5})
    np.testing.assert_allclose(found.theta, best.x, atol=2e-5)
    assert found.log_likelihood == pytest.approx(-negative(found.theta), rel=1e-12)
    second, h = np.empty((5, 5)), 1e-4
    for p in range(5):
        for q in range(5):
            up, across = h * np.eye(5)[p], h * np.eye(5)[q]
            second[p, q] = (
                negative(found.theta + up + across)
                - negative(found.theta + up - across)
                - negative(found.theta - up + across)
                + negative(found.theta - up - across)
            ) / (4 * h * h)
    np.testing.assert_allclose(found.hessian, -second, rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(
        found.covariances, np.linalg.inv(-found.hessian), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(found.scores.sum(axis=0), found.gradient, atol=1e-8)


def test_one_rho_for_all_nests() -> None:
    truth = np.array([0.8, -1.3, 0.5, 0.5, 0.5])
    found = estimate(drawn(1200, 7, truth), coefficients=ONE)
    errors = np.sqrt(np.diag(found.covariances))
    assert (abs(found.theta - truth[:3]) < 3 * errors).all() and errors[2] < 0.05


def test_negative_rho_is_held_at_zero() -> None:
    block = drawn(400, 3, np.array([0.8, -1.3, -0.4, 0.5, 0.0]))
    with pytest.warns(NumericalWarning, match=r"\[rho\.a.*\] would be negative"):
        found = estimate(block)
    assert "rho.a" not in found.coefficients.parameter_labels
    rho = found.coefficients.nest_rho(found.theta[2:])
    assert rho[0] == 0.0 and (rho >= 0.0).all() and found.converged

    def negative(theta: Floats) -> float:
        return -float(
            plain_nested_logs(block, theta[:2], np.append(theta[2:], 0.0)).sum()
        )

    bounds = [(None, None)] * 2 + [(0.0, 0.95)] * 3
    best = minimize(negative, TRUTH, bounds=bounds, method="L-BFGS-B")
    assert found.log_likelihood == pytest.approx(-best.fun, abs=1e-5)


def test_order_of_people_changes_last_bits_only() -> None:
    block = drawn()
    order = np.random.default_rng(2).permutation(block.n_people)
    one, other = estimate(block), estimate(take(block, order))
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-8)
    np.testing.assert_allclose(one.scores[order], other.scores, atol=1e-6)


def test_engines_agree_to_the_last_bit() -> None:
    block = drawn()
    edges = [0, 20, 55, 70, 100]
    blocks = [take(block, np.arange(a, b)) for a, b in itertools.pairwise(edges)]
    serial = estimate(*blocks)
    others = [estimate(*blocks, engine=ThreadsEngine(2))]
    with cluster(2) as client:
        others.append(estimate(*blocks, engine=DaskEngine(client)))
    for other in others:
        assert other.log_likelihood == serial.log_likelihood
        for name in ("theta", "gradient", "hessian", "scores", "covariances"):
            np.testing.assert_array_equal(getattr(other, name), getattr(serial, name))
