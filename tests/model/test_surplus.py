"""Inclusive values of agents, against their definition.

What must hold:

1. They are log(1 + Σ_h e^{I_ih}) written out, agent by agent and nest by nest, and
   their derivatives by δ_j are P_ij; blocks of more markets give those of each.
2. What is eliminated, or not available, is as if it had never been there.
3. Utilities of thousands do no harm, and what is worth little keeps its digits.
"""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest

from blpdask.model import surplus
from blpdask.model.inversion import one_market
from blpdask.model.surplus import inclusive_values
from tests.kernels import problems, reference
from tests.kernels.test_nests import probabilities
from tests.kernels.test_responses import NAMES, Case, case_of, without


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


def values_of(case: Case, eliminated=None):
    trial = case.trial
    return inclusive_values(case.block, case.tastes, trial.delta, trial.X2, eliminated)


def test_they_are_minus_the_log_of_the_outside_probability(case):
    found = values_of(case)
    for t, (_, people) in enumerate(reference.markets(case.block)):
        P = probabilities(case.there, case.tastes, case.trial.delta, t)
        P0 = 1 - P.sum(axis=1)
        seen = P0 > 1e-6
        np.testing.assert_allclose(
            found[people][seen], -np.log(P0[seen]), rtol=1e-9, atol=1e-14
        )


def test_they_are_those_written_out(case):
    block, tastes, delta = case.there, case.tastes, case.trial.delta
    sizes = np.diff(block.product_offsets) * np.diff(block.agent_offsets)
    found = values_of(case)
    if block.product_columns:
        pytest.skip("by probabilities, and by their derivatives")
    for t, (rows, people) in enumerate(reference.markets(block)):
        mu, _ = reference.deviations(block.X2[:, rows], block.draws[people], tastes)
        n, place = rows.stop - rows.start, int(sizes[:t].sum())
        for i in range(people.stop - people.start):
            total, V = mpmath.mpf(1), mu[i] + delta[rows]
            nests = np.arange(n) if block.nests is None else block.nests[rows]
            for h in np.unique(nests):
                own = np.flatnonzero(nests == h)
                rho = 0.0 if block.nests is None else tastes.rho[h]
                a = np.ones(own.size)
                if block.availability is not None:
                    a = block.availability[place + i * n + own]
                terms = [
                    mpmath.mpf(x) * mpmath.exp(mpmath.mpf(v) / (1 - rho))
                    for x, v in zip(a, V[own], strict=True)
                ]
                if sum(terms):
                    total += sum(terms) ** (1 - rho)
            expected = float(mpmath.log(total))
            np.testing.assert_allclose(found[people][i], expected, rtol=1e-12)


def test_their_derivatives_are_probabilities(case):
    trial, h = case.trial, 1e-4
    (rows, people), t = next(iter(reference.markets(case.block))), 0
    P = probabilities(case.there, case.tastes, trial.delta, t)
    for j in range(min(3, rows.stop)):
        ends = []
        for step in (h, -h, 2 * h, -2 * h):
            delta = trial.delta.copy()
            delta[j] += step
            moved = replace(case, trial=replace(trial, delta=delta))
            ends.append(values_of(moved)[people])
        slopes = (8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * h)
        np.testing.assert_allclose(slopes, P[:, j], rtol=0, atol=2e-8)


def test_a_block_is_its_markets(case):
    found, trial = values_of(case), case.trial
    for t, (rows, people) in enumerate(reference.markets(case.block)):
        market = one_market(case.block, t)
        own = inclusive_values(
            market, case.tastes, trial.delta[rows], trial.X2[:, rows]
        )
        np.testing.assert_allclose(found[people], own, rtol=1e-13, atol=1e-300)


def test_agents_at_a_time_do_not_matter(case, monkeypatch):
    whole = values_of(case)
    monkeypatch.setattr(surplus, "HELD", 40)
    np.testing.assert_allclose(values_of(case), whole, rtol=1e-13, atol=1e-300)


def test_what_is_eliminated_had_never_been_there(case):
    sizes = np.diff(case.block.product_offsets)
    j = int(case.block.product_offsets[np.argmax(sizes > 1)]) + 1
    if not (sizes > 1).any():
        pytest.skip("markets of one product")
    gone = np.arange(case.block.n_products) == j
    found, trial = values_of(case, gone), case.trial
    block = without(case.there, j)
    expected = inclusive_values(block, case.tastes, trial.delta[~gone], block.X2)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-300)
    assert (found <= values_of(case)).all()
    nothing = values_of(case, np.ones_like(gone))
    np.testing.assert_array_equal(nothing, np.zeros(nothing.size))


@pytest.mark.parametrize("rho", [None, 0.0, 0.6, 0.99])
def test_large_and_small_utilities(rho):
    tastes = problems.diagonal_tastes([0.0])
    block = problems.make_block(2, [(3, 1)], tastes)
    if rho is not None:
        tastes = replace(tastes, rho=np.array([rho]), rho_places=np.array([0]))
        block = replace(block, nests=np.zeros(3, np.int64))

    def value(delta: list[float]) -> float:
        found = inclusive_values(block, tastes, np.array(delta), 0 * block.X2)
        return float(found[0])

    r = rho or 0.0
    assert value([5000.0, 4000.0, 1.0]) == 5000.0
    np.testing.assert_allclose(value([-60.0, -400.0, -400.0]), np.exp(-60), rtol=1e-14)
    alike = (1 - r) * np.log(3)
    np.testing.assert_allclose(value([900.0] * 3), 900 + alike, rtol=1e-14)
    np.testing.assert_allclose(value([-50.0] * 3), np.exp(alike - 50), rtol=1e-13)
    assert value([-np.inf] * 3) == 0.0 and np.isnan(value([np.nan, 0.0, 0.0]))
