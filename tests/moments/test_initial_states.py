"""First states in a likelihood beside a plain recursion, differences, known limits.

What must hold:

1. Log-probabilities are log means over draws of the chance of the first state, by a
   recursion one situation and state after another, times that of the choices.
2. Scores, the bias taken away or not, are central differences of them, whatever the
   kinds, scales, demographics and weights of draws.
3. Chances of states are sums over all sequences of choices, and go to the stationary
   distribution of a chain whose situations do not change.
4. Where nothing depends on the state, first states of certainty change nothing.
"""

from __future__ import annotations

import math
import pickle
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest

from blpdask.choice_records import ChoiceBlock, MixedCoefficients
from blpdask.model import choice_states
from blpdask.model.choice_states import ChoicePaths, pad_paths, walk_states
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.moments.choices import LikelihoodState, LikelihoodSums, likelihood_pass
from blpdask.moments.initial_states import (
    InitialBlock,
    first_states,
    initial_states_pass,
)
from blpdask.records import Floats
from tests.kernels.plain_choices import (
    draw_people,
    log_sum,
    plain_coefficients,
    plain_draw_logs,
)

PLAIN = MixedCoefficients(("a", "b", "lag"), ("normal", "fixed", "normal"))
MODELS = [
    PLAIN,
    MixedCoefficients(
        ("a", "b", "lag"),
        ("lognormal", "truncated", "normal"),
        correlated=True,
        demographics=("d", "e"),
        shifted=((2, 0), (0, 1)),
    ),
    MixedCoefficients(("a", "b", "lag"), ("fixed", "normal", "fixed"), scale="scale"),
    MixedCoefficients(
        ("a", "b", "lag"), ("lognormal", "component", "fixed"), scale="a"
    ),
    MixedCoefficients(("a", "b", "lag"), ("fixed",) * 3),
]


def paths_of(n_people: int, K: int, seed: int, n_states: int = 4) -> ChoicePaths:
    """Draw situations that people visit in any order, some more than once."""
    rng = np.random.default_rng([5, seed])
    T = rng.integers(1, 5, n_people)
    J = rng.integers(1, 5, T.sum())
    offsets = np.concatenate([[0], np.cumsum(J)])
    firsts = np.cumsum(T) - T
    visits = [
        first + rng.integers(0, t, rng.integers(1, 7))
        for first, t in zip(firsts, T, strict=True)
    ]
    lifts = np.zeros((J.sum(), K))
    lifts[:, -1] = 1.0
    lifts[:, 0] = rng.normal(size=J.sum())
    lifts *= rng.uniform(size=(J.sum(), 1)) < 0.9
    return ChoicePaths(
        X=rng.normal(size=(J.sum(), K)),
        lifts=lifts,
        states=rng.integers(0, n_states, J.sum()),
        situation_offsets=offsets,
        visits=np.concatenate(visits),
        visit_offsets=np.concatenate([[0], np.cumsum([v.size for v in visits])]),
        initial=rng.integers(0, n_states, n_people),
        n_states=n_states,
    )


def block_of(mixed: MixedCoefficients, seed: int = 0, R: int = 7) -> InitialBlock:
    D = mixed.random.size
    M = len(mixed.demographics)
    block = draw_people(9, 3, D, R, seed=seed, alternatives=(2, 4), M=M)
    rng = np.random.default_rng([6, seed])
    paths = paths_of(9, 3, seed)
    steps = [plain_chances(paths, i, rng.normal(size=3))[-1] for i in range(9)]
    observed = [rng.choice(np.flatnonzero(chances > 1e-3)) for chances in steps]
    own = {field.name: getattr(block, field.name) for field in fields(ChoiceBlock)}
    return InitialBlock(**own, before=paths, observed=np.array(observed))


