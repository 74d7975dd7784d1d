"""Covariances of moments: sums over blocks against a plain formula over all rows.

Invariants: S is that of the whole sample, whatever the cut; the centre that blocks sum
about changes nothing; ξ far from zero costs no digits; a cluster may lie in several
blocks.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from blpdask.driver.ordered_sum import ordered_sum
from blpdask.moments.covariances import moment_covariances, sum_moments

N, M = 600, 4
KINDS = ["robust", "unadjusted", "clustered"]


def reference(xi, Z, kind, *, center, clusters):
    """Estimate S from all rows at once, the slow and readable way."""
    xi, Z = xi.astype(np.longdouble), Z.astype(np.longdouble)
    if kind == "unadjusted":
        S = np.mean((xi - xi.mean()) ** 2) * (Z.T @ Z) / xi.size
        return S.astype(float)
    g = xi[:, None] * Z
    if center:
        g = g - g.mean(axis=0)
    if kind == "clustered":
        g = np.array([g[clusters == c].sum(axis=0) for c in np.unique(clusters)])
    return (g.T @ g / xi.size).astype(float)


def draw(seed=0, mean=0.5, n_clusters=50):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(N, M)) * 10.0 ** np.arange(-2, M - 2)
    return rng.normal(size=N) + mean, Z, rng.integers(0, n_clusters, N)


def found(xi, Z, kind, *, center, clusters, n_blocks=1, centre=None):
    if centre is None:
        centre = Z.T @ xi / N if center else np.zeros(M)
    cuts = np.linspace(0, N, n_blocks + 1).astype(int)
    parts = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    records = [sum_moments(xi[p, None], [Z[p]], centre, clusters[p]) for p in parts]
    return moment_covariances(
        ordered_sum(records),
        kind,
        center=center,
        ZtZ=Z.T @ Z,
        equations=np.zeros(M, np.int64),
    )


def assert_close(S, expected, rtol=1e-13):
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((S - expected) / scale).max() < rtol


@pytest.mark.parametrize("n_blocks", [1, 7, N])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_over_blocks_equal_the_plain_formula(kind, center, n_blocks):
    xi, Z, clusters = draw()
    S = found(xi, Z, kind, center=center, clusters=clusters, n_blocks=n_blocks)
    assert_close(S, reference(xi, Z, kind, center=center, clusters=clusters))
    np.testing.assert_array_equal(S, S.T)


@pytest.mark.parametrize("kind", KINDS)
def test_xi_far_from_zero_costs_no_digits(kind):
    """Means of ξ and of g are a million times their deviations."""
    rng = np.random.default_rng(3)
    xi, _, clusters = draw(1, mean=1e6)
    Z = 1 + 1e-6 * rng.normal(size=(N, M))
    S = found(xi, Z, kind, center=True, clusters=clusters, n_blocks=5)
    expected = reference(xi, Z, kind, center=True, clusters=clusters)
    # A product ξz has 1e-16 of itself, which is 1e-10 of its deviation.
    assert_close(S, expected, rtol=1e-9 if kind != "unadjusted" else 1e-13)
    if kind == "robust":
        g = xi[:, None] * Z
        plain = g.T @ g / N - np.outer(g.mean(axis=0), g.mean(axis=0))
        assert np.abs(plain / expected - 1).max() > 1e-6


@pytest.mark.parametrize("kind", ["robust", "clustered"])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_centre_of_sums_changes_nothing(kind, shift):
    xi, Z, clusters = draw(2)
    centre = Z.T @ xi / N + shift * Z.std(axis=0)
    given = dict(center=True, clusters=clusters, n_blocks=3)
    S = found(xi, Z, kind, centre=centre, **given)
    assert_close(S, found(xi, Z, kind, **given))


@pytest.mark.parametrize("n_clusters", [1, 2, N])
def test_few_and_many_clusters(n_clusters):
    xi, Z, _ = draw(4)
    clusters = np.random.default_rng(5).permutation(np.arange(N) % n_clusters)
    given = dict(center=False, clusters=clusters)
    S = found(xi, Z, "clustered", n_blocks=6, **given)
    assert_close(S, reference(xi, Z, "clustered", **given))
    if n_clusters == N:
        assert_close(S, reference(xi, Z, "robust", **given))


def test_numbers_written_out():
    """ξ = (1, 3), z = (2, 1): g = (2, 3), centred (-1/2, 1/2)."""
    xi, Z = np.array([1.0, 3.0]), np.array([[2.0], [1.0]])
    sums = sum_moments(xi[:, None], [Z], np.zeros(1), np.array([0, 0]))
    ZtZ, equations = Z.T @ Z, np.zeros(1, np.int64)

    def S(kind, center):
        return moment_covariances(
            sums, kind, center=center, ZtZ=ZtZ, equations=equations
        ).item()

    assert S("robust", False) == 6.5
    assert S("robust", True) == 0.25
    assert S("clustered", False) == 12.5
    assert S("clustered", True) == 0.0
    assert S("unadjusted", True) == 2.5


@pytest.mark.parametrize("n_blocks", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_two_equations_have_covariances_across(kind, n_blocks):
    """As one equation twice as long, in products of ξ and ω."""
    xi, Z_D, clusters = draw(6)
    omega = 0.7 * xi + np.random.default_rng(7).normal(size=N) - 3.0
    Z_S = np.random.default_rng(8).normal(size=(N, 2)) + 1.0
    u, Z = np.column_stack([xi, omega]), [Z_D, Z_S]
    g = np.hstack([xi[:, None] * Z_D, omega[:, None] * Z_S])
    centred = g - g.mean(axis=0)
    sums = np.array([centred[clusters == c].sum(axis=0) for c in np.unique(clusters)])
    both = np.hstack(Z)
    covariances = np.cov(u.T, bias=True)
    sides = np.repeat([0, 1], [M, 2])
    expected = {
        "robust": centred.T @ centred / N,
        "clustered": sums.T @ sums / N,
        "unadjusted": covariances[np.ix_(sides, sides)] * (both.T @ both) / N,
    }[kind]
    cuts = np.linspace(0, N, n_blocks + 1).astype(int)
    parts = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    records = [
        sum_moments(u[p], [z[p] for z in Z], g.mean(axis=0), clusters[p]) for p in parts
    ]
    S = moment_covariances(
        ordered_sum(records), kind, center=True, ZtZ=both.T @ both, equations=sides
    )
    assert_close(S, expected, rtol=1e-12)
