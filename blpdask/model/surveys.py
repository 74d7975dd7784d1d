"""Expectations of functions of agents and their choices, over a block.

    E_l(θ) = Σ_t Σ_i w_i Σ_{j=0..J} P_ij f_l(i, j)

and how they move with θ along δ(θ) (:mod:`blpdask.kernels.contract`).
"""

from __future__ import annotations

from ..records import ChoiceFunctions, Floats, MarketBlock, Tastes
from .inversion import choose_backend


def expectations(
    block: MarketBlock,
    tastes: Tastes,
    functions: ChoiceFunctions,
    delta: Floats,
    delta_by_theta: Floats,
    *,
    derivatives: bool,
    backend: str,
) -> tuple[Floats, Floats]:
    """Compute E ``(L,)`` and ∂E/∂θ ``(L, P)``, or ``(L, 0)`` where not wanted.

    Parameters
    ----------
    block, tastes, functions
        The markets, θ and the functions.
    delta, delta_by_theta
        ``(N,)`` δ and ``(N, P)`` ∂δ/∂θ.
    derivatives
        Whether derivatives are wanted.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    """
    kernels, scale = choose_backend(backend), block.epsilon_scale
    if scale != 1.0:
        delta, delta_by_theta = delta / scale, delta_by_theta / scale
    return kernels.expectations(
        block, tastes, functions, delta, delta_by_theta, derivatives
    )