def plain_chances(paths: ChoicePaths, i: int, beta: Floats) -> list[Floats]:
    """Move the chances of one person's states, one state and alternative at a time."""
    chances = np.zeros(paths.n_states)
    chances[paths.initial[i]] = 1.0
    found = [chances]
    for v in paths.visits[paths.visit_offsets[i] : paths.visit_offsets[i + 1]]:
        rows = range(paths.situation_offsets[v], paths.situation_offsets[v + 1])
        moved = np.zeros(paths.n_states)
        for s in range(paths.n_states):
            V = []
            for n in rows:
                x = paths.X[n].copy()
                if s > 0 and paths.states[n] == s:
                    x += paths.lifts[n]
                V.append(x @ beta)
            total = log_sum(V)
            for n, value in zip(rows, V, strict=True):
                moved[paths.states[n]] += found[-1][s] * math.exp(value - total)
        found.append(moved)
    return found


def plain_log_likelihoods(
    block: InitialBlock, mixed: MixedCoefficients, theta: Floats
) -> Floats:
    """Compute log P_i, ``(I,)``."""
    logs = plain_draw_logs(block, mixed, theta)
    for i, own in enumerate(logs):
        d = block.demographics[i] if len(block.demographics) else np.empty(0)
        for r in range(len(own)):
            z = block.draws[i % len(block.draws)][r]
            beta = plain_coefficients(mixed, theta, z, d)
            own[r] += math.log(
                plain_chances(block.before, i, beta)[-1][block.observed[i]]
            )
    return np.array([log_sum(own) - math.log(len(own)) for own in logs])


def some_theta(mixed: MixedCoefficients) -> Floats:
    return np.random.default_rng(3).uniform(0.3, 0.9, mixed.size)


def sums_at(
    block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats, **options: object
) -> LikelihoodSums:
    chosen = {"backend": "numba", "by_person": True, **options}
    state = LikelihoodState(mixed_tastes(mixed, theta), **chosen)  # type: ignore[arg-type]
    return initial_states_pass(block, state, None)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("mixed", MODELS)
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_likelihoods_are_those_of_a_plain_recursion(
    mixed: MixedCoefficients, backend: str
) -> None:
    block, theta = block_of(mixed), some_theta(mixed)
    if mixed is PLAIN:
        rng = np.random.default_rng(1)
        block = replace(
            block, draws=block.draws[:1], log_weights=rng.normal(size=(1, 7))
        )
    expected = plain_log_likelihoods(block, mixed, theta)
    found = sums_at(block, mixed, theta, backend=backend)
    assert found.log_likelihood == pytest.approx(block.weights @ expected, rel=1e-12)
    alone = sums_at(block, mixed, theta, backend=backend, derivatives=False)
    assert alone.log_likelihood == found.log_likelihood
    assert alone.score.size == 0


@pytest.mark.parametrize("mixed", MODELS)
@pytest.mark.parametrize("corrected", [False, True])
def test_scores_are_differences(mixed: MixedCoefficients, corrected: bool) -> None:
    block, theta = block_of(mixed, seed=1), some_theta(mixed)
    found = sums_at(block, mixed, theta, corrected=corrected)
    for p, shift in enumerate(1e-5 * np.eye(theta.size)):
        ends = [
            sums_at(block, mixed, theta + sign * shift, corrected=corrected)
            for sign in (1, -1)
        ]
        slope = (ends[0].log_likelihood - ends[1].log_likelihood) / 2e-5
        assert found.score[p] == pytest.approx(slope, rel=2e-7, abs=1e-8)
    np.testing.assert_allclose(found.scores.sum(axis=0), found.score, rtol=1e-10)


def test_chances_are_sums_over_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = paths_of(6, 3, 8)
    rng = np.random.default_rng(0)
    betas = rng.normal(size=(6, 3, 3))
    for held in (2**25, 1):  # all people together, and one by one
        monkeypatch.setattr(choice_states, "HELD_BYTES", held)
        for padded in pad_paths(paths, 3):
            visits = list(walk_states(padded, betas[padded.people]))
            for b, i in enumerate(padded.people):
                n = int(padded.real[b].sum())
                for r in range(3):
                    last = visits[n - 1].after[b, :, r]
                    np.testing.assert_allclose(
                        last, by_sequences(paths, i, betas[i, r]), rtol=1e-12
                    )
                    np.testing.assert_array_equal(visits[-1].after[b, :, r], last)


