"""Standard variates and modes of people's tastes, against differences and searches.

1. z has its kind's distribution, ∂z/∂n is a central difference, u comes back.
2. At a mode the plain log density has no slope, and no other point is higher nearby.
3. Its curvature is the exact Hessian where β is linear in variates, and for all kinds
   what Var_P(x'∂β/∂n) + I is by differences.
4. Far modes are found too, by steps that are halved; what is not finite is told.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from blpdask.choice_records import ChoiceBlock, MixedCoefficients
from blpdask.kernels import array_modes
from blpdask.kernels.array_modes import find_modes
from blpdask.kernels.standard_variates import (
    uniforms_of_variates,
    variate_slopes,
    variates_of_normals,
)
from blpdask.model.mixed_coefficients import drawn_coefficients, mixed_tastes
from blpdask.records import Floats
from tests.kernels.plain_choices import draw_people, plain_draw_logs
from tests.kernels.test_choices import STRUCTURES, some_theta, take_people

KINDS = ("normal", "uniform", "triangular", "exponential")
LABELS = ("a", "b", "c", "d")
CASES = [
    *STRUCTURES,
    MixedCoefficients(LABELS, ("normal",) * 4, True),
    MixedCoefficients(LABELS, ("uniform", "triangular", "johnson", "fixed")),
    MixedCoefficients(LABELS, ("exponential", "lognormal", "fixed", "normal")),
]


def people(mixed: MixedCoefficients, n_people: int = 6) -> ChoiceBlock:
    M, D = len(mixed.demographics), mixed.random.size
    return draw_people(n_people, 4, D, 1, seed=3, M=M, situations=(1, 8))


def heights(
    block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats, n: Floats
) -> Floats:
    """Compute log p_i(n) - n'n / 2 by plain formulas, of n ``(I, D)``."""
    z = variates_of_normals(n, mixed.random_kinds)
    logs = plain_draw_logs(replace(block, draws=z[:, None]), mixed, theta)
    return np.array(logs)[:, 0] - 0.5 * (n * n).sum(axis=1)


