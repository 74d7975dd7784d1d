"""Covariances of moments from sums over blocks.

With g_j = ξ_j z_j, or with a supply side g_j = (ξ_j z_Dj, ω_j z_Sj) (Hansen 1982; White
1980):

    robust       S = (1/N) Σ_j (g_j - ḡ)(g_j - ḡ)'
    clustered    S = (1/N) Σ_c (Σ_{j∈c} (g_j - ḡ))(Σ_{j∈c} (g_j - ḡ))'
                 and, in several ways, what :mod:`.clusters` says
    unadjusted   S = σ̂² Z'Z / N,   σ̂² = (1/N) Σ_j (ξ_j - ξ̄)²

(of two equations d and e the block σ̂_de Z_d'Z_e / N), with ḡ left out where moments are
not centred. Products of errors are those of a third equation
(:mod:`.error_products`). No small-sample corrections, as in PyBLP.

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
    Σ_j (ξ_j - ξ̄)² = Σ_j (ξ_j - a)² - (1/N) (Σ_j (ξ_j - a))²,

and likewise of products of two equations' errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..model.inversion import InversionMemory
from ..records import JOINED, Floats, Integers, MarketBlock
from .clusters import add_clusters, signs_of, sum_by_cluster
from .error_products import moment_errors
from .errors import ErrorState, block_errors
from .weighting import CovarianceType, clip_eigenvalues, is_clustered


@dataclass(frozen=True, slots=True, eq=False)
class MomentState:
    """What moments are computed from and summed about, as sent to every block.

    Attributes
    ----------
    errors
        β, γ and the absorbed levels.
    centre
        ``(M,)`` c: ḡ where moments are centred, else zeros.
    clustered
        Whether sums by cluster are wanted.
    product_mean
        m of products of errors.
    """

    errors: ErrorState
    centre: Floats
    clustered: bool
    product_mean: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class MomentSums:
    """What a block adds to covariances of moments.

    Attributes
    ----------
    g
        ``(M,)`` Σ_j (g_j - c).
    gg
        ``(M, M)`` Σ_j (g_j - c)(g_j - c)'.
    sizes
        ``(B,)`` n_b, one a block.
    means, remainders
        ``(B, E)`` c_b and r_b of each of E equations.
    squares
        ``(B, E, E)`` s_b, squares and products of errors.
    clusters, cluster_sizes
        ``(C,)``, in several ways ``(C, W)``, codes of the clusters that each block
        touches, and ``(C,)`` how many rows it has of them; of size zero where no sums
        by cluster are wanted.
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
    u, Z = moment_errors(errors, state.product_mean)
    clusters = errors.linear.clusters if state.clustered else None
    with np.errstate(over="ignore", invalid="ignore"):
        sums = sum_moments(u, Z, state.centre, clusters)
    return sums, None


def sum_moments(
    u: Floats,
    Z: Sequence[Floats],
    centre: Floats,
    clusters: Integers | None = None,
) -> MomentSums:
    """Sum moments of rows about a centre.

    Parameters
    ----------
    u
        ``(N, E)`` structural errors of each equation.
    Z
        ``(N, M_e)`` instruments of each.
    centre
        ``(M,)`` c.
    clusters
        ``(N,)`` or ``(N, W)`` codes of clusters, where sums by cluster are wanted.
    """
    g = np.hstack([u[:, [e]] * Z_e for e, Z_e in enumerate(Z)]) - centre
    mean = u.mean(axis=0, keepdims=True)
    about = u - mean
    touched, sizes, by_cluster = sum_by_cluster(g, clusters)
    return MomentSums(
        g=g.sum(axis=0),
        gg=g.T @ g,
        sizes=np.array([u.shape[0]]),
        means=mean,
        remainders=about.sum(axis=0, keepdims=True),
        squares=np.einsum("nd,ne->de", about, about)[None],
        clusters=touched,
        cluster_sizes=sizes,
        cluster_g=by_cluster,
    )


def moment_covariances(
    sums: MomentSums,
    kind: CovarianceType,
    *,
    center: bool,
    ZtZ: Floats,
    equations: Integers,
) -> Floats:
    """Estimate S, the covariance of √N ḡ, ``(M, M)``.

    Parameters
    ----------
    sums
        Of all blocks; about zero where moments are not to be centred.
    kind
        ``"robust"``, ``"unadjusted"``, or, from sums that have clusters,
        ``"clustered"`` or ``"clustered_psd"``, the same with negative eigenvalues set
        to zero.
    center
        Whether moments are centred before they are squared.
    ZtZ
        ``(M, M)`` Z'Z.
    equations
        ``(M,)`` place of each moment's equation.
    """
    N = sums.sizes.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        m = sums.g / N if center else np.zeros_like(sums.g)
        if kind == "unadjusted":
            variances = error_covariances(sums)[1]
            S = variances[np.ix_(equations, equations)] * (ZtZ / N)
        elif is_clustered(kind):
            S = _clustered(sums, m) / N
        else:
            S = sums.gg / N - np.outer(m, m)
        S = np.asarray((S + S.T) / 2)
    return clip_eigenvalues(S) if kind == "clustered_psd" else S


def _clustered(sums: MomentSums, m: Floats) -> Floats:
    """Add the squares of clusters' sums about m, with their signs, ``(M, M)``."""
    clusters, _, g = add_clusters(sums.clusters, sums.cluster_sizes, sums.cluster_g, m)
    if clusters.ndim == 1:
        return np.asarray(g.T @ g)
    return np.asarray(g.T @ (signs_of(clusters)[:, None] * g))


def error_covariances(sums: MomentSums) -> tuple[Floats, Floats]:
    """Compute ū ``(E,)`` and (1/N) Σ_j (u_j - ū)(u_j - ū)' ``(E, E)``."""
    n = sums.sizes[:, None]
    N = sums.sizes.sum()
    means = (n * sums.means + sums.remainders).sum(axis=0) / N
    return means, _squares_about_mean(sums) / N


def _squares_about_mean(sums: MomentSums) -> Floats:
    """Compute Σ_j (u_j - ū)(u_j - ū)' from sums of blocks about their own means."""
    n, r = sums.sizes[:, None], sums.remainders
    d = sums.means - np.average(sums.means, axis=0, weights=sums.sizes)
    total = np.sum(r + n * d, axis=0)
    cross = d[:, :, None] * r[:, None, :]
    products = n[..., None] * d[:, :, None] * d[:, None, :]
    squares = sums.squares + cross + cross.transpose(0, 2, 1) + products
    return np.asarray(squares.sum(axis=0) - np.outer(total, total) / n.sum())
