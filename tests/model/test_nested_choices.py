"""Nested probabilities are their formulas, and the logit where ρ is zero.

What must hold:

1. P and derivatives are those of slow formulas and of differences, on and off zero.
2. At ρ = 0 they are the logit's; a nest of one alternative has no ρ.
3. Far utilities and ρ near one neither overflow nor lose the logarithm.
"""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.choice_records import MixedCoefficients
from blpdask.kernels.choices import choice_probabilities
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.model.nested_choices import (
    NestedCoefficients,
    nested_probabilities,
    nested_slopes,
)
from blpdask.records import Floats
from tests.model.plain_nested_choices import (
    nested_people,
    plain_probabilities,
    row_nests,
)

BETA = np.array([0.8, -1.3])
EACH = np.arange(4)


@pytest.mark.parametrize(
    "rho", [[0.0] * 4, [0.5] * 4, [0.2, 0.6, 0.9, 0.4], [-0.3, 0.0, 0.1, 0.0]]
)
def test_probabilities_are_those_of_formulas(rho: list[float]) -> None:
    block = nested_people()
    found = nested_probabilities(block, BETA, np.array(rho))
    expected = plain_probabilities(block, BETA, np.array(rho))
    np.testing.assert_allclose(found.P, expected, rtol=1e-12)
    np.testing.assert_allclose(
        found.log_P, np.log(expected[block.chosen]), rtol=1e-11, atol=1e-12
    )
    sums = np.add.reduceat(found.P, block.situation_offsets[:-1])
    np.testing.assert_allclose(sums, 1.0, rtol=1e-13)


@pytest.mark.parametrize("rho", [[0.0] * 4, [0.2, 0.6, 0.9, 0.4]])
@pytest.mark.parametrize(
    "places", [[0, 1, 2, 3], [0, 0, 0, 0], [-1, 0, 1, -1], [-1, -1, -1, -1]]
)
def test_slopes_are_those_of_differences(rho: list[float], places: list[int]) -> None:
    block, where = nested_people(seed=1), np.array(places)
    G = where.max() + 1
    at = np.array(rho)

    def logs(values: Floats) -> Floats:
        moved = at + np.append(values[2:], 0.0)[where]
        return nested_probabilities(block, values[:2], moved).log_P

    values = np.append(BETA, np.zeros(G))
    found = nested_slopes(block, nested_probabilities(block, BETA, at), where, G)
    assert found.shape == (block.chosen.size, 2 + G)
    for p, step in enumerate(1e-6 * np.eye(values.size)):
        expected = (logs(values + step) - logs(values - step)) / 2e-6
        np.testing.assert_allclose(found[:, p], expected, rtol=1e-6, atol=1e-7)


def test_without_correlation_it_is_the_logit() -> None:
    block = nested_people(40, seed=2)
    fixed = mixed_tastes(MixedCoefficients(("a", "b"), ("fixed",) * 2), BETA)
    logit = choice_probabilities(block, fixed, backend="numpy")
    found = nested_probabilities(block, BETA, np.zeros(4))
    people = block.person_offsets[:-1]
    np.testing.assert_allclose(
        np.add.reduceat(found.log_P, people), logit.logs, rtol=1e-12, atol=1e-12
    )
    slopes = nested_slopes(block, found, np.full(4, -1), 0)
    np.testing.assert_allclose(
        np.add.reduceat(slopes, people, axis=0), logit.scores, rtol=1e-11, atol=1e-12
    )


def test_a_nest_of_one_alternative_has_no_correlation() -> None:
    block = nested_people(30, seed=3)
    low, high = (np.array([0.4, 0.4, 0.4, last]) for last in (0.0, 0.9))
    assert (row_nests(block) == 3).any()
    one, other = (nested_probabilities(block, BETA, rho) for rho in (low, high))
    np.testing.assert_allclose(one.P, other.P, rtol=1e-13)
    slopes = nested_slopes(block, other, EACH, 4)
    np.testing.assert_allclose(slopes[:, 5], 0.0, atol=1e-12)


def test_near_one_a_nest_is_its_best_alternative() -> None:
    block = nested_people(20, seed=4)
    found = nested_probabilities(block, BETA, np.full(4, 1 - 1e-9))
    assert np.isfinite(found.log_P).all()
    V, nests = block.X @ BETA, row_nests(block)
    first, stop = block.situation_offsets[:2]
    best = {h: V[first:stop][nests[first:stop] == h].max() for h in nests[first:stop]}
    total = sum(np.exp(list(best.values())))
    for n in range(first, stop):
        expected = np.exp(V[n]) / total if V[n] == best[nests[n]] else 0.0
        assert found.P[n] == pytest.approx(expected, abs=1e-7)
    far = nested_probabilities(block, 300 * BETA, np.full(4, 0.5))
    assert np.isfinite(far.log_P).all() and np.isfinite(far.P).all()


def test_parameters_may_be_held_at_zero() -> None:
    each = NestedCoefficients(("x",), ("a", "b", "c"), ("rho.a", "rho.c"), (0, -1, 1))
    assert each.parameter_labels == ("x", "rho.a", "rho.c") and each.size == 3
    np.testing.assert_array_equal(each.nest_rho(np.array([0.2, 0.7])), [0.2, 0.0, 0.7])
    held = each.hold(0)
    assert held.rho_labels == ("rho.c",) and held.rho_places == (-1, -1, 0)
    np.testing.assert_array_equal(held.nest_rho(np.array([0.7])), [0.0, 0.0, 0.7])
    none = held.hold(0)
    np.testing.assert_array_equal(none.nest_rho(np.empty(0)), np.zeros(3))
