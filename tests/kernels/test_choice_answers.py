"""What situations answer is what plain formulas say, one draw after another.

1. P, slopes, what is gained where an alternative goes, and surplus are averages over
   draws of logit formulas.
2. Slopes are differences of probabilities, and gains are probabilities without a row.
3. Utilities may be large, alternatives nearly certain, situations of any size.
4. Coefficients that are not numbers give NaN, to their people alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from blpdask.kernels.choice_answers import (
    SituationAnswers,
    Situations,
    answer_situations,
)
from blpdask.records import Floats
from tests.kernels.plain_choices import draw_people

K = 3
SHAPES = {
    "ragged": {"situations": (0, 5), "alternatives": (1, 6), "R": 70},
    "pairs": {"situations": (1, 1), "alternatives": (2, 2), "R": 32},
    "one draw": {"situations": (2, 3), "alternatives": (3, 9), "R": 1},
}


def asked(shape: dict[str, Any], scale: float = 1.0) -> tuple[Situations, Any, Any]:
    """Draw situations, coefficients and weights of 9 people."""
    block = draw_people(9, K, 1, seed=4, scale=scale, **shape)
    rng = np.random.default_rng(5)
    situations = Situations(
        X=block.X,
        situation_offsets=block.situation_offsets,
        person_offsets=block.person_offsets,
        slopes=rng.normal(size=block.X.shape),
    )
    beta = rng.normal(size=(9, shape["R"], K))
    weights = rng.dirichlet(np.ones(shape["R"]), 9)
    return situations, beta, weights


def plain(situations: Situations, beta: Floats, weights: Floats) -> dict[str, Floats]:
    """Answer by the formulas, one person, situation and draw after another."""
    P, slopes, gains, surpluses = [], [], [], []
    for i in range(situations.person_offsets.size - 1):
        for s in range(*situations.person_offsets[i : i + 2]):
            rows = slice(*situations.situation_offsets[s : s + 2])
            X, G = situations.X[rows], situations.slopes[rows]
            J = len(X)
            p, by, gained, surplus = (
                np.zeros(J),
                np.zeros((J, J)),
                np.zeros((J, J)),
                0.0,
            )
            for b, w in zip(beta[i], weights[i], strict=True):
                V, a = X @ b, G @ b
                q = softmax(V)
                p += w * q
                by += w * (np.diag(q) - np.outer(q, q)) * a
                for j in range(J if J > 1 else 0):
                    others = np.delete(np.arange(J), j)
                    gained[j, others] += w * q[j] * softmax(V[others])
                surplus += w * logsumexp(V) / -a[0]
            P.append(p)
            slopes.append(by.ravel())
            gains.append(gained.ravel())
            surpluses.append(surplus)
    return {
        "probabilities": np.concatenate(P),
        "slopes": np.concatenate(slopes),
        "removals": np.concatenate(gains),
        "surpluses": np.array(surpluses),
    }


def value_of(found: SituationAnswers, question: str) -> Floats:
    if question == "probabilities":
        return found.probabilities
    return found.surpluses if question == "surpluses" else found.pairs


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_answers_are_the_formulas(shape: dict[str, Any]) -> None:
    situations, beta, weights = asked(shape)
    beta[:, :, 0] = -np.exp(beta[:, :, 0])
    money = replace(situations, slopes=np.tile([1.0, 0.0, 0.0], (len(situations.X), 1)))
    for question in ("probabilities", "slopes", "removals", "surpluses"):
        of = money if question == "surpluses" else situations
        expected = plain(of, beta, weights)
        found = answer_situations(of, beta, weights, question)
        np.testing.assert_allclose(
            value_of(found, question), expected[question], rtol=1e-11, atol=1e-14
        )
        np.testing.assert_allclose(
            found.probabilities, expected["probabilities"], rtol=1e-12
        )


def test_slopes_are_differences_of_probabilities() -> None:
    situations, beta, weights = asked(SHAPES["ragged"])
    found = answer_situations(situations, beta, weights, "slopes").pairs
    sizes, place = situations.sizes, 0
    for s, J in enumerate(sizes):
        square = found[place : place + J * J].reshape(J, J)
        place += J * J
        first = situations.situation_offsets[s]
        for k in range(J):
            shifted = []
            for h in (1e-5, -1e-5):
                X = situations.X.copy()
                X[first + k] += h * situations.slopes[first + k]
                moved = replace(situations, X=X)
                shifted.append(answer_situations(moved, beta, weights, "probabilities"))
            up, down = (a.probabilities[first : first + J] for a in shifted)
            np.testing.assert_allclose(square[:, k], (up - down) / 2e-5, atol=1e-9)


def test_large_utilities() -> None:
    situations, beta, weights = asked(SHAPES["ragged"], scale=2000.0)
    expected = plain(situations, beta, weights)
    for question in ("probabilities", "removals"):
        found = answer_situations(situations, beta, weights, question)
        np.testing.assert_allclose(
            value_of(found, question), expected[question], rtol=1e-9, atol=1e-100
        )


def test_what_is_nearly_certain_keeps_its_digits() -> None:
    """Own slopes and gains of what all but e^-40 choose have relative digits."""
    situations = Situations(
        X=np.array([[0.0], [40.0], [1.0]]),
        situation_offsets=np.array([0, 3]),
        person_offsets=np.array([0, 1]),
        slopes=np.ones((3, 1)),
    )
    one, all_of = np.ones((1, 1, 1)), np.ones((1, 1))
    by = answer_situations(situations, one, all_of, "slopes").pairs.reshape(3, 3)
    others = np.exp(-40.0) + np.exp(-39.0)
    np.testing.assert_allclose(by[1, 1], others, rtol=1e-13)
    gains = answer_situations(situations, one, all_of, "removals").pairs.reshape(3, 3)
    left = np.exp([0.0, 1.0]) / (1 + np.e)
    np.testing.assert_allclose(gains[1, [0, 2]], left, rtol=1e-13)
    far = replace(situations, X=np.array([[0.0], [900.0], [1.0]]))
    gains = answer_situations(far, one, all_of, "removals").pairs.reshape(3, 3)
    np.testing.assert_allclose(gains[1, [0, 2]], left, rtol=1e-13)


def test_shared_draws_are_everybodys() -> None:
    situations, beta, weights = asked(SHAPES["ragged"])
    shared = answer_situations(situations, beta[:1], weights[:1], "slopes")
    people = answer_situations(
        situations, np.tile(beta[:1], (9, 1, 1)), np.tile(weights[:1], (9, 1)), "slopes"
    )
    np.testing.assert_array_equal(shared.pairs, people.pairs)
    np.testing.assert_array_equal(shared.probabilities, people.probabilities)


def test_surplus_needs_money_to_be_worth_something() -> None:
    situations, beta, weights = asked(SHAPES["pairs"])
    situations = replace(
        situations, slopes=np.tile([1.0, 0.0, 0.0], (len(situations.X), 1))
    )
    beta[:, :, 0] = -np.abs(beta[:, :, 0])
    beta[3, 7, 0] *= -1
    found = answer_situations(situations, beta, weights, "surpluses").surpluses
    assert np.flatnonzero(np.isnan(found)).tolist() == [3]
    weights[3, 7] = 0.0
    found = answer_situations(situations, beta, weights, "surpluses").surpluses
    assert np.isfinite(found).all()


@pytest.mark.parametrize("value", [np.inf, np.nan, -np.inf, 1e300])
def test_no_numbers_are_told(value: float) -> None:
    situations, beta, weights = asked({**SHAPES["ragged"], "situations": (1, 4)})
    beta[2, 11, 1] = value
    for question in ("slopes", "surpluses"):
        found = answer_situations(situations, beta, weights, question)
        own = np.zeros(9, bool)
        own[2] = True
        of_situations = np.repeat(own, np.diff(situations.person_offsets))
        of_rows = np.repeat(of_situations, situations.sizes)
        np.testing.assert_array_equal(np.isnan(found.probabilities), of_rows)
        if question == "slopes":
            of_pairs = np.repeat(of_rows, np.repeat(situations.sizes, situations.sizes))
            np.testing.assert_array_equal(np.isnan(found.pairs), of_pairs)
        else:
            assert np.isnan(found.surpluses[of_situations]).all()


def test_nobody_is_asked() -> None:
    nothing = Situations(
        X=np.empty((0, K)),
        situation_offsets=np.zeros(1, np.int64),
        person_offsets=np.zeros(3, np.int64),
        slopes=np.empty((0, K)),
    )
    found = answer_situations(
        nothing, np.ones((1, 2, K)), np.ones((1, 2)) / 2, "slopes"
    )
    assert found.probabilities.size == found.pairs.size == 0
