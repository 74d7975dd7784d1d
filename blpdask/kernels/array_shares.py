"""Market shares from mean utilities, for a batch of markets at once.

With a reference point δ⁰ (at first the inversion's start) and agent i's best utility
there, m_i = max(0, max_j(μ_ij + δ⁰_j)),

    E_ij = exp(μ_ij + δ⁰_j - m_i),   o_i = exp(-m_i),   D_j = exp(δ_j - δ⁰_j),
    a_i = w_i / (o_i + Σ_j E_ij D_j),   s_j = D_j Σ_i a_i E_ij,   s_0 = 1 - Σ_j s_j,
    μ_ij = Σ_k x_jk g_k(Σ_l Γ_kl draws_il).

E depends on θ and δ⁰ only, so a share map is two batched matrix-vector products.
Nothing overflows, because E <= 1 and D is near one; a market whose δ leaves the
neighbourhood of δ⁰ gets a new one. Where one market's E exceeds the bound on scratch
memory, agents are tiled and E is computed again, tile by tile. What nests change is in
``array_nests``.

References: Berry, Levinsohn and Pakes (1995), equations 6.6-6.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ..records import Tastes
from .array_batches import Array, Batch, to_host
from .array_nests import inclusive_values, nest_tastes, shift

#: Distance of δ from the reference point at which the point moves to δ.
REFERENCE_RADIUS = 50.0


@dataclass(frozen=True, slots=True)
class DeviceTastes:
    """θ on the device; the kinds of coefficients stay on the host.

    Attributes
    ----------
    loadings
        ``(K2, L)`` Γ.
    log_columns, logit_columns
        Characteristics k whose g_k is the exponential, or the logistic function.
    rows, columns
        ``(P,)`` places of the free parameters in Γ.
    rho
        ``(G,)`` ρ of each nest.
    free_nests
        For each free parameter of the nests, ``(G,)`` one where a nest's ρ is it, else
        zero.
    """

    loadings: Array
    log_columns: list[int]
    logit_columns: list[int]
    rows: Array
    columns: Array
    rho: Array
    free_nests: list[Array]

    @property
    def size(self) -> int:
        """Count the free parameters that δ depends on."""
        return int(self.rows.size) + len(self.free_nests)


class Probabilities(NamedTuple):
    """Probabilities of some agents of b markets.

    ``agents`` say which; ``P`` (b, i, J) and ``P0`` (b, i); with nests ``Q`` (b, i, J)
    and ``M`` (b, i, H), else None.
    """

    agents: slice
    P: Array
    P0: Array
    Q: Array | None
    M: Array | None


def move_tastes(tastes: Tastes, xp: ModuleType) -> DeviceTastes:
    """Put θ on the device."""
    return DeviceTastes(
        loadings=xp.asarray(tastes.loadings),
        log_columns=[int(k) for k in np.flatnonzero(tastes.types == 1)],
        logit_columns=[int(k) for k in np.flatnonzero(tastes.types == 2)],
        rows=xp.asarray(tastes.rows),
        columns=xp.asarray(tastes.columns),
        rho=xp.asarray(tastes.rho),
        free_nests=[
            xp.asarray((tastes.rho_places == r).astype(np.float64))
            for r in range(tastes.size - tastes.rows.size)
        ],
    )


class ShareMap:
    """δ ↦ s(δ, θ) for a batch of markets, with E held where it fits.

    Parameters
    ----------
    batch
        B padded markets.
    tastes
        θ on the device.
    reference
        ``(B, J)`` δ⁰.
    scratch_bytes
        Bound on E.
    xp
        Namespace of the arrays.
    """

    def __init__(
        self,
        batch: Batch,
        tastes: DeviceTastes,
        reference: Array,
        scratch_bytes: int,
        xp: ModuleType,
    ) -> None:
        """Compute E where it fits."""
        self.batch = batch
        self.tastes = tastes
        self.reference = xp.array(reference)
        self.scratch_bytes = scratch_bytes
        self.xp = xp
        self.nests = nest_tastes(batch, tastes.rho)
        n_markets, n_agents, n_products = batch.shape
        fitting = max(1, scratch_bytes // (8 * n_markets * n_products))
        self.tile = min(n_agents, fitting)
        self.held: tuple[Array, Array, Array] | None = None
        if self.tile == n_agents:
            self.held = self._exponentials(batch, self.reference, slice(None))

    def __call__(self, delta: Array) -> tuple[Array, Array]:
        """Compute s ``(B, J)``, one where padded, and s_0 ``(B,)`` at δ ``(B, J)``.

        s_0 is summed over agents, for 1 - Σ_j s_j would cancel where it is small.
        """
        D = self._moves(delta, slice(None))
        total = self.xp.zeros(delta.shape)
        outside = 1.0 - self.batch.weights.sum(axis=1)
        for agents, E, o, f in self.tiles():
            weights = self.batch.weights[:, agents]
            if self.nests is None:
                a = weights / (o + (E @ D[..., None])[..., 0])
                total += (a[:, None, :] @ E)[:, 0, :]
                outside += (a * o).sum(axis=1)
            else:
                G = self.nests.sums(E * D[:, None, :])
                _, per_G, P0 = inclusive_values(G, o, f, self.nests, self.xp)
                a = self.nests.expand(weights[..., None] * per_G)
                total += (a * E).sum(axis=1)
                outside += (weights * P0).sum(axis=1)
        return D * total + self.batch.padding, outside

    def probabilities(
        self, delta: Array, index: Array | slice
    ) -> Iterator[Probabilities]:
        """Yield the probabilities of the markets named, some agents at a time.

        ``delta`` ``(b, J)`` belongs to those markets only.
        """
        D = self._moves(delta, index)[:, None, :]
        nests = None if self.nests is None else self.nests.take(index)
        for agents, E, o, f in self.tiles(index):
            P = E * D
            if nests is None:
                denominator = o + P.sum(axis=2)
                P /= denominator[..., None]
                yield Probabilities(agents, P, o / denominator, None, None)
                continue
            G = nests.sums(P)
            M, per_G, P0 = inclusive_values(G, o, f, nests, self.xp)
            inverse = self.xp.where(G > 0.0, 1.0 / G, 0.0)
            Q = P * nests.expand(inverse)
            yield Probabilities(agents, P * nests.expand(per_G), P0, Q, M)

    def _moves(self, delta: Array, index: Array | slice) -> Array:
        """Compute D ``(b, J)`` of the markets named."""
        moved = delta - self.reference[index]
        if self.nests is not None:
            moved = moved * self.nests.stretch[index]
        return self.xp.exp(moved)

    def tiles(
        self, index: Array | slice | None = None
    ) -> Iterator[tuple[slice, Array, Array, Array]]:
        """Yield agents, E ``(b, i, J)``, o ``(b, i)`` and f of the markets named."""
        index = slice(None) if index is None else index
        if self.held is not None:
            E, o, f = self.held
            yield slice(None), E[index], o[index], f[index]
            return
        batch, reference = self.batch.take(index), self.reference[index]
        for first in range(0, batch.shape[1], self.tile):
            agents = slice(first, first + self.tile)
            yield agents, *self._exponentials(batch, reference, agents)

    def rebase(self, delta: Array, index: Array) -> None:
        """Move the reference point of the markets of ``index`` to δ ``(b, J)``."""
        self.reference[index] = delta
        if self.held is not None:
            batch = self.batch.take(index)
            for held, new in zip(
                self.held, self._exponentials(batch, delta, slice(None)), strict=True
            ):
                held[index] = new

    def drifted(self, delta: Array) -> Array:
        """Mark ``(B,)`` the markets whose δ left their reference point."""
        far = abs(delta - self.reference)
        if self.nests is not None:
            far = far * self.nests.stretch
        return (far > REFERENCE_RADIUS).any(axis=1)

    def follow(self, delta: Array) -> None:
        """Move the reference point of every market whose δ left it."""
        index = np.flatnonzero(to_host(self.drifted(delta), self.xp))
        if index.size > 0:
            index = self.xp.asarray(index)
            self.rebase(delta[index], index)

    def restrict(self, index: Array) -> ShareMap:
        """Make the map of the markets of ``index``, E and all."""
        smaller = object.__new__(ShareMap)
        smaller.batch = self.batch.take(index)
        smaller.tastes = self.tastes
        smaller.reference = self.reference[index]
        smaller.scratch_bytes = self.scratch_bytes
        smaller.xp = self.xp
        smaller.tile = self.tile
        smaller.nests = None if self.nests is None else self.nests.take(index)
        smaller.held = None
        if self.held is not None:
            E, o, f = self.held
            smaller.held = (E[index], o[index], f[index])
        return smaller

    def _exponentials(
        self, batch: Batch, reference: Array, agents: slice
    ) -> tuple[Array, Array, Array]:
        """Compute E ``(B, i, J)``, o ``(B, i)`` and f ``(B, i, H)`` of some agents."""
        xp = self.xp
        E = self._utilities(batch, reference, agents)
        nests = nest_tastes(batch, self.tastes.rho)
        if nests is None:
            highest = xp.maximum(E.max(axis=2), 0.0)
            E -= highest[..., None]
            o, f = xp.exp(-highest), xp.zeros((*highest.shape, 0))
        else:
            E *= nests.stretch[:, None, :]
            o, f = shift(E, nests, xp)
        xp.exp(E, out=E)
        available = batch.available(agents)
        if available is not None:
            E *= available
        return E, o, f

    def _utilities(self, batch: Batch, reference: Array, agents: slice) -> Array:
        """Compute δ⁰ + μ ``(B, i, J)``, -∞ for what nobody, or not who, can buy."""
        xp = self.xp
        V = utilities(batch, reference, agents, self.tastes, xp)
        available = batch.available(agents)
        return V if available is None else xp.where(available > 0.0, V, -xp.inf)

    def left(self, agents: slice, gone: Array) -> Probabilities:
        """Compute probabilities at the reference with choices ``(B, 1, 1 + J)`` gone.

        Utilities are exponentiated relative to the best that is left.
        """
        xp, nests = self.xp, self.nests
        V = self._utilities(self.batch, self.reference, agents)
        V = xp.where(gone[..., 1:] > 0.0, -xp.inf, V)
        outside = xp.where(gone[..., 0] > 0.0, -xp.inf, 0.0)
        best = xp.maximum(V.max(axis=2), outside)
        best = xp.where(xp.isfinite(best), best, 0.0)
        if nests is not None:
            best = xp.where(gone[..., 0] > 0.0, best, 0.0)
        V = V - best[..., None]
        available = self.batch.available(agents)
        there = 1.0 if available is None else available
        if nests is None:
            E, o = xp.exp(V) * there, xp.exp(outside - best)
            total = o + E.sum(axis=2)
            inverse = xp.where(total > 0.0, 1.0 / total, 0.0)
            return Probabilities(
                agents, E * inverse[..., None], o * inverse, None, None
            )
        V = V * nests.stretch[:, None, :]
        o, f = shift(V, nests, xp)
        E, o = xp.exp(V) * there, o * (1.0 - gone[..., 0])
        G = nests.sums(E)
        M, per_G, P0 = inclusive_values(G, o, f, nests, xp)
        M, per_G = xp.where(G > 0.0, M, 0.0), xp.where(G > 0.0, per_G, 0.0)
        Q = E * nests.expand(xp.where(G > 0.0, 1.0 / xp.where(G > 0.0, G, 1.0), 0.0))
        P0 = xp.where(xp.isfinite(P0), P0, 0.0)
        return Probabilities(agents, E * nests.expand(per_G), P0, Q, M)


def utilities(
    batch: Batch, delta: Array, agents: slice, tastes: DeviceTastes, xp: ModuleType
) -> Array:
    """Compute δ_j + μ_ij of some agents, ``(B, i, J)``; -∞ where padded."""
    coefficients = random_coefficients(batch.draws[:, agents], tastes, xp)
    if batch.product_columns:
        found = 0.0
        for k in range(coefficients.shape[2]):
            moved = product_coefficient(batch, agents, coefficients, k, tastes, xp)
            found = found + moved * batch.X2[:, k][:, None, :]
    else:
        found = coefficients @ batch.X2
    found += xp.where(batch.padding > 0, -xp.inf, delta)[:, None, :]
    return found


def random_coefficients(draws: Array, tastes: DeviceTastes, xp: ModuleType) -> Array:
    """Compute g_k(Σ_l Γ_kl draws_il), ``(B, I, K2)``."""
    coefficients = draws @ tastes.loadings.T
    for k in tastes.log_columns:
        coefficients[..., k] = xp.exp(coefficients[..., k])
    for k in tastes.logit_columns:
        coefficients[..., k] = 1.0 / (1.0 + xp.exp(-coefficients[..., k]))
    return coefficients


def coefficients_by_theta(draws: Array, tastes: DeviceTastes, xp: ModuleType) -> Array:
    """Compute v_ip = g_k'(·) draws_il with (k, l) = p's place in Γ, ``(B, I, P)``."""
    slopes = random_coefficients(draws, tastes, xp)
    linear = set(range(slopes.shape[2]))
    linear -= {*tastes.log_columns, *tastes.logit_columns}
    for k in linear:
        slopes[..., k] = 1.0
    for k in tastes.logit_columns:
        slopes[..., k] *= 1.0 - slopes[..., k]
    return slopes[..., tastes.rows] * draws[..., tastes.columns]


def product_coefficient(
    batch: Batch,
    agents: slice,
    coefficients: Array,
    k: int,
    tastes: DeviceTastes,
    xp: ModuleType,
) -> Array:
    """Compute g_k(b_ik + z_ijk), z loading on draws that differ over products.

    ``coefficients`` ``(B, i, K2)`` holds g_k(b_ik), of which b is not had back; as in
    :mod:`blpdask.kernels.loop_product_draws`. Gives ``(B, i, J)``.
    """
    z = 0.0
    for s, column in enumerate(batch.product_columns):
        z = z + tastes.loadings[k, column] * batch.product_draws[:, s, agents]
    if k not in tastes.log_columns and k not in tastes.logit_columns:
        return coefficients[..., k, None] + z
    moved = (batch.draws[:, agents] @ tastes.loadings[k])[..., None] + z
    if k in tastes.log_columns:
        return xp.exp(moved)
    return 1.0 / (1.0 + xp.exp(-moved))


def product_coefficients_by_theta(
    batch: Batch, agents: slice, tastes: DeviceTastes, xp: ModuleType
) -> list[Array]:
    """Compute v_ijp = g_k'(·) draws_ijl of each parameter, (B, i, J) or (B, i, 1)."""
    draws = batch.draws[:, agents]
    if not batch.product_columns:
        v = coefficients_by_theta(draws, tastes, xp)
        return [v[..., p, None] for p in range(v.shape[2])]
    coefficients = random_coefficients(draws, tastes, xp)
    found = []
    for k, column in zip(
        to_host(tastes.rows, xp), to_host(tastes.columns, xp), strict=True
    ):
        k, column = int(k), int(column)
        slope = 1.0
        if k in tastes.log_columns or k in tastes.logit_columns:
            c = product_coefficient(batch, agents, coefficients, k, tastes, xp)
            slope = c if k in tastes.log_columns else c * (1.0 - c)
        if column in batch.product_columns:
            own = batch.product_draws[:, batch.product_columns.index(column), agents]
        else:
            own = draws[..., column, None]
        found.append(slope * own)
    return found


def price_slopes(
    batch: Batch,
    agents: slice,
    alpha: Array,
    X2_by_prices: dict[int, Array],
    tastes: DeviceTastes,
    xp: ModuleType,
) -> Array:
    """Compute α_ij = ∂u_ij/∂p_j of some agents, ``(B, i, J)`` or ``(B, 1, J)``.

    ``alpha`` ``(B, J)`` is the part that is linear in β; ``X2_by_prices`` has ``(B,
    J)`` by places in X2.
    """
    found = alpha[:, None, :]
    if X2_by_prices:
        coefficients = random_coefficients(batch.draws[:, agents], tastes, xp)
        for k, x in X2_by_prices.items():
            c = coefficients[..., k, None]
            if batch.product_columns:
                c = product_coefficient(batch, agents, coefficients, k, tastes, xp)
            found = found + c * x[:, None, :]
    return found
