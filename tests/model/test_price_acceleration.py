"""Prices that are tried next, against fixed points with known solutions.

What must hold:

1. A linear map of three dimensions is solved in five evaluations, and a market's
   proposals do not depend on its company.
2. What converges plainly converges, from anywhere, and so do maps whose plain iteration
   goes round in circles or away.
3. Where the proposal is no good, by its size or not a number, the best so far is tried
   again and plain steps follow; where that leads nowhere, plain steps from the start.
4. A fixed point that plain iteration flees is not found.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from blpdask.model.price_acceleration import PATIENCE, TRIALS, Past
from blpdask.records import Floats


def iterate(g: Callable[[Floats], Floats], x: Floats, offsets, n: int = 100):
    """Iterate; give the points, and the evaluations until all residuals are small."""
    past, points = Past(offsets, x), []
    for _ in range(n):
        points.append(x)
        with np.errstate(all="ignore"):
            moved = g(x)
            size = np.maximum.reduceat(np.abs(moved - x), offsets[:-1])
        if (size < 1e-12).all():
            return moved, points
        x = past.propose(x, moved, size)
    raise AssertionError(f"no fixed point: residuals {size}")


def linear(eigenvalues: list[float], seed: int = 0):
    rng = np.random.default_rng(seed)
    n = len(eigenvalues)
    V = rng.normal(size=(n, n)) + 2 * np.eye(n)
    A, b = V @ np.diag(eigenvalues) @ np.linalg.inv(V), rng.normal(size=n)
    return A, b, np.linalg.solve(np.eye(n) - A, b)


@pytest.mark.parametrize(
    "eigenvalues", [[0.9, 0.5, -0.4], [-1.0, 0.3, 0.2], [-1.5, 0.8, 0.1]], ids=str
)
def test_a_linear_map_is_solved(eigenvalues):
    A, b, solution = linear(eigenvalues)
    found, points = iterate(lambda x: A @ x + b, np.zeros(3), np.array([0, 3]))
    np.testing.assert_allclose(found, solution, rtol=1e-9, atol=1e-10)
    if max(map(abs, eigenvalues)) < 1:
        assert len(points) <= 8


def test_company_does_not_matter():
    A, b, _ = linear([0.9, 0.5, -0.4])
    B, c, _ = linear([0.2, -0.7], seed=1)

    def both(x):
        return np.concatenate([A @ x[:3] + b, B @ x[3:] + c])

    _, alone = iterate(lambda x: A @ x + b, np.zeros(3), np.array([0, 3]))
    found, points = iterate(both, np.zeros(5), np.array([0, 3, 5]))
    for one, two in zip(alone, points, strict=False):
        np.testing.assert_array_equal(two[:3], one)
    np.testing.assert_allclose(B @ found[3:] + c, found[3:], atol=1e-11)


@pytest.mark.parametrize("start", [-5.0, 0.1, 3.0, 40.0])
def test_what_converges_plainly_converges(start):
    offsets = np.array([0, 1, 2])

    def g(x):  # slow and curved; a contraction
        return np.array([x[0] - 0.9 * np.tanh(x[0] - 1), np.cos(x[1])])

    found, _ = iterate(g, np.array([start, start]), offsets)
    np.testing.assert_allclose(found, [1.0, 0.7390851332151607], atol=1e-9)


def test_maps_that_go_round_in_circles_are_solved():
    found, points = iterate(lambda x: 2.0 / x, np.array([5.0]), np.array([0, 1]))
    np.testing.assert_allclose(found, np.sqrt(2.0), rtol=1e-12)
    assert len(points) < 20


def test_what_is_no_good_is_taken_back():
    past = Past(np.array([0, 1]), np.array([0.0]))
    assert not past.can_retry.any()
    first = past.propose(np.array([0.0]), np.array([1.0]), np.array([1.0]))
    np.testing.assert_array_equal(first, [1.0])
    assert past.can_retry.all() and np.isfinite(past.bound).all()
    worse = past.propose(np.array([1.0]), np.array([9.0]), np.array([np.nan]))
    np.testing.assert_array_equal(worse, [1.0])
    assert np.isinf(past.bound).all()
    for k in range(PATIENCE):
        x = np.array([1.0 - 0.1 * k])
        ahead = past.propose(x, x - 0.1, np.array([5.0 - k]))
        if k < PATIENCE - 1:
            np.testing.assert_array_equal(ahead, x - 0.1)
    assert np.isfinite(past.bound).all()


def test_what_is_lost_again_starts_anew():
    past = Past(np.array([0, 1]), np.array([7.0]))
    past.propose(np.array([7.0]), np.array([1.0]), np.array([6.0]))
    nothing = np.array([np.nan])
    back = past.propose(np.array([1.0]), nothing, nothing)
    np.testing.assert_array_equal(back, [1.0])
    np.testing.assert_array_equal(past.propose(back, nothing, nothing), [7.0])
    assert not past.can_retry.any() and np.isinf(past.bound).all()
    for x in (7.0, 5.0, 4.9, 80.0):
        point = np.array([x])
        ahead = past.propose(point, point - 1, np.array([1.0]))
        np.testing.assert_array_equal(ahead, point - 1)


def test_what_takes_long_starts_anew():
    rng = np.random.default_rng(0)
    past, points = Past(np.array([0, 1]), np.array([3.0])), []
    x = np.array([3.0])
    for _ in range(TRIALS):
        points.append(x)
        x = past.propose(x, x + rng.normal(), np.array([1.0]))
    np.testing.assert_array_equal(x, points[0])


def test_a_fixed_point_that_repels_is_not_found():
    """x³ has 0, that attracts, and one, to which a secant from 0.99 leads."""
    found, _ = iterate(lambda x: x**3, np.array([0.99]), np.array([0, 1]))
    np.testing.assert_allclose(found, 0.0, atol=1e-10)
