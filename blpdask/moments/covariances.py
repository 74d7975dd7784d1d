"""Covariances of moments from sums over blocks.

With g_j = ξ_j z_j (Hansen 1982; White 1980):

    robust       S = (1/N) Σ_j (g_j - ḡ)(g_j - ḡ)'
    clustered    S = (1/N) Σ_c (Σ_{j∈c} (g_j - ḡ))(Σ_{j∈c} (g_j - ḡ))'
    unadjusted   S = σ̂² Z'Z / N,   σ̂² = (1/N) Σ_j (ξ_j - ξ̄)²

with ḡ left out where moments are not centred. No small-sample corrections, as in PyBLP.

Blocks sum about a given centre c. With m = (1/N) Σ_j (g_j - c) = ḡ - c,

    (1/N) Σ_j (g_j - ḡ)(g_j - ḡ)' = (1/N) Σ_j (g_j - c)(g_j - c)' - m m',
    Σ_{j∈c} (g_j - ḡ) = Σ_{j∈c} (g_j - c) - n_c m.

The objective knows ḡ at the estimate before any row is visited again. As c it makes m
as small as rounding, so that the subtraction takes no digits; c = 0, and m left out,
where moments are not centred. Of ξ every block gives its mean as rounded, c_b, and sums
about it, r_b = Σ_{j∈b} (ξ_j - c_b) and s_b = Σ_{j∈b} (ξ_j - c_b)², from which the
squares about the common mean follow (Chan, Golub and LeVeque 1983): with d_b = c_b - a
for any number a close to ξ̄,

    Σ_j (ξ_j - a)   = Σ_b (r_b + n_b d_b),
    Σ_j (ξ_j - a)²  = Σ_b (s_b + 2 d_b r_b + n_b d_b²),
    Σ_j (ξ_j - ξ̄)² = Σ_j (ξ_j - a)² - (1/N) (Σ_j (ξ_j - a))².
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..model.inversion import InversionMemory
from ..records import JOINED, Floats, Integers, MarketBlock
from .errors import ErrorState, block_errors
from .weighting import CovarianceType


@dataclass(frozen=True, slots=True, eq=False)
class MomentState:
    """What moments are computed from and summed about, as sent to every block.

    Attributes
    ----------
    errors
        β and the absorbed levels.
    centre
        ``(M,)`` c: ḡ where moments are centred, else zeros.
    clustered
        Whether sums by cluster are wanted.
    """

    errors: ErrorState
    centre: Floats
    clustered: bool


@dataclass(frozen=True, slots=True, eq=False)
class MomentSums:
    """What a block adds to covariances of moments.

    Attributes
    ----------
    g
        ``(M,)`` Σ_j (g_j - c).
    gg
        ``(M, M)`` Σ_j (g_j - c)(g_j - c)'.
    sizes, means
        ``(B,)`` n_b and c_b, one a block.
    remainders, squares
        ``(B,)`` r_b and s_b.
    clusters, cluster_sizes
        ``(C,)`` codes of the clusters that each block touches, and how many rows it has
        of them; of size zero where no sums by cluster are wanted.
    cluster_g
        ``(C, M)`` Σ (g_j - c) over those rows.
    """

    g: Floats
    gg: Floats
    sizes: Integers = field(metadata=JOINED)
    means: Floats = field(metadata=JOINED)
    remainders: Floats = field(metadata=JOINED)
    squares: Floats = field(metadata=JOINED)
    clusters: Integers = field(metadata=JOINED)
    cluster_sizes: Integers = field(metadata=JOINED)
    cluster_g: Floats = field(metadata=JOINED)


def moments_pass(
    block: MarketBlock, state: MomentState, memory: InversionMemory
) -> tuple[MomentSums, None]:
    """Sum what covariances need of a block, at the evaluation that it remembers."""
    errors = block_errors(block, state.errors, memory)
    clusters = errors.linear.clusters if state.clustered else None
    with np.errstate(over="ignore", invalid="ignore"):
        sums = sum_moments(errors.xi[:, 0], errors.linear.Z, state.centre, clusters)
    return sums, None


def sum_moments(
    xi: Floats, Z: Floats, centre: Floats, clusters: Integers | None = None
) -> MomentSums:
    """Sum moments of rows about a centre.

    Parameters
    ----------
    xi
        ``(N,)`` structural errors.
    Z
        ``(N, M)`` instruments.
    centre
        ``(M,)`` c.
    clusters
        ``(N,)`` codes of clusters, where sums by cluster are wanted.
    """
    g = xi[:, None] * Z - centre
    mean = xi.mean(keepdims=True)
    touched, sizes, by_cluster = _sum_by_cluster(g, clusters)
    return MomentSums(
        g=g.sum(axis=0),
        gg=g.T @ g,
        sizes=np.array([xi.size]),
        means=mean,
        remainders=np.sum(xi - mean, keepdims=True),
        squares=np.sum((xi - mean) ** 2, keepdims=True),
        clusters=touched,
        cluster_sizes=sizes,
        cluster_g=by_cluster,
    )


def moment_covariances(
    sums: MomentSums, kind: CovarianceType, *, center: bool, ZtZ: Floats
) -> Floats:
    """Estimate S, the covariance of √N ḡ, ``(M, M)``.

    Parameters
    ----------
    sums
        Of all blocks; about zero where moments are not to be centred.
    kind
        ``"robust"``, ``"unadjusted"`` or ``"clustered"``, the last from sums that have
        clusters.
    center
        Whether moments are centred before they are squared.
    ZtZ
        ``(M, M)`` Z'Z.
    """
    N = sums.sizes.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        m = sums.g / N if center else np.zeros_like(sums.g)
        if kind == "unadjusted":
            S = _squares_about_mean(sums) / N * (ZtZ / N)
        elif kind == "clustered":
            g = _add_clusters(sums, m)
            S = g.T @ g / N
        else:
            S = sums.gg / N - np.outer(m, m)
        return np.asarray((S + S.T) / 2)


def _squares_about_mean(sums: MomentSums) -> float:
    """Compute Σ_j (ξ_j - ξ̄)² from sums of blocks about their own means."""
    n, r = sums.sizes, sums.remainders
    d = sums.means - np.average(sums.means, weights=n)
    total = np.sum(r + n * d)
    return float(np.sum(sums.squares + 2 * d * r + n * d**2) - total**2 / n.sum())


def _sum_by_cluster(
    g: Floats, clusters: Integers | None
) -> tuple[Integers, Integers, Floats]:
    """List the clusters of rows, their sizes and sums, in order of their codes."""
    if clusters is None:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, np.empty((0, g.shape[1]))
    order = np.argsort(clusters, kind="stable")
    firsts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    sizes = np.diff(firsts, append=clusters.size)
    return clusters[order][firsts], sizes, np.add.reduceat(g[order], firsts, axis=0)


def _add_clusters(sums: MomentSums, m: Floats) -> Floats:
    """Add what blocks have of each cluster, less its rows times m, ``(C, M)``."""
    touched, places = np.unique(sums.clusters, return_inverse=True)
    g = np.zeros((touched.size, sums.g.size))
    sizes = np.bincount(places, weights=sums.cluster_sizes)
    np.add.at(g, places, sums.cluster_g)
    return np.asarray(g - sizes[:, None] * m)
