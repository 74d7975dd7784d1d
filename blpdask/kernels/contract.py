"""What every kernel backend provides, whatever hardware it runs on.

A backend is a module with functions of these signatures. They take whole blocks and
return whole blocks; loops over markets, iterations, agents and products are inside.

For a market with shares S, agents' weights w and utilities δ_j + μ_ij,

    P_ij = e^{δ_j + μ_ij} / (1 + Σ_k e^{δ_k + μ_ik}),     s_j = Σ_i w_i P_ij,
    μ_ij = Σ_k x_jk g_k(Σ_l Γ_kl draws_il),
    A    = ∂s/∂δ' = diag(s) - P' diag(w) P   (symmetric),
    δ(θ) solves s(δ, θ) = S (Berry 1994; Berry, Levinsohn and Pakes 1995),
    ∂δ/∂θ_p = -A⁻¹ ∂s/∂θ_p,   ∂s_j/∂θ_p = Σ_i w_i P_ij v_ip (x_jk - Σ_l P_il x_lk),
    v_ip = g_k'(·) draws_il with (k, l) the entry of Γ that θ_p is.

With nests h, parameters ρ_h, t_h = 1 / (1 - ρ_h) and V_ij = δ_j + μ_ij (McFadden 1978;
Cardell 1997; Grigolon and Verboven 2014),

    P_ij = Q_ij M_ih,   Q_ij = e^{t_h V_ij} / Σ_{k∈h} e^{t_h V_ik},
    M_ih = e^{I_ih} / (1 + Σ_g e^{I_ig}),   I_ih = (1 - ρ_h) log Σ_{k∈h} e^{t_h V_ik},
    A    = diag(t_h s_j) - Σ_i w_i P_i P_i' - Σ_h (t_h - 1) Σ_i w_i M_ih Q_ih Q_ih',

and logarithms of probabilities move with utilities, and with ρ_g, by

    dlog P_ij = u_ij - ρ_h ū_ih - Σ_g (1 - ρ_g) M_ig ū_ig,   u_ij = t_h dV_ij,
    dlog P_ij = 1[j∈g] t_g (log Q_ij + ρ_g E_ig) + M_ig E_ig,
    ū_ih = Σ_{k∈h} Q_ik u_ik,   E_ig = -Σ_{k∈g} Q_ik log Q_ik.

Where draws_ijl differ over products, coefficients and v_ijp do too, and μ_ij is
Σ_k x_jk g_k(Σ_l Γ_kl draws_ijl). Where a_ij says how far product j is there for agent
i, e^{V_ij}, or with nests e^{t_h V_ij}, is multiplied by a_ij.

Firms that set prices satisfy, for every product j and with H_jk the weight that the
owner of j puts on profits of k, s_j + Σ_k H_jk (p_k - c_k) ∂s_k/∂p_j = 0, or

    Δη = s,   η = p - c,   Δ_jk = -H_jk ∂s_k/∂p_j,
    ∂s_k/∂p_j = 1[j=k] Σ_i w_i α_ij P_ij - Σ_i w_i α_ij P_ij P_ik,
    α_ij = ∂u_ij/∂p_j = Σ_k β_k ∂x1_jk/∂p_j + Σ_k g_k(·) ∂x2_jk/∂p_j

(Berry, Levinsohn and Pakes 1995, equations 3.5-3.6); with nests

    ∂s_k/∂p_j = 1[j=k] t_h Σ_i w_i α_ij P_ij
                - Σ_i w_i α_ij P_ij (P_ik + 1[k∈h] (t_h - 1) Q_ik).

With Δ = H ∘ (Γ - Λ), where

    Λ_j = t_h Σ_i w_i α_ij P_ij,   m = p - c,
    Γ_jk = Σ_i w_i α_ij P_ij (P_ik + 1[k∈h] (t_h - 1) Q_ik),

and t_h is one without nests, the same conditions are a fixed point whose iteration
needs no solve, p = c + ζ(p),

    ζ_j = (Σ_k H_jk Γ_jk m_k - s_j) / (H_jj Λ_j),

and H_jj Λ_j (m_j - ζ_j) is the gradient of profits (Morrow and Skerlos 2011).

Surveys average functions f of agents and choices, j = 0 being the outside option:

    E = Σ_i w_i E_i,   E_i = Σ_{j=0..J} P_ij f_ij,   dE_i = Σ_j B_ij dV_ij,
    B_ij = t_h P_ij f_ij - (t_h - 1) Q_ij Σ_{k∈h} P_ik f_ik - P_ij E_i,
    dV_ij = ∂δ_j/∂θ_p + v_ip x_jk,

since Σ_j P_ij f_ij dlog P_ij gathers by utilities into B; and by ρ_g at given
utilities Σ_j P_ij f_ij dlog P_ij itself, where dlog P_i0 = M_ig E_ig.

Who chose j and would choose k if the group g ∋ j were gone are the share P_ij / P_ig
of those whom k gains,

    P_ijk = P_ij / P_ig (P_ik^-g - P_ik),   k ∉ g,   P_ig = Σ_{j∈g} P_ij,

which is exact where groups lie within nests or are unions of them, and without nests is
P_ij P_ik / (1 - P_ig) (Conlon and Gortmaker 2025). Of functions of both choices

    E_i = Σ_{j,k} P_ijk f_ijk.

Shares respond to a characteristic x that moves utilities by α_ij = ∂u_ij/∂x_j as they
do to prices, by ∂s_j/∂x_k above; δ is one with α = 1. Where product j alone is gone,
g = {j}, the others and the outside option gain Σ_i w_i P_ijk, over all k ≠ j s_j in
sum (Conlon and Mortimer 2021). With c_ij = M_ih (1 - (1 - Q_ij)^(1-ρ_h)), what agent i
no longer chooses of what was there,

    P_ijk = P_ik (c_ij + 1[k∈h] ((1 - Q_ij)^(-ρ_h) - 1)) / (1 - c_ij),   j ∈ h,

in which nothing is a difference of near numbers if 1 - Q_ij, (1 - Q_ij)^(·) - 1 and
1 - c_ij = 1 - M_ih + M_ih (1 - Q_ij)^(1-ρ_h) are not computed as differences.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..records import (
    ChoiceFunctions,
    Floats,
    Inversion,
    InversionControls,
    InversionStart,
    MarketBlock,
    Markups,
    PriceConditions,
    PriceSearch,
    PriceTastes,
    Tastes,
    TrialPrices,
)


class Backend(Protocol):
    """The computations that a backend offers on a block of markets."""

    def invert(
        self,
        block: MarketBlock,
        tastes: Tastes,
        start: InversionStart,
        controls: InversionControls,
    ) -> Inversion:
        """Solve s(δ, θ) = S for δ in every market and differentiate the solution."""
        ...

    def shares(self, block: MarketBlock, tastes: Tastes, delta: Floats) -> Floats:
        """Compute s(δ, θ), ``(N,)``, at given mean utilities."""
        ...

    def markups(
        self,
        block: MarketBlock,
        tastes: Tastes,
        price_tastes: PriceTastes,
        delta: Floats,
        delta_by_theta: Floats,
        scratch_bytes: int,
    ) -> Markups:
        """Solve Δη = S for η in every market and differentiate along δ(θ)."""
        ...

    def conditions(
        self,
        block: MarketBlock,
        tastes: Tastes,
        trial: TrialPrices,
        margins: Floats,
        active: NDArray[np.bool_],
        scratch_bytes: int,
    ) -> PriceConditions:
        """Compute s, Λ and ζ at trial prices, in the active markets alone."""
        ...

    def equilibrium(
        self,
        block: MarketBlock,
        tastes: Tastes,
        line: TrialPrices,
        start: Floats,
        costs: Floats,
        controls: InversionControls,
    ) -> PriceSearch | None:
        """Iterate p = c + ζ(p) where utility is linear in prices.

        None where the backend leaves iterating to those who ask for conditions.
        """
        ...

    def expectations(
        self,
        block: MarketBlock,
        tastes: Tastes,
        functions: ChoiceFunctions,
        delta: Floats,
        delta_by_theta: Floats,
        derivatives: bool,
    ) -> tuple[Floats, Floats]:
        """Compute E ``(L,)`` of functions and, along δ(θ), ∂E/∂θ ``(L, P)``."""
        ...

    def jacobians(
        self,
        block: MarketBlock,
        tastes: Tastes,
        trial: TrialPrices,
        scratch_bytes: int,
        room: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """Compute ∂s_j/∂x_k of all markets, ``(F,)``, and s ``(N,)``.

        Markets' matrices [j, k] are row-major, one after another (F = Σ J_t²). Of the
        trial, ``alpha`` is what all agents share of ∂u_ij/∂x_j, and ``X2_by_prices`` is
        ∂x2/∂x. They are put into ``room`` ``(F,)`` where it is given.
        """
        ...

    def removals(
        self,
        block: MarketBlock,
        tastes: Tastes,
        delta: Floats,
        scratch_bytes: int,
        room: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """Compute what k gains where j is gone, ``(F,)``, and s ``(N,)``.

        As [j, k] likewise; on the diagonals is what the outside option gains.
        """
        ...
