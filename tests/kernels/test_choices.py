"""Probabilities of what people chose, and derivatives, against plain formulas.

What must hold, for loops and arrays alike:

1. log P_i is that of the formulas, for every kind of coefficient, correlated or not,
   whatever the numbers of draws, situations and alternatives.
2. Derivatives are central differences of it.
3. Without variance it is the logit's; of utilities of any size it is finite; and what
   is not finite is not hidden.
4. A person's numbers do not depend on who else is in the block, nor on the order.
5. Memory does not grow with draws.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blpdask.choice_records import KINDS, ChoiceBlock, MixedCoefficients, MixedTastes
from blpdask.errors import InputError
from blpdask.kernels import loop_choices
from blpdask.kernels.array_choices import ArrayChoices, pad_people
from blpdask.kernels.choices import choice_probabilities as person_likelihoods
from blpdask.kernels.loop_kept import fingerprint_of_loops
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.records import Floats
from tests.kernels.plain_choices import (
    draw_people,
    plain_draw_logs,
    plain_log_probabilities,
)
from tests.kernels.strict_device import StrictDevice

BACKENDS = ("numba", "numpy")
#: One of each kind, and two orders of kinds with more than three columns.
MIXTURES = [
    *((kind, kind) for kind in KINDS if kind != "fixed"),
    ("normal", "fixed", "lognormal", "johnson", "censored"),
    ("fixed", "triangular", "uniform", "normal", "fixed", "normal", "lognormal"),
]
LABELS = ("a", "b", "c", "d")
#: Shifted means, groups of correlations, and both kinds of scale.
STRUCTURES = [
    MixedCoefficients(
        LABELS,
        ("normal", "component", "truncated", "lognormal"),
        correlated=((0, 1), (3,)),
        demographics=("income", "age"),
        shifted=((0, 0), (2, 1), (3, 0)),
    ),
    MixedCoefficients(
        LABELS, ("fixed", "normal", "lognormal", "truncated"), True, scale="c"
    ),
    MixedCoefficients(LABELS, ("fixed", "normal", "normal", "fixed"), scale="a"),
    MixedCoefficients(
        LABELS,
        ("truncated", "normal", "fixed", "exponential"),
        demographics=("income",),
        shifted=((0, 0), (1, 0)),
        scale="scale",
    ),
]


def choice_probabilities(*arguments: Any, **options: Any) -> tuple[Floats, Floats]:
    found = person_likelihoods(*arguments, **options)
    return found.logs, found.scores


def mixture(kinds: tuple[str, ...], correlated: bool) -> MixedCoefficients:
    labels = tuple(f"x{k}" for k in range(len(kinds)))
    return MixedCoefficients(labels, kinds, correlated)


def some_theta(mixed: MixedCoefficients, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(scale=0.7, size=mixed.size)


def people_of(mixed: MixedCoefficients, R: int, n_people: int = 7) -> ChoiceBlock:
    return draw_people(n_people, len(mixed.labels), mixed.random.size, R)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("kinds", MIXTURES, ids="-".join)
def test_probabilities_and_derivatives_are_those_of_formulas(
    kinds: tuple[str, ...], correlated: bool, backend: str
) -> None:
    mixed = mixture(kinds, correlated)
    block, theta = people_of(mixed, R=45), some_theta(mixed)
    tastes = mixed_tastes(mixed, theta)
    logs, scores = choice_probabilities(block, tastes, backend=backend)
    plain = plain_log_probabilities(block, mixed, theta)
    np.testing.assert_allclose(logs, plain, rtol=1e-12, atol=1e-13)
    assert scores.shape == (block.n_people, mixed.size)
    for p in range(theta.size):
        shift = np.zeros_like(theta)
        shift[p] = 1e-5
        up = plain_log_probabilities(block, mixed, theta + shift)
        down = plain_log_probabilities(block, mixed, theta - shift)
        slope = (up - down) / 2e-5
        np.testing.assert_allclose(scores[:, p], slope, rtol=2e-7, atol=2e-8)
    alone, none = choice_probabilities(
        block, tastes, backend=backend, derivatives=False
    )
    assert none.shape == (block.n_people, 0)
    np.testing.assert_array_equal(alone, logs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("case", range(len(STRUCTURES)))
def test_structures_of_coefficients(case: int, shared: bool, backend: str) -> None:
    mixed, rng = STRUCTURES[case], np.random.default_rng(case)
    M, D = len(mixed.demographics), mixed.random.size
    block = draw_people(6, 4, D, 40, seed=case, M=M)
    log_weights = rng.normal(size=(6, 40))
    n = 1 if shared else 6
    block = replace(block, draws=block.draws[:n], log_weights=log_weights[:n])
    theta = some_theta(mixed, 5)
    found = person_likelihoods(
        block, mixed_tastes(mixed, theta), backend=backend, squares=True, by_draw=True
    )

    def plain(at: Floats) -> tuple[Floats, Floats]:
        logs = np.array(plain_draw_logs(block, mixed, at))
        summed = np.log(np.exp(logs).sum(axis=1))
        return summed - np.log(40), np.log(np.exp(2 * logs).sum(axis=1)) - 2 * summed

    logs, concentrations = plain(theta)
    np.testing.assert_allclose(found.logs, logs, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(np.log(found.concentrations), concentrations, atol=1e-12)
    expected = plain_draw_logs(block, mixed, theta)
    np.testing.assert_allclose(found.draw_logs, expected, rtol=1e-12, atol=1e-12)
    c = found.concentrations
    for p in range(theta.size):
        shift = np.zeros_like(theta)
        shift[p] = 1e-5
        up, down = plain(theta + shift), plain(theta - shift)
        slopes = [(one - other) / 2e-5 for one, other in zip(up, down, strict=True)]
        np.testing.assert_allclose(found.scores[:, p], slopes[0], rtol=2e-7, atol=2e-8)
        by_c = 2.0 * (found.squared_scores[:, p] / c - found.scores[:, p])
        np.testing.assert_allclose(by_c, slopes[1], rtol=2e-7, atol=3e-8)


@pytest.mark.parametrize("R", [1, 31, 32, 33, 128, 300])
def test_loops_and_arrays_agree(R: int) -> None:
    mixed = mixture(("normal", "lognormal", "fixed", "johnson"), True)
    block, tastes = people_of(mixed, R, 40), mixed_tastes(mixed, some_theta(mixed))
    loops = choice_probabilities(block, tastes, backend="numba")
    arrays = choice_probabilities(block, tastes, backend="numpy")
    for one, other in zip(loops, arrays, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_a_device_computes_the_same_bits_and_is_seldom_waited_for() -> None:
    mixed = mixture(("normal", "lognormal", "fixed", "johnson", "censored"), True)
    block, tastes = people_of(mixed, 150, 30), mixed_tastes(mixed, some_theta(mixed))
    device = StrictDevice()
    found = ArrayChoices(device).choice_probabilities(  # type: ignore[arg-type]
        block, tastes, derivatives=True, squares=False, by_draw=False
    )
    expected = choice_probabilities(block, tastes, backend="numpy")
    for one, other in zip((found.logs, found.scores), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)
    assert device.transfers == 3 * len(pad_people(block, np))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("situations", "alternatives"),
    [((90, 120), (2, 4)), ((1, 2), (150, 300)), ((1, 3), (1, 1)), ((1, 1), (2, 2))],
)
def test_panels_of_any_shape(
    situations: tuple[int, int], alternatives: tuple[int, int], backend: str
) -> None:
    mixed = mixture(("normal", "fixed", "normal"), True)
    block = draw_people(
        4, 3, 2, 40, situations=situations, alternatives=alternatives, seed=5
    )
    theta = some_theta(mixed)
    logs, scores = choice_probabilities(
        block, mixed_tastes(mixed, theta), backend=backend
    )
    plain = plain_log_probabilities(block, mixed, theta)
    np.testing.assert_allclose(logs, plain, rtol=1e-12, atol=1e-12)
    assert np.isfinite(scores).all()
    if alternatives == (1, 1):
        np.testing.assert_array_equal(logs, 0.0)
        np.testing.assert_array_equal(scores, 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_variance_it_is_the_logit(backend: str) -> None:
    mixed = mixture(("normal", "normal", "fixed"), False)
    block = people_of(mixed, 70, 20)
    b = np.array([0.5, -1.0, 2.0])
    tastes = mixed_tastes(mixed, np.concatenate([b, np.zeros(2)]))
    logs, scores = choice_probabilities(block, tastes, backend=backend)
    fixed = mixture(("fixed",) * 3, False)
    one = replace(block, draws=np.empty((20, 1, 0)))
    logit, slopes = choice_probabilities(one, mixed_tastes(fixed, b), backend=backend)
    expected = np.zeros((20, 3))
    for i in range(20):
        for t in range(block.person_offsets[i], block.person_offsets[i + 1]):
            rows = slice(block.situation_offsets[t], block.situation_offsets[t + 1])
            odds = np.exp(block.X[rows] @ b)
            mean = odds @ block.X[rows] / odds.sum()
            expected[i] += block.X[block.chosen[t]] - mean
    np.testing.assert_allclose(logs, logit, rtol=1e-13)
    np.testing.assert_allclose(scores[:, :3], expected, atol=1e-13)
    np.testing.assert_allclose(slopes, expected, atol=1e-13)
    spread = expected[:, :2] * block.draws.mean(axis=1)
    np.testing.assert_allclose(scores[:, 3:], spread, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [700.0, 5000.0])
def test_large_utilities_stay_finite(scale: float, backend: str) -> None:
    mixed = mixture(("normal", "normal"), False)
    block = draw_people(30, 2, 2, 50, scale=scale, situations=(1, 12))
    theta = np.array([1.0, -1.0, 0.3, 0.2])
    logs, scores = choice_probabilities(
        block, mixed_tastes(mixed, theta), backend=backend
    )
    plain = plain_log_probabilities(block, mixed, theta)
    assert np.abs(plain).max() > scale
    np.testing.assert_allclose(logs, plain, rtol=1e-12, atol=1e-12)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_small_probabilities_of_long_panels_keep_their_digits(backend: str) -> None:
    mixed = mixture(("normal",), False)
    block = draw_people(2, 1, 1, 64, scale=60.0, situations=(400, 500))
    theta = np.array([1.0, 0.5])
    logs, _ = choice_probabilities(block, mixed_tastes(mixed, theta), backend=backend)
    plain = plain_log_probabilities(block, mixed, theta)
    assert plain.max() < -2000.0
    np.testing.assert_allclose(logs, plain, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("person", [0, 4])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_hidden(
    bad: float, person: int, backend: str
) -> None:
    mixed = mixture(("normal", "lognormal"), False)
    block = draw_people(9, 2, 2, 40, alternatives=(2, 4))
    X = block.X.copy()
    first = block.situation_offsets[block.person_offsets[person]]
    X[first, 0] = bad
    tastes = mixed_tastes(mixed, np.array([0.5, 0.1, 0.2, 0.3]))
    logs, scores = choice_probabilities(replace(block, X=X), tastes, backend=backend)
    fine, slopes = choice_probabilities(block, tastes, backend=backend)
    others = np.arange(9) != person
    assert not np.isfinite(scores[person]).all() or not np.isfinite(logs[person])
    np.testing.assert_allclose(logs[others], fine[others], rtol=1e-14)
    np.testing.assert_allclose(scores[others], slopes[others], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_coefficients_beyond_range_are_told(backend: str) -> None:
    mixed = mixture(("lognormal",), False)
    block = draw_people(9, 1, 1, 40, alternatives=(2, 4))
    tastes = mixed_tastes(mixed, np.array([710.0, 0.1]))
    logs, scores = choice_probabilities(block, tastes, backend=backend)
    assert not (np.isfinite(logs) & np.isfinite(scores).all(axis=1)).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_person_does_not_depend_on_the_others(backend: str) -> None:
    mixed = mixture(("normal", "lognormal", "fixed"), True)
    block, tastes = people_of(mixed, 77, 12), mixed_tastes(mixed, some_theta(mixed))
    logs, scores = choice_probabilities(block, tastes, backend=backend)
    order = np.random.default_rng(3).permutation(12)
    moved = take_people(block, order)
    again, slopes = choice_probabilities(moved, tastes, backend=backend)
    np.testing.assert_allclose(again, logs[order], rtol=1e-13)
    np.testing.assert_allclose(slopes, scores[order], rtol=1e-11, atol=1e-12)
    if backend == "numba":
        np.testing.assert_array_equal(again, logs[order])
        np.testing.assert_array_equal(slopes, scores[order])


def take_people(block: ChoiceBlock, order: Floats) -> ChoiceBlock:
    """Give a block of some people, in an order."""
    rows, chosen, J, T = [], [], [], []
    place = 0
    for i in order:
        T.append(block.person_offsets[i + 1] - block.person_offsets[i])
        for t in range(block.person_offsets[i], block.person_offsets[i + 1]):
            first, stop = block.situation_offsets[t : t + 2]
            rows.append(np.arange(first, stop))
            chosen.append(place + block.chosen[t] - first)
            J.append(stop - first)
            place += stop - first
    return ChoiceBlock(
        X=block.X[np.concatenate(rows)],
        chosen=np.array(chosen),
        situation_offsets=np.concatenate([[0], np.cumsum(J)]),
        person_offsets=np.concatenate([[0], np.cumsum(T)]),
        weights=block.weights[order],
        draws=block.draws[order],
    )


def test_loops_are_compiled_once_for_arrays_of_any_layout() -> None:
    mixed = mixture(("normal", "fixed", "lognormal"), True)
    block, tastes = people_of(mixed, 40, 9), mixed_tastes(mixed, some_theta(mixed))
    expected = choice_probabilities(block, tastes, backend="numba")
    loop = loop_choices._compiled_choices(fingerprint_of_loops())
    compiled = len(loop.compiled.overloads)
    held = replace(block, X=np.asfortranarray(block.X), draws=block.draws[:, ::-1])
    for array in (held.X, held.chosen, held.situation_offsets, held.draws):
        array.setflags(write=False)
    found = choice_probabilities(held, tastes, backend="numba")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
    assert len(loop.compiled.overloads) == compiled


def test_arrays_hold_few_draws_at_a_time() -> None:
    mixed = mixture(("normal",) * 4, False)
    tastes = mixed_tastes(mixed, some_theta(mixed))
    peaks = []
    for R in (256, 2048):
        block = draw_people(20, 4, 4, R, situations=(12, 12), alternatives=(4, 4))
        choice_probabilities(block, tastes, backend="numpy")
        tracemalloc.start()
        choice_probabilities(block, tastes, backend="numpy")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_columns_that_do_not_fit_are_named(backend: str) -> None:
    block = draw_people(3, 2, 1, 5)
    one, places = np.ones(3), np.zeros(1, np.int64)
    tastes = MixedTastes(one, np.ones((3, 2)), np.zeros(3, np.int64), places, places)
    with pytest.raises(InputError, match="2 columns of characteristics") as caught:
        choice_probabilities(block, tastes, backend=backend)
    assert len(caught.value.faults) == 2
