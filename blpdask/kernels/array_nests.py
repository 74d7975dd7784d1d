"""Nests in arrays: shares, probabilities and their slopes, for a batch of markets.

Which product is in which nest is a matrix of zeros and ones, N ``(B, J, H)``, so that
sums over nests and their way back to products are matrix products. With the stretch
t_h = 1 / (1 - ρ_h), one where products are padded, and with m_ih, n_i, f_ih as in
:mod:`blpdask.kernels.loop_nests`,

    E_ij = exp(t_h (δ⁰_j + μ_ij) - m_ih),   D_j = exp(t_h (δ_j - δ⁰_j)),
    G    = (E ∘ D) N,
    M_ih = f_ih G_ih^(1 - ρ_h) / (o_i + Σ_g f_ig G_ig^(1 - ρ_g)),
    P_ij = E_ij D_j M_ih / G_ih.

What is solved is not log(s_j / s_0) = log(S_j / S_0) but

    (1 - ρ_h) log s_j + ρ_h log s_h - log s_0 = the same of S,   s_h = Σ_{j∈h} s_j,

which is linear in δ for the plain nested logit (Berry 1994).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from .array_batches import Array, Batch


@dataclass(frozen=True, slots=True)
class NestTastes:
    """ρ of a batch of markets.

    Attributes
    ----------
    members
        ``(B, J, H)`` N.
    rho
        ``(B, H)``.
    of_product
        ``(B, J)`` ρ of each product's nest, zero where padded.
    stretch
        ``(B, J)`` 1 / (1 - ρ).
    """

    members: Array
    rho: Array
    of_product: Array
    stretch: Array

    def take(self, index: Array | slice) -> NestTastes:
        """Keep the markets of ``index``."""
        return NestTastes(
            self.members[index],
            self.rho[index],
            self.of_product[index],
            self.stretch[index],
        )

    def expand(self, values: Array) -> Array:
        """Give products what their nests have, ``(B, …, H)`` to ``(B, …, J)``."""
        if len(values.shape) == 2:
            return (self.members @ values[..., None])[..., 0]
        return values @ self.members.transpose(0, 2, 1)

    def sums(self, values: Array) -> Array:
        """Sum over the products of nests, ``(B, …, J)`` to ``(B, …, H)``."""
        if len(values.shape) == 2:
            return (values[:, None, :] @ self.members)[:, 0, :]
        return values @ self.members


def nest_tastes(batch: Batch, rho: Array) -> NestTastes | None:
    """Give the batch its ρ, from those of all nests ``(G,)``; None without nests.

    NaN where it is not below one.
    """
    if batch.members.shape[2] == 0:
        return None
    own = rho[batch.nest_codes] if rho.size else 0.0 * batch.nest_codes
    below = own < 1.0
    own = own * below / below
    of_product = (batch.members @ own[..., None])[..., 0]
    return NestTastes(batch.members, own, of_product, 1.0 / (1.0 - of_product))


def shift(E: Array, nests: NestTastes, xp: ModuleType) -> tuple[Array, Array]:
    """Subtract m_ih from stretched utilities in place; give o ``(B, i)`` and f."""
    tops = []
    for h in range(nests.rho.shape[1]):
        inside = nests.members[:, None, :, h] > 0.0
        tops.append(xp.where(inside, E, -xp.inf).max(axis=2))
    top = xp.stack(tops, axis=2)
    there = xp.isfinite(top)
    m = xp.where(there, top, 0.0)
    E -= nests.expand(m)
    scaled = xp.where(there, (1.0 - nests.rho)[:, None, :] * m, -xp.inf)
    highest = xp.maximum(scaled.max(axis=2), 0.0)
    return xp.exp(-highest), xp.exp(scaled - highest[..., None])


def inclusive_values(
    G: Array, o: Array, f: Array, nests: NestTastes, xp: ModuleType
) -> tuple[Array, Array, Array]:
    """Compute M ``(B, i, H)``, M / G, zero where G is, and P_i0 ``(B, i)``."""
    there = G > 0.0
    held = xp.where(there, G, 1.0)
    powers = f * xp.exp((1.0 - nests.rho)[:, None, :] * xp.log(held))
    powers = xp.where(there, powers, 0.0)
    denominator = o + powers.sum(axis=2)
    M = powers / denominator[..., None]
    return M, M / held, o / denominator


def odds(
    change: Array,
    shares: Array,
    level: Array,
    batch: Batch,
    nests: NestTastes | None,
    xp: ModuleType,
) -> Array:
    """Turn log S - log s ``(B, J)`` into the residual of what is solved.

    ``level`` ``(B,)`` is log S_0 - log s_0. Zero where padded.
    """
    inside = 1.0 - batch.padding
    if nests is None:
        return change - inside * level[:, None]
    observed = nests.sums(xp.exp(batch.log_shares))
    simulated = nests.sums(shares)
    there = (observed > 0.0) & (simulated > 0.0)
    of_nests = xp.log(xp.where(there, observed, 1.0) / xp.where(there, simulated, 1.0))
    within = change / nests.stretch + nests.of_product * nests.expand(of_nests)
    return within - inside * level[:, None]


def odds_slopes(
    slopes: Array, shares: Array, nests: NestTastes | None, xp: ModuleType
) -> Array:
    """Turn ∂s/∂x ``(B, J, X)`` into ∂((1 - ρ) log s_j + ρ log s_h)/∂x at fixed ρ."""
    logs = slopes / shares[..., None]
    if nests is None:
        return logs
    totals = nests.sums(shares)
    by_nest = nests.members.transpose(0, 2, 1) @ slopes
    by_nest = by_nest / xp.where(totals > 0.0, totals, 1.0)[..., None]
    weighted = (nests.members @ by_nest) * nests.of_product[..., None]
    return logs / nests.stretch[..., None] + weighted


def inverse_odds(shares: Array, nests: NestTastes, xp: ModuleType) -> Array:
    """Give ∂s/∂(what is solved)' where s is ``(B, J)``, zero where padded; (B, J, J).

    diag(t s) - t ρ s s' / s_h within nests, less s s'.
    """
    totals = nests.sums(shares)
    per_nest = nests.expand(1.0 / xp.where(totals > 0.0, totals, 1.0))
    scale = nests.stretch * nests.of_product * shares * per_nest
    same = nests.members @ nests.members.transpose(0, 2, 1)
    own = xp.eye(shares.shape[1]) * (nests.stretch * shares)[..., None]
    outer = scale[..., None] * same * shares[:, None, :]
    return own - outer - shares[..., None] * shares[:, None, :]


def log_slopes(u: Array, Q: Array, M: Array, nests: NestTastes) -> tuple[Array, Array]:
    """Turn how stretched utilities move, ``(B, i, J)``, into how log P does.

    Gives that and how log P_0 moves, ``(B, i)``.
    """
    means = nests.sums(Q * u)
    overall = ((1.0 - nests.rho)[:, None, :] * M * means).sum(axis=2)
    logs = u - nests.expand(nests.rho[:, None, :] * means) - overall[..., None]
    return logs, -overall


def rho_slopes(
    Q: Array,
    M: Array,
    available: Array | None,
    nests: NestTastes,
    which: Array,
    xp: ModuleType,
) -> tuple[Array, Array, Array]:
    """Differentiate log P, log P_0 and log Q by ρ at fixed utilities.

    ``available`` ``(B, i, J)`` is a, None where all is there; ``which`` ``(B, H)`` is
    one for nests whose ρ it is, else zero. Gives ``(B, i, J)``, ``(B, i)`` and
    ``(B, i, J)``.
    """
    ratio = xp.where(Q > 0.0, Q, 1.0)
    if available is not None:
        ratio = ratio / xp.where(Q > 0.0, available, 1.0)
    logs = xp.log(ratio)
    entropies = -nests.sums(Q * logs) * which[:, None, :]
    there = (nests.expand(which) * nests.stretch)[:, None, :] * (Q > 0.0)
    of_P = there * (logs + nests.expand(nests.rho[:, None, :] * entropies))
    overall = (M * entropies).sum(axis=2)
    return of_P + overall[..., None], overall, there * (logs + nests.expand(entropies))