def test_variates_have_their_distributions() -> None:
    n = np.linspace(-6, 6, 101)[:, None] + np.zeros(4)
    z = variates_of_normals(n, KINDS)
    step = 1e-6
    up, down = (variates_of_normals(n + s * step, KINDS) for s in (1, -1))
    np.testing.assert_allclose(
        variate_slopes(n, KINDS), (up - down) / (2 * step), rtol=1e-6, atol=1e-9
    )
    u = scipy.stats.norm.cdf(n[:, 0])
    theirs = [
        *(n[:, 0], 2 * u - 1),
        scipy.stats.triang(0.5, -1, 2).ppf(u),
        scipy.stats.expon.isf(scipy.stats.norm.sf(n[:, 0])),
    ]
    np.testing.assert_allclose(z, np.transpose(theirs), rtol=1e-9, atol=1e-9)
    back = uniforms_of_variates(z, KINDS)
    np.testing.assert_allclose(back, u[:, None] + np.zeros(4), rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_modes_are_where_the_plain_density_is_highest(case: int) -> None:
    mixed = CASES[case]
    block, theta = people(mixed), some_theta(mixed, 5)
    tastes = mixed_tastes(mixed, theta)
    modes = find_modes(block, tastes, mixed.random_kinds, backend="numpy")
    assert modes.found.all()
    m, D, h = modes.places, mixed.random.size, 1e-5
    for d in range(D):
        step = h * np.eye(D)[d]
        up, down = (heights(block, mixed, theta, m + s * step) for s in (1, -1))
        np.testing.assert_allclose((up - down) / (2 * h), 0.0, atol=1e-8)
    highest = heights(block, mixed, theta, m)
    assert (highest >= heights(block, mixed, theta, np.zeros_like(m))).all()
    rng = np.random.default_rng(0)
    for _ in range(30):
        near = m + rng.normal(scale=0.05, size=m.shape)
        assert (heights(block, mixed, theta, near) < highest).all()


@pytest.mark.parametrize("case", range(len(CASES)))
def test_curvatures_are_variances_of_utility(case: int) -> None:
    mixed = CASES[case]
    block, theta = people(mixed), some_theta(mixed, 5)
    tastes = mixed_tastes(mixed, theta)
    modes = find_modes(block, tastes, mixed.random_kinds, backend="numba")
    D = mixed.random.size

    def beta(i: int, n: Floats) -> Floats:
        d = block.demographics[i] if len(block.demographics) else None
        z = variates_of_normals(n, mixed.random_kinds)
        return drawn_coefficients(tastes, z, d)

    for i in range(block.n_people):
        m = modes.places[i]
        G = np.array([beta(i, m + s) - beta(i, m - s) for s in 1e-6 * np.eye(D)]).T
        expected = np.eye(D)
        for t in range(block.person_offsets[i], block.person_offsets[i + 1]):
            rows = slice(block.situation_offsets[t], block.situation_offsets[t + 1])
            V = block.X[rows] @ beta(i, m)
            P = np.exp(V - V.max()) / np.exp(V - V.max()).sum()
            moved = block.X[rows] @ G / 2e-6
            moved = moved - P @ moved
            expected = expected + moved.T @ (P[:, None] * moved)
        np.testing.assert_allclose(modes.curvatures[i], expected, rtol=1e-6, atol=1e-7)


def test_curvatures_of_normals_are_exact_hessians() -> None:
    mixed = CASES[4]
    block, theta = people(mixed, 3), some_theta(mixed)
    tastes = mixed_tastes(mixed, theta)
    modes = find_modes(block, tastes, mixed.random_kinds, backend="numpy")
    h = 1e-3 * np.eye(4)
    for p in range(4):
        for q in range(4):
            a, b, c, d = (
                heights(block, mixed, theta, modes.places + s * h[p] + r * h[q])
                for s, r in ((1, 1), (1, -1), (-1, 1), (-1, -1))
            )
            second = (a - b - c + d) / 4e-6
            np.testing.assert_allclose(
                -second, modes.curvatures[:, p, q], rtol=1e-4, atol=1e-5
            )


def test_far_modes_need_shorter_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = MixedCoefficients(("a", "b"), ("lognormal", "normal"), True)
    block = draw_people(40, 2, 2, 1, seed=1, scale=6.0, situations=(8, 14))
    theta = np.array([0.5, 3.0, 2.5, -2.0, 4.0])
    tastes = mixed_tastes(mixed, theta)
    modes = find_modes(block, tastes, mixed.random_kinds, backend="numpy")
    assert modes.found.all()
    start = heights(block, mixed, theta, np.zeros((40, 2)))
    ended = heights(block, mixed, theta, modes.places)
    assert (ended >= start).all() and np.abs(modes.places).max() > 1.0
    monkeypatch.setattr(array_modes, "MAX_HALVINGS", 1)
    whole = find_modes(block, tastes, mixed.random_kinds, backend="numpy")
    assert not whole.found.all()
    np.testing.assert_array_less(
        start - 1e-9, heights(block, mixed, theta, whole.places)
    )
    assert (np.linalg.eigvalsh(whole.curvatures) >= 1 - 1e-9).all()


def test_points_that_are_not_finite_are_told() -> None:
    mixed = MixedCoefficients(("a", "b"), ("lognormal", "normal"))
    block = draw_people(3, 2, 2, 1, situations=(2, 3), alternatives=(2, 3))
    tastes = mixed_tastes(mixed, np.array([800.0, 0.0, 0.1, 0.1]))
    modes = find_modes(block, tastes, mixed.random_kinds, backend="numpy")
    assert not modes.found.any()
    np.testing.assert_array_equal(modes.places, 0.0)
    np.testing.assert_array_equal(
        modes.curvatures, np.broadcast_to(np.eye(2), (3, 2, 2))
    )


def test_a_person_has_the_same_mode_in_any_company() -> None:
    mixed = CASES[2]
    block, theta = people(mixed, 30), some_theta(mixed, 5)
    tastes = mixed_tastes(mixed, theta)
    whole = find_modes(block, tastes, mixed.random_kinds, backend="numpy")
    for i in (0, 7, 29):
        alone = find_modes(
            take_people(block, np.array([i])),
            tastes,
            mixed.random_kinds,
            backend="numpy",
        )
        np.testing.assert_allclose(alone.places[0], whole.places[i], atol=1e-12)
        best = scipy.optimize.minimize(
            lambda n, i=i: (
                -heights(take_people(block, np.array([i])), mixed, theta, n[None])[0]
            ),
            np.zeros(mixed.random.size),
        )
        assert -best.fun <= heights(block, mixed, theta, whole.places)[i] + 1e-9


@pytest.mark.gpu
@pytest.mark.parametrize("case", range(len(CASES)))
def test_a_gpu_finds_the_same_modes(case: int) -> None:
    mixed = CASES[case]
    block, theta = people(mixed, 200), some_theta(mixed, 5)
    tastes = mixed_tastes(mixed, theta)
    here, there = (
        find_modes(block, tastes, mixed.random_kinds, backend=name)
        for name in ("numpy", "cupy")
    )
    np.testing.assert_allclose(there.places, here.places, atol=1e-8)
    np.testing.assert_allclose(there.curvatures, here.curvatures, rtol=1e-7)
