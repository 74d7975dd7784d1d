"""Which model of conduct fits? The test of Rivers and Vuong, and what its variance is.

Model m implies costs c̃_m = p - η_m. Net of what shifts costs they are ω_m, and the true
model's are uncorrelated with instruments z, net of the same. Models are compared by how
far theirs are from that (Duarte, Magnolfi, Sølvsten and Sullivan 2024),

    Q_m = g_m'W g_m,     g_m = Z'ω_m / N,     W = (Z'Z / N)⁻¹,
    T = √N (Q_1 - Q_2) / σ  →  N(0, 1)     where  Q_1 = Q_2,

so that T > 0 says that model 2 fits better (Rivers and Vuong 2002; Hall and Pelletier
2011). Neither needs to be true. With A = Z'Z/N, dQ = 2 g'W dg - g'W dA W g, to which
row i contributes

    q_mi = 2 g'W (z_i ω_i - g) - ((z_i'W g)² - g'W g) + 2 g'W G_m Λ (h_i - ḡ),
    G_m = ∂g_m/∂(θ', b'),

the last term for demand having been estimated (:mod:`.conduct_demand`); what is taken
out of p, η and z adds nothing to first order. Then Ω = (1/N) Σ_c (Σ_{i∈c} q_i)(…)'
over clusters c, or rows, is the variance of √N Q̂ of all models, and
σ² = Ω_11 + Ω_22 - 2 Ω_12.

Instruments are turned to Z'Z/N = I first. The published row of W^(1/2) g_m has
-½ W^(3/4) (z_i z_i' - A) W^(3/4) g_m for the second term above, which gives the same q
where W is a multiple of I and here for that reason; so T does not depend on how
instruments are scaled or combined.

The effective F of Duarte et al. is about whether z tells the models apart at all:

    F = (1 - ρ²) N / (2 d) (σ_2² g_1'W g_1 + σ_1² g_2'W g_2 - 2 σ_12 g_1'W g_2)
        / (σ_1² σ_2² - σ_12²),
    ρ = (σ_1² - σ_2²) / √((σ_1² + σ_2²)² - 4 σ_12²),
    σ_lm = tr((1/N) Σ_c (Σ φ_li)(Σ φ_mi)' A) / d,
    φ_mi = W (z_i (ω_mi - z_i'W g_m) + G_m Λ (h_i - ḡ)),

of d instruments; what to hold it against is in :mod:`.conduct_strength`.

References
----------
Duarte, Magnolfi, Sølvsten and Sullivan (2024), "Testing Firm Conduct", Quantitative
Economics; Rivers and Vuong (2002), "Model Selection Tests for Nonlinear Dynamic
Models"; Hall and Pelletier (2011), "Nonnested Testing in Models Estimated via
Generalized Method of Moments".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..problem.rival_sums import sum_groups
from ..records import Floats, Integers
from .conduct_demand import DemandError


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """How far each of m models is from its moments, and how well that is known.

    Attributes
    ----------
    g
        ``(d, m)`` moments, on instruments with Z'Z/N = I.
    Q
        ``(m,)`` squared lengths of them.
    covariances
        ``(m, m)`` Ω, of √N Q.
    moment_variances
        ``(m, m)`` σ_lm, mean variances and covariances of √N g over instruments.
    n
        N.
    """

    g: Floats
    Q: Floats
    covariances: Floats
    moment_variances: Floats
    n: int


def orthonormal(Z: Floats) -> Floats:
    """Turn instruments ``(N, d)`` of full rank to Z'Z/N = I."""
    return np.asarray(np.sqrt(Z.shape[0]) * np.linalg.qr(Z)[0])


def fit_models(
    omega: Floats,
    Z: Floats,
    ZtC: Sequence[Floats],
    error: DemandError | None,
    clusters: Integers | None,
) -> Fits:
    """Compute Q of every model and the covariances of all.

    Parameters
    ----------
    omega
        ``(N, m)`` implied costs net of what shifts costs.
    Z
        ``(N, d)`` instruments net of it, of :func:`orthonormal`.
    ZtC
        For each model, ``(d, P + C)`` Z'∂c̃/∂(θ', b').
    error
        Influence of rows on (θ, b); None to leave it out.
    clusters
        ``(N,)`` codes, None where rows are independent.
    """
    N, d = Z.shape
    g = Z.T @ omega / N
    fitted = Z @ g
    Q = (g**2).sum(axis=0)
    q = 2 * fitted * omega - fitted**2 - Q
    phi = Z[:, :, None] * (omega - fitted)[:, None, :]
    beside_q, beside_phi = np.zeros((2, Q.size, Q.size))
    if error is not None:
        # (d, m, P + C) G_m, turned into what each moment of demand does to g_m.
        G = np.stack(ZtC, axis=1) / N
        moved = G @ error.by_row
        phi = phi + np.einsum("nk,dmk->ndm", error.rows, moved)
        by_Q = 2 * np.einsum("dm,dmk->mk", g, moved)
        q = q + error.rows @ by_Q.T
        beside_q, beside_phi = _beside(g, G, error)
    if clusters is not None:
        q = sum_groups(q, clusters)
        phi = sum_groups(phi.reshape(N, -1), clusters).reshape(-1, d, Q.size)
    return Fits(
        g=g,
        Q=Q,
        covariances=q.T @ q / N + beside_q,
        moment_variances=np.einsum("cdl,cdm->lm", phi, phi) / (N * d) + beside_phi / d,
        n=N,
    )


def statistics(fits: Fits) -> Floats:
    """Compute T of every pair, ``(m, m)``: positive where the row's model fits worse.

    NaN on the diagonal, and where two models are the same.
    """
    own = fits.covariances.diagonal()
    variances = own[:, None] + own[None, :] - 2 * fits.covariances
    apart = variances > _SAME * (own[:, None] + own[None, :])
    variances = np.where(apart, variances, np.nan)
    differences = fits.Q[:, None] - fits.Q[None, :]
    return np.asarray(np.sqrt(fits.n / variances) * differences)


def effective_F(fits: Fits) -> tuple[Floats, Floats]:
    """Compute F and ρ of every pair, ``(m, m)``; NaN where two models are the same."""
    own, both = fits.moment_variances.diagonal(), fits.moment_variances
    first, second = own[:, None], own[None, :]
    determinant = first * second - both**2
    apart = determinant > _SAME * first * second
    determinant = np.where(apart, determinant, np.nan)
    products = fits.g.T @ fits.g
    distances = second * fits.Q[:, None] + first * fits.Q[None, :] - 2 * both * products
    rho = (first - second) / np.sqrt((first - second) ** 2 + 4 * determinant)
    scale = fits.n / (2 * fits.g.shape[0])
    return (1 - rho**2) * scale * distances / determinant, rho


#: Variances this much smaller than those of either model are rounding.
_SAME = 1e-12


def _beside(g: Floats, G: Floats, error: DemandError) -> tuple[Floats, Floats]:
    """Add what estimates of demand owe to no row, ``(m, m)`` each.

    Of Q, and of the trace of the variance of g.
    """
    V = error.sensitivity @ error.beside @ error.sensitivity.T
    by_Q = 2 * np.einsum("dm,dmp->mp", g, G)
    return by_Q @ V @ by_Q.T, np.einsum("dlp,pq,dmq->lm", G, V, G)