def by_sequences(paths: ChoicePaths, i: int, beta: Floats) -> Floats:
    """Sum products of logits over all sequences of choices, by last states."""
    visits = paths.visits[paths.visit_offsets[i] : paths.visit_offsets[i + 1]]
    sets = [
        range(paths.situation_offsets[v], paths.situation_offsets[v + 1])
        for v in visits
    ]
    found = np.zeros(paths.n_states)
    for path in product(*sets):
        state, chance = paths.initial[i], 1.0
        for rows, n in zip(sets, path, strict=True):
            own = (paths.states[rows.start : rows.stop] == state) & (state > 0)
            X = (
                paths.X[rows.start : rows.stop]
                + own[:, None] * (paths.lifts[rows.start : rows.stop])
            )
            odds = np.exp(X @ beta)
            chance *= odds[n - rows.start] / odds.sum()
            state = paths.states[n]
        found[state] += chance
    return found


def test_long_paths_end_in_the_stationary_distribution() -> None:
    X, lag = np.array([[0.0, 0.0], [0.4, 0.0], [-0.3, 0.0]]), 1.3
    paths = ChoicePaths(
        X=X,
        lifts=np.array([[0.0, 1.0]] * 3),
        states=np.arange(3),
        situation_offsets=np.array([0, 3]),
        visits=np.zeros(60, np.int64),
        visit_offsets=np.array([0, 60]),
        initial=np.array([2]),
        n_states=3,
    )
    V = X[:, 0] + lag * np.diag([0.0, 1.0, 1.0])
    P = np.exp(V) / np.exp(V).sum(axis=1, keepdims=True)
    values, vectors = np.linalg.eig(P.T)
    stationary = np.real(vectors[:, values.real.argmax()])
    (padded,) = pad_paths(paths, 1)
    *_, last = walk_states(padded, np.array([[[1.0, lag]]]))
    np.testing.assert_allclose(
        last.after[0, :, 0], stationary / stationary.sum(), rtol=1e-12
    )


def test_certain_first_states_change_nothing() -> None:
    block, theta = block_of(PLAIN), some_theta(PLAIN)
    n = block.n_people
    certain = replace(
        block,
        before=ChoicePaths(
            X=np.zeros((1, 3)),
            lifts=np.zeros((1, 3)),
            states=np.array([2]),
            situation_offsets=np.array([0, 1]),
            visits=np.zeros(n, np.int64),
            visit_offsets=np.arange(n + 1),
            initial=np.zeros(n, np.int64),
            n_states=4,
        ),
        observed=np.full(n, 2),
    )
    tastes = mixed_tastes(PLAIN, theta)
    found = first_states(certain, tastes, derivatives=True)
    np.testing.assert_array_equal(found.logs, 0.0)
    np.testing.assert_array_equal(found.slopes, 0.0)
    state = LikelihoodState(tastes, "numba", by_person=True)
    ours, theirs = sums_at(certain, PLAIN, theta), likelihood_pass(block, state, None)
    np.testing.assert_allclose(ours.scores, theirs[0].scores, rtol=1e-12)
    assert ours.log_likelihood == pytest.approx(theirs[0].log_likelihood, rel=1e-14)


def test_blocks_travel() -> None:
    block, theta = block_of(PLAIN), some_theta(PLAIN)
    again = pickle.loads(pickle.dumps(block))
    one, other = sums_at(block, PLAIN, theta), sums_at(again, PLAIN, theta)
    np.testing.assert_array_equal(one.scores, other.scores)


def test_first_states_that_cannot_be_are_counted() -> None:
    block, theta = block_of(PLAIN), some_theta(PLAIN)
    paths = replace(block.before, states=np.zeros_like(block.before.states))
    found = sums_at(
        replace(block, before=paths, observed=np.ones(9, np.int64)), PLAIN, theta
    )
    assert found.nonfinite == 9
