"""What every kernel backend provides, whatever hardware it runs on.

A backend is a module with two functions of these signatures. They take whole blocks
and return whole blocks; loops over markets, iterations, agents and products are inside.

For a market with shares S, agents' weights w and utilities δ_j + μ_ij,

    P_ij = e^{δ_j + μ_ij} / (1 + Σ_k e^{δ_k + μ_ik}),     s_j = Σ_i w_i P_ij,
    μ_ij = Σ_k x_jk g_k(Σ_l Γ_kl draws_il),
    A    = ∂s/∂δ' = diag(s) - P' diag(w) P   (symmetric),
    δ(θ) solves s(δ, θ) = S (Berry 1994; Berry, Levinsohn and Pakes 1995),
    ∂δ/∂θ_p = -A⁻¹ ∂s/∂θ_p,   ∂s_j/∂θ_p = Σ_i w_i P_ij v_ip (x_jk - Σ_l P_il x_lk),
    v_ip = g_k'(·) draws_il with (k, l) the entry of Γ that θ_p is.
"""

from __future__ import annotations

from typing import Protocol

from ..records import (
    Floats,
    Inversion,
    InversionControls,
    InversionStart,
    MarketBlock,
    Tastes,
)


class Backend(Protocol):
    """The two computations that a backend offers on a block of markets."""

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
