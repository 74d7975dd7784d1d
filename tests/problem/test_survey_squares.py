"""Products of agents, first and second choices: they come back, the rest is kept.

Invariants: what counts comes back within 32 ε, its zeros as zeros, whatever stands
where nothing counts; what is nearly a product is none, and comes back bit by bit.
"""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.problem.survey_removals import apart
from blpdask.problem.survey_squares import (
    TOLERANCE,
    Proportional,
    Separable,
    Whole,
    compress,
    rank_one,
    separate,
)

GROUPS = {
    "own": np.arange(6),
    "few": np.array([0, 1, 1, 2, 2, 3]),
    "two": np.array([0, 1, 1, 2, 2, 1]),
    "all inside": np.array([0, 1, 1, 1, 1, 1]),
}


def drawn(seed: int, n: int = 7) -> tuple[np.ndarray, ...]:
    """Agents' a, choices' b and c, and tables u and v, with a few zeros."""
    rng = np.random.default_rng(seed)
    a, (b, c) = rng.normal(size=n), rng.lognormal(0, 3, (2, 6))
    u, v = rng.normal(size=(2, n, 6))
    a[rng.integers(n)] = b[rng.integers(6)] = c[rng.integers(6)] = 0.0
    u[rng.integers(n), rng.integers(6)] = v[rng.integers(n), rng.integers(6)] = 0.0
    u[rng.integers(n)] = 0.0
    return a, b, c, u, v


def check(square: object, f: np.ndarray, counts: np.ndarray) -> None:
    found, given = square.expand() * counts, f * counts  # type: ignore[attr-defined]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, given, rtol=TOLERANCE, atol=0)


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("seed", range(10))
def test_products_come_back_whatever_stands_within_groups(
    seed: int, groups: str
) -> None:
    rng = np.random.default_rng(seed)
    counts = apart(GROUPS[groups])
    a, b, c, u, v = drawn(seed)
    g = rng.normal(size=(6, 6))
    of_three = a[:, None, None] * b[:, None] * c
    kinds = {
        Proportional: (of_three, a[:, None, None] * g),
        Separable: (
            u[:, :, None] * c,
            b[:, None] * v[:, None, :],
            u[:, :, None] * v[:, None, :],
        ),
        Whole: (rng.normal(size=(7, 6, 6)),),
    }
    for kind, arrays in kinds.items():
        for f in arrays:
            f = np.where(counts, f, rng.normal(size=f.shape))
            square = compress(f, counts, None)
            check(square, f, counts)
            # One row and one column are a product whatever they hold.
            assert isinstance(square, kind) or groups == "all inside"


@pytest.mark.parametrize("groups", ["own", "few", "two"])
def test_what_is_proportional_is_parted_where_it_can_be(groups: str) -> None:
    counts = apart(GROUPS[groups])
    a, b, c, _, _ = drawn(3)
    square = compress(a[:, None, None] * b[:, None] * c, counts, None)
    assert isinstance(square, Proportional)
    assert isinstance(separate(square, counts), Separable)
    g = np.random.default_rng(3).normal(size=(6, 6))
    square = compress(a[:, None, None] * g, counts, None)
    assert isinstance(square, Proportional)
    assert isinstance(separate(square, counts), Whole)


def test_agents_share_the_pairs_of_those_before() -> None:
    counts = apart(GROUPS["own"])
    a, g = np.array([0.0, 2.0, -3.0, 0.5]), np.random.default_rng(1).normal(size=(6, 6))
    f = a[:, None, None] * g
    whole = compress(f, counts, None)
    assert isinstance(whole, Proportional)
    later = compress(f[2:], counts, whole.pair)
    assert isinstance(later, Proportional)
    assert later.pair is whole.pair
    np.testing.assert_allclose(later.agent, whole.agent[2:], rtol=1e-15)
    nobody = compress(f[:1], counts, None)
    assert isinstance(nobody, Proportional) and not nobody.pair.any()
    check(compress(f, counts, nobody.pair), f, counts)


@pytest.mark.parametrize("size", [1e-14, 1e-9, 1e-3])
def test_nearly_a_product_is_not_one(size: float) -> None:
    counts = apart(GROUPS["own"])
    rng = np.random.default_rng(5)
    u, v = rng.lognormal(size=(2, 7, 6))
    f = u[:, :, None] * v[:, None, :]
    f[4, 2, 5] *= 1 + size
    square = compress(f, counts, None)
    assert isinstance(square, Whole)
    np.testing.assert_array_equal(square.values, f * counts)


def test_a_zero_out_of_place_is_not_lost() -> None:
    counts = apart(GROUPS["own"])
    f = np.ones((3, 6, 6))
    f[1, 2, 4] = 0.0
    square = compress(f, counts, None)
    assert isinstance(square, Whole)
    np.testing.assert_array_equal(square.values, f * counts)


@pytest.mark.parametrize("scale", [1e-280, 1e-150, 1e150])
def test_extreme_scales_are_no_wrong_numbers(scale: float) -> None:
    counts = apart(GROUPS["few"])
    _, b, c, u, _ = drawn(8)
    for f in (scale * u[:, :, None] * c, scale * b[:, None] * c * np.ones((7, 1, 1))):
        check(compress(f, counts, None), f, counts)


def test_chains_reach_what_the_largest_cell_does_not() -> None:
    """Two groups: what is within neither follows from the other alone."""
    counts = apart(np.array([0, 0, 1, 1]))
    first, second = rank_one((np.outer([1, 2, 3, 4.0], [5, 6, 7, 8.0]) * counts)[None])
    np.testing.assert_allclose(
        np.outer(first[0], second[0]) * counts,
        np.outer([1, 2, 3, 4.0], [5, 6, 7, 8.0]) * counts,
        rtol=1e-15,
    )
