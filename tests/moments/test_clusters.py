"""Clusters in several ways against sums over all pairs of rows.

Invariants: S is Σ_ij g_i g_j' over the pairs of rows that share a cluster in some way,
whatever the cut; one way is one way; a way within another adds nothing; an intersection
of every row by itself is the robust S.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from blpdask.driver.ordered_sum import ordered_sum
from blpdask.moments.clusters import look_up, signs_of, subsets, sum_by_cluster
from blpdask.moments.covariances import moment_covariances, sum_moments
from blpdask.moments.weighting import describe_indefinite
from tests.moments.test_covariances import assert_close

N, M = 400, 3


def pairs_that_share(clusters):
    """Flag pairs of rows in the same cluster in at least one way, ``(N, N)``."""
    same = clusters[:, None, :] == clusters[None, :, :]
    return same.any(axis=2)


def reference(xi, Z, clusters, *, center):
    g = xi[:, None] * Z
    if center:
        g = g - g.mean(axis=0)
    return g.T @ pairs_that_share(clusters) @ g / xi.size


def draw(seed, counts):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(N, M)) * [0.1, 1.0, 30.0]
    clusters = np.column_stack([rng.integers(0, c, N) for c in counts])
    return rng.normal(size=N) + 0.4, Z, clusters


def found(xi, Z, clusters, *, center, n_blocks=1, kind="clustered"):
    cuts = np.linspace(0, N, n_blocks + 1).astype(int)
    parts = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    centre = Z.T @ xi / N if center else np.zeros(M)
    records = [sum_moments(xi[p, None], [Z[p]], centre, clusters[p]) for p in parts]
    return moment_covariances(
        ordered_sum(records),
        kind,
        center=center,
        ZtZ=Z.T @ Z,
        equations=np.zeros(M, np.int64),
    )


@pytest.mark.parametrize("n_blocks", [1, 7, N])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("counts", [(20, 13), (5, 7, 11)])
def test_sums_over_subsets_are_sums_over_pairs(counts, center, n_blocks):
    xi, Z, clusters = draw(1, counts)
    S = found(xi, Z, clusters, center=center, n_blocks=n_blocks)
    assert_close(S, reference(xi, Z, clusters, center=center), rtol=1e-12)
    np.testing.assert_array_equal(S, S.T)


def test_a_way_within_another_adds_nothing():
    xi, Z, clusters = draw(2, (40,))
    coarse = clusters[:, 0] // 4
    both = np.column_stack([clusters[:, 0], coarse])
    S = found(xi, Z, both, center=True, n_blocks=5)
    assert_close(S, found(xi, Z, coarse, center=True), rtol=1e-12)


def test_two_ways_the_same_are_one():
    xi, Z, clusters = draw(3, (30,))
    twice = np.column_stack([clusters[:, 0], clusters[:, 0]])
    S = found(xi, Z, twice, center=False, n_blocks=3)
    assert_close(S, found(xi, Z, clusters[:, 0], center=False), rtol=1e-12)


def test_rows_by_themselves_are_robust():
    xi, Z, _ = draw(4, (2,))
    rows = np.column_stack([np.arange(N), np.random.default_rng(0).permutation(N)])
    S = found(xi, Z, rows, center=True, n_blocks=2)
    assert_close(S, found(xi, Z, rows[:, 0], center=True, kind="robust"), rtol=1e-12)


def negative_example():
    """Two crossed ways of two clusters whose sums cancel: S is negative."""
    xi = np.array([1.0, -1.0, -1.0, 1.0])
    return xi, np.ones((4, 1)), np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def test_negative_eigenvalues_are_kept_and_described():
    """Clusters sum to zero in both ways, and their intersections to ±1: S = -1."""
    xi, Z, clusters = negative_example()
    sums = sum_moments(xi[:, None], [Z], np.zeros(1), clusters)

    def S(kind):
        return moment_covariances(
            sums, kind, center=False, ZtZ=Z.T @ Z, equations=np.zeros(1, np.int64)
        )

    assert S("clustered").item() == -1.0
    assert S("clustered_psd").item() == 0.0
    assert "1 negative eigenvalue of 1" in describe_indefinite(S("clustered"))
    assert describe_indefinite(S("clustered_psd")) is None


def test_rounding_is_not_a_negative_eigenvalue():
    rng = np.random.default_rng(5)
    low = rng.normal(size=(8, 3)) * 10.0 ** np.arange(3)
    assert describe_indefinite(low @ low.T) is None
    assert describe_indefinite(np.diag([1e-12, 1.0])) is None
    assert describe_indefinite(np.diag([-1e-12, 1.0])) is not None


@pytest.mark.parametrize("counts", [(9,), (9, 4), (3, 4, 5)])
def test_rows_find_the_values_of_their_clusters(counts):
    _, _, clusters = draw(6, counts)
    codes = clusters[:, 0] if len(counts) == 1 else clusters
    values = np.random.default_rng(7).normal(size=N)
    touched, sizes, sums = sum_by_cluster(values[:, None], codes)
    if codes.ndim > 1:
        order = np.lexsort(touched.T[::-1])
        touched, sizes, sums = touched[order], sizes[order], sums[order]
    expected = np.zeros(N)
    for subset in subsets(len(counts)):
        own = clusters[:, subset]
        same = (own[:, None] == own[None]).all(axis=2)
        expected += (-1) ** (len(subset) + 1) * (same @ values)
    np.testing.assert_allclose(look_up(codes, touched, sums[:, 0]), expected)
    assert sizes @ np.abs(signs_of(touched)) == N * (2 ** len(counts) - 1)
