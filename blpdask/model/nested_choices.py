"""Nested logit of choices of people: probabilities and their derivatives.

With nests h, ρ_h in [0, 1) and λ_h = 1 - ρ_h,

    P_j = Q_j M_h,   Q_j = e^{V_j/λ_h} / D_h,   M_h = D_h^{λ_h} / Σ_g D_g^{λ_g},
    D_h = Σ_{k∈h} e^{V_k/λ_h},   V_j = x_j'β

(McFadden 1978; Train 2009, 4.2). At ρ = 0 this is the logit, and where a nest has one
alternative its ρ does not matter. With averages x̄_h = Σ_{j∈h} Q_j x_j of a nest, and
of u_j = V_j/λ_h alike,

    ∂log P_j/∂β = (x_j - x̄_h)/λ_h + x̄_h - Σ_g M_g x̄_g,
    ∂log P_j/∂λ_g = 1{g = h} ((ū_h - u_j)/λ_h + e_h) - M_g e_g,   e_h = log D_h - ū_h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..choice_records import ChoiceBlock
from ..records import Floats, Integers


def _none() -> Integers:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class NestedBlock(ChoiceBlock):
    """People whose alternatives stand in nests, side by side in each situation.

    Attributes
    ----------
    cell_offsets
        ``(C + 1,)`` first row of each cell, the alternatives of one nest in one
        situation, then N.
    cell_nests
        ``(C,)`` nest of each cell.
    situation_cells
        ``(S + 1,)`` first cell of each situation, then C.
    """

    cell_offsets: Integers = field(default_factory=_none)
    cell_nests: Integers = field(default_factory=_none)
    situation_cells: Integers = field(default_factory=_none)


@dataclass(frozen=True)
class NestedCoefficients:
    """Which parameters a nested logit has: β, then ρ.

    Attributes
    ----------
    labels
        ``(K,)`` names of the columns of X.
    nests
        ``(H,)`` names of the nests.
    rho_labels
        ``(G,)`` names of the ρ that are parameters.
    rho_places
        ``(H,)`` which of these each nest has, -1 where its ρ is zero.
    """

    labels: tuple[str, ...]
    nests: tuple[str, ...]
    rho_labels: tuple[str, ...]
    rho_places: tuple[int, ...]

    @property
    def size(self) -> int:
        """Count the parameters, P."""
        return len(self.labels) + len(self.rho_labels)

    @property
    def parameter_labels(self) -> tuple[str, ...]:
        """Name the parameters, ``(P,)``."""
        return (*self.labels, *self.rho_labels)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the coefficients, ``(K,)``: all are fixed."""
        return ("fixed",) * len(self.labels)

    @property
    def random(self) -> Integers:
        """Places of the coefficients that vary: none."""
        return _none()

    @property
    def correlated(self) -> bool:
        """Whether random coefficients are correlated: there are none."""
        return False

    @property
    def in_wtp(self) -> bool:
        """Whether coefficients are in willingness-to-pay space: never."""
        return False

    def signs(self, theta: Floats, of: Callable[..., Floats]) -> Floats:
        """Give the signs ``(P,)`` with which parameters are shown: all as they are."""
        del of
        return np.ones(theta.size)

    def nest_rho(self, values: Floats) -> Floats:
        """Give each nest its ρ ``(H,)``, of the parameters ``(G,)``."""
        return np.append(values, 0.0)[list(self.rho_places)]

    def hold(self, place: int) -> NestedCoefficients:
        """Let one of the ρ be no parameter but zero."""
        kept = [g for g in range(len(self.rho_labels)) if g != place]
        moved = {g: n for n, g in enumerate(kept)}
        return NestedCoefficients(
            labels=self.labels,
            nests=self.nests,
            rho_labels=tuple(self.rho_labels[g] for g in kept),
            rho_places=tuple(moved.get(g, -1) for g in self.rho_places),
        )


@dataclass(frozen=True, slots=True, eq=False)
class NestedProbabilities:
    """Probabilities within nests and of nests.

    Attributes
    ----------
    u, Q
        ``(N,)`` utilities over λ, and probabilities within nests.
    log_D, M
        ``(C,)`` of cells, M being probabilities of nests.
    log_P
        ``(S,)`` logarithms of probabilities of what was chosen.
    cells, scales
        ``(N,)`` cell of each row, and ``(C,)`` λ of each cell.
    """

    u: Floats
    Q: Floats
    log_D: Floats
    M: Floats
    log_P: Floats
    cells: Integers
    scales: Floats

    @property
    def P(self) -> Floats:
        """Probabilities of alternatives, ``(N,)``."""
        return np.asarray(self.Q * self.M[self.cells])


def nested_probabilities(
    block: NestedBlock, beta: Floats, rho: Floats
) -> NestedProbabilities:
    """Compute probabilities at β ``(K,)`` and ρ ``(H,)``."""
    scales = (1.0 - rho)[block.cell_nests]
    cells = np.repeat(np.arange(scales.size), np.diff(block.cell_offsets))
    u = block.X @ beta / scales[cells]
    Q, log_D = _logit(u, block.cell_offsets, cells)
    own = np.diff(block.situation_cells)
    situations = np.repeat(np.arange(own.size), own)
    W = scales * log_D
    M, log_total = _logit(W, block.situation_cells, situations)
    chosen = cells[block.chosen]
    log_P = u[block.chosen] - log_D[chosen] + W[chosen] - log_total
    return NestedProbabilities(u, Q, log_D, M, log_P, cells, scales)


def nested_slopes(
    block: NestedBlock, found: NestedProbabilities, places: Integers, n_rho: int
) -> Floats:
    """Compute ∂log P/∂(β, ρ) of what was chosen, ``(S, K + G)``.

    Parameters
    ----------
    block, found
        Choices, and their probabilities.
    places
        ``(H,)`` which of G = ``n_rho`` parameters each nest's ρ is, or -1.
    """
    of_cells, of_situations = block.cell_offsets[:-1], block.situation_cells[:-1]
    chosen = found.cells[block.chosen]
    means = np.add.reduceat(found.Q[:, None] * block.X, of_cells, axis=0)
    overall = np.add.reduceat(found.M[:, None] * means, of_situations, axis=0)
    scale = found.scales[chosen]
    own = means[chosen]
    by_beta = (block.X[block.chosen] - own) / scale[:, None] + own - overall
    average = np.add.reduceat(found.Q * found.u, of_cells)
    excess = found.log_D - average
    S = chosen.size
    by_scale = np.zeros((S, n_rho + 1))  # the last for nests of no parameter
    columns = places[block.cell_nests]
    situations = np.repeat(np.arange(S), np.diff(block.situation_cells))
    np.add.at(by_scale, (situations, columns), -found.M * excess)
    inside = (average[chosen] - found.u[block.chosen]) / scale + excess[chosen]
    by_scale[np.arange(S), columns[chosen]] += inside
    return np.concatenate([by_beta, -by_scale[:, :n_rho]], axis=1)


def _logit(
    utilities: Floats, offsets: Integers, groups: Integers
) -> tuple[Floats, Floats]:
    """Compute logit probabilities within groups, and log-sums of the groups."""
    top = np.maximum.reduceat(utilities, offsets[:-1])
    odds = np.exp(utilities - top[groups])
    totals = np.add.reduceat(odds, offsets[:-1])
    return odds / totals[groups], top + np.log(totals)
