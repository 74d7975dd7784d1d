"""Covariances of estimates at which moments are zero, and how much of them is draws'.

With g = Σ_i w_i m_i and A = -∂g/∂θ', to first order θ̂ - θ₀ = A⁻¹ g(θ₀), so that

    Var θ̂ = A⁻¹ (B + B_sim) A⁻ᵀ,

with B of sampling and B_sim of draws (McFadden 1989; Pakes and Pollard 1989). People
have draws of their own, independent of their choices: what of g is due to draws is in
m_i as it was simulated, and

    Σ_i w_i² m_i m_i',   or of clusters c   Σ_c m_c m_c',   m_c = Σ_{i∈c} w_i m_i,

estimates B + B_sim. Nothing is added to it; A⁻¹ B_sim A⁻ᵀ is told beside.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats, Integers

#: Kinds of standard errors.
MOMENT_SE_TYPES = ("robust", "clustered")


def moment_covariances(
    jacobian: Floats, by_person: Floats, clusters: Integers | None = None
) -> Floats:
    """Compute covariances of θ, ``(P, P)``; NaN where the Jacobian is singular.

    Parameters
    ----------
    jacobian
        ``(P, P)`` ∂g/∂θ'.
    by_person
        ``(I, P)`` w_i m_i.
    clusters
        ``(I,)`` clusters of people; None where people are the clusters.
    """
    summed = by_person
    if clusters is not None:
        names, codes = np.unique(clusters, return_inverse=True)
        summed = np.zeros((names.size, by_person.shape[1]))
        np.add.at(summed, codes.ravel(), by_person)
    return sandwich(jacobian, summed.T @ summed)


def sandwich(jacobian: Floats, middle: Floats) -> Floats:
    """Compute G⁻¹ S G⁻ᵀ of two matrices ``(P, P)``; NaN where G is singular."""
    try:
        half = np.linalg.solve(jacobian, middle)
        found = np.linalg.solve(jacobian, half.T)
    except np.linalg.LinAlgError:
        return np.full_like(jacobian, np.nan)
    return np.asarray((found + found.T) / 2.0)
