"""Market shares from mean utilities, for a batch of markets at once.

With a reference point δ⁰ (at first the inversion's start) and agent i's best utility
there, m_i = max(0, max_j(μ_ij + δ⁰_j)),

    E_ij = exp(μ_ij + δ⁰_j - m_i),   o_i = exp(-m_i),   D_j = exp(δ_j - δ⁰_j),
    a_i = w_i / (o_i + Σ_j E_ij D_j),   s_j = D_j Σ_i a_i E_ij,   s_0 = 1 - Σ_j s_j,
    μ_ij = Σ_k x_jk g_k(Σ_l Γ_kl draws_il).

E depends on θ and δ⁰ only, so a share map is two batched matrix-vector products.
Nothing overflows, because E <= 1 and D is near one; a market whose δ leaves the
neighbourhood of δ⁰ gets a new one. Where one market's E exceeds the bound on scratch
memory, agents are tiled and E is computed again, tile by tile.

References: Berry, Levinsohn and Pakes (1995), equations 6.6-6.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..records import Tastes
from .array_batches import Array, Batch, to_host

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
    """

    loadings: Array
    log_columns: list[int]
    logit_columns: list[int]
    rows: Array
    columns: Array


def move_tastes(tastes: Tastes, xp: ModuleType) -> DeviceTastes:
    """Put θ on the device."""
    return DeviceTastes(
        loadings=xp.asarray(tastes.loadings),
        log_columns=[int(k) for k in np.flatnonzero(tastes.types == 1)],
        logit_columns=[int(k) for k in np.flatnonzero(tastes.types == 2)],
        rows=xp.asarray(tastes.rows),
        columns=xp.asarray(tastes.columns),
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
        n_markets, n_agents, n_products = batch.shape
        fitting = max(1, scratch_bytes // (8 * n_markets * n_products))
        self.tile = min(n_agents, fitting)
        self.held: tuple[Array, Array] | None = None
        if self.tile == n_agents:
            self.held = self._exponentials(batch, self.reference, slice(None))

    def __call__(self, delta: Array) -> tuple[Array, Array]:
        """Compute s ``(B, J)``, one where padded, and s_0 ``(B,)`` at δ ``(B, J)``.

        s_0 is summed over agents, for 1 - Σ_j s_j would cancel where it is small.
        """
        D = self.xp.exp(delta - self.reference)
        total = self.xp.zeros(delta.shape)
        outside = 1.0 - self.batch.weights.sum(axis=1)
        for agents, E, o in self.tiles():
            denominator = o + (E @ D[..., None])[..., 0]
            a = self.batch.weights[:, agents] / denominator
            total += (a[:, None, :] @ E)[:, 0, :]
            outside += (a * o).sum(axis=1)
        return D * total + self.batch.padding, outside

    def probabilities(
        self, delta: Array, index: Array | slice
    ) -> Iterator[tuple[slice, Array, Array]]:
        """Yield agents, P ``(b, i, J)`` and P_i0 ``(b, i)`` of the markets named.

        ``delta`` ``(b, J)`` belongs to those markets only.
        """
        D = self.xp.exp(delta - self.reference[index])[:, None, :]
        for agents, E, o in self.tiles(index):
            P = E * D
            denominator = o + P.sum(axis=2)
            P /= denominator[..., None]
            yield agents, P, o / denominator

    def tiles(
        self, index: Array | slice | None = None
    ) -> Iterator[tuple[slice, Array, Array]]:
        """Yield agents, E ``(b, i, J)`` and o ``(b, i)`` of the markets named."""
        index = slice(None) if index is None else index
        if self.held is not None:
            E, o = self.held
            yield slice(None), E[index], o[index]
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
            E, o = self._exponentials(batch, delta, slice(None))
            self.held[0][index] = E
            self.held[1][index] = o

    def drifted(self, delta: Array) -> Array:
        """Mark ``(B,)`` the markets whose δ left their reference point."""
        return (abs(delta - self.reference) > REFERENCE_RADIUS).any(axis=1)

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
        smaller.held = None
        if self.held is not None:
            smaller.held = (self.held[0][index], self.held[1][index])
        return smaller

    def _exponentials(
        self, batch: Batch, reference: Array, agents: slice
    ) -> tuple[Array, Array]:
        """Compute E ``(B, i, J)`` and o ``(B, i)`` of some agents."""
        xp = self.xp
        coefficients = random_coefficients(batch.draws[:, agents], self.tastes, xp)
        E = coefficients @ batch.X2
        E += xp.where(batch.padding > 0, -xp.inf, reference)[:, None, :]
        highest = xp.maximum(E.max(axis=2), 0.0)
        E -= highest[..., None]
        xp.exp(E, out=E)
        return E, xp.exp(-highest)


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
