"""Simulated scores without bias: inverses of probabilities, and posterior weights.

What must hold:

1. 1/P̂ is the sum of the formula, and its mean over what is drawn is 1/P.
2. Posterior weights are those of plain sweeps; their means come to be the posterior's.
3. Sums are of weighted people.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.choice_records import ChoiceBlock
from blpdask.kernels.choices import choice_probabilities
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.moments.choice_scores import (
    TRIALS,
    RouletteBlock,
    ScoreState,
    chances_pass,
    inverse_probabilities,
    posterior_weights,
    roulette_pass,
    sweeps_pass,
)
from blpdask.partitions.source import HeldBlocks
from blpdask.problem.choice_trials import LEAST_CHANCE, make_roulettes, make_sweeps
from blpdask.records import Floats
from tests.kernels.plain_choices import draw_people
from tests.kernels.test_choices import mixture

MIXED = mixture(("normal", "fixed"), False)
THETA = np.array([0.3, -0.7, 1.5])
STATE = ScoreState(mixed_tastes(MIXED, THETA), "numpy")


def people(n: int = 6, R: int = 20, seed: int = 1, T: int = 1) -> ChoiceBlock:
    return draw_people(n, 2, 1, R, seed=seed, situations=(T, T), alternatives=(2, 5))


def roulettes(
    block: ChoiceBlock, n: int = 3, seed: int = 0, *, accept_reject: bool = False
) -> RouletteBlock:
    chances = chances_pass(block, STATE, None)[0].P
    made = make_roulettes(
        HeldBlocks([block]),
        ("normal",),
        chances,
        roulettes=n,
        seed=seed,
        accept_reject=accept_reject,
    )
    found: RouletteBlock = made.load(0)
    return found


def probabilities(block: ChoiceBlock) -> Floats:
    found = choice_probabilities(
        block, STATE.tastes, backend="numpy", derivatives=False, by_draw=True
    )
    return np.exp(found.draw_logs)


@pytest.mark.parametrize("accept_reject", [False, True])
def test_inverses_are_sums_of_products_of_trials(accept_reject: bool) -> None:
    block = people()
    made = roulettes(block, accept_reject=accept_reject)
    found = inverse_probabilities(made, STATE)
    p = probabilities(made.trials).ravel()
    quits = np.clip(chances_pass(block, STATE, None)[0].P / 2, LEAST_CHANCE, 0.5)
    expected = np.ones(6)
    stops = np.append(made.starts[1:], made.trial_places.size)
    for first, stop, i in zip(made.starts, stops, made.people, strict=True):
        product = 1.0
        for k, trial in enumerate(range(first, stop), start=1):
            own = p[made.trial_places[trial]]
            if accept_reject:
                product *= float(made.uniforms[trial] > own)
            else:
                product *= 1.0 - own
            expected[i] += product / (1.0 - quits[i]) ** k / 3
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    owners = np.repeat(np.arange(made.trials.n_people), TRIALS)[made.trial_places]
    rows = np.diff(block.situation_offsets)
    sizes = np.diff(made.trials.situation_offsets)
    for trial, i in zip(
        owners, np.repeat(made.people, stops - made.starts), strict=True
    ):
        assert sizes[trial] == rows[i]
        s0, s1 = made.trials.situation_offsets[trial], block.situation_offsets[i]
        chosen = block.X[block.chosen[i]]
        np.testing.assert_array_equal(made.trials.X[s0], block.X[s1])
        np.testing.assert_array_equal(made.trials.X[made.trials.chosen[trial]], chosen)


@pytest.mark.parametrize("accept_reject", [False, True])
def test_inverses_have_no_bias(accept_reject: bool) -> None:
    block = people(3, 5000)
    P = probabilities(block).mean(axis=1)
    found = np.array(
        [
            inverse_probabilities(
                roulettes(block, 200, seed, accept_reject=accept_reject), STATE
            )
            for seed in range(40)
        ]
    )
    error = found.std(axis=0, ddof=1) / np.sqrt(40)
    exact = choice_probabilities(
        replace(block, draws=np.random.default_rng(9).normal(size=(3, 200_000, 1))),
        STATE.tastes,
        backend="numba",
        derivatives=False,
    )
    np.testing.assert_allclose(np.exp(exact.logs), P, rtol=0.05)
    assert (np.abs(found.mean(axis=0) * np.exp(exact.logs) - 1.0) < 0.02).all()
    assert (np.abs(found.mean(axis=0) - np.exp(-exact.logs)) < 4.5 * error).all()


def test_scores_of_people_who_choose_once() -> None:
    block = people()
    made = roulettes(block)
    sums, _ = roulette_pass(made, STATE, None)
    own = choice_probabilities(block, STATE.tastes, backend="numpy")
    slopes = np.exp(own.logs)[:, None] * own.scores
    expected = (
        block.weights[:, None] * slopes * inverse_probabilities(made, STATE)[:, None]
    )
    np.testing.assert_allclose(sums.by_person, expected, rtol=1e-12)
    np.testing.assert_allclose(sums.moments, expected.sum(axis=0), rtol=1e-12)
    assert (sums.people, sums.nonfinite) == (6, 0)


def plain_sweeps(logs: Floats, uniforms: Floats) -> Floats:
    """Weigh draws of one person, ``(S R,)``, sweep by sweep."""
    S, p = uniforms.size, np.exp(logs)
    R = p.size // S
    weights, kept = np.zeros(p.size), None
    for s in range(S):
        fresh = list(range(s * R, (s + 1) * R))
        places = fresh if kept is None else [kept, *fresh]
        total = sum(p[place] for place in places)
        if s >= S // 2:
            for place in places:
                weights[place] += p[place] / total / (S - S // 2)
        left = uniforms[s] * total
        for place in places:
            kept = place
            left -= p[place]
            if left <= 0:
                break
    return weights


@pytest.mark.parametrize(("S", "R"), [(1, 7), (2, 3), (5, 1), (6, 4)])
def test_posterior_weights_are_those_of_sweeps(S: int, R: int) -> None:
    rng = np.random.default_rng(S)
    logs, uniforms = rng.normal(scale=3.0, size=(9, S * R)), rng.random((9, S))
    found = posterior_weights(logs - 900.0, uniforms)
    expected = [plain_sweeps(*own) for own in zip(logs, uniforms, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)


def test_sweeps_come_closer_to_the_posterior_than_one_average() -> None:
    rng = np.random.default_rng(0)
    n, R = 20_000, 5
    exact = 1.5 / 2  # of z with prior N(0, 1) and p = e^{-(1.5 - z)² / 2}
    off = {}
    for S in (1, 2, 8):
        z = rng.normal(size=(n, S * R))
        weights = posterior_weights(-0.5 * (1.5 - z) ** 2, rng.random((n, S)))
        means = (weights * z).sum(axis=1)
        off[S] = means.mean() - exact, means.std() / np.sqrt(n)
    assert abs(off[1][0]) > 20 * off[1][1]
    assert abs(off[2][0]) < 0.5 * abs(off[1][0])
    assert abs(off[8][0]) < 4 * off[8][1]


def test_scores_of_panels_are_weighted_by_the_posterior() -> None:
    block = people(T=4)
    made = make_sweeps(HeldBlocks([block]), ("normal",), size=20, sweeps=4, seed=3)
    held = made.load(0)
    assert held.choices.draws.shape == (6, 80, 1) and held.uniforms.shape == (6, 4)
    sums, _ = sweeps_pass(held, STATE, None)
    logs = np.log(probabilities(held.choices))
    weights = posterior_weights(logs, held.uniforms)
    expected = np.zeros((6, 3))
    for r in range(80):
        one = replace(held.choices, draws=held.choices.draws[:, r : r + 1])
        scores = choice_probabilities(one, STATE.tastes, backend="numpy").scores
        expected += weights[:, r : r + 1] * scores
    np.testing.assert_allclose(
        sums.by_person, block.weights[:, None] * expected, rtol=1e-10, atol=1e-12
    )
