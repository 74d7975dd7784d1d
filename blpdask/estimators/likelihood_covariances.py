"""Covariances of estimates that maximise a simulated likelihood.

With H the Hessian of LL = Σ_i w_i log P_i, s_i the score of person i, and clusters c,

    hessian    (-H)⁻¹,                     bhhh       (Σ_i w_i s_i s_i')⁻¹,
    robust     H⁻¹ (Σ_i w_i² s_i s_i') H⁻¹,
    clustered  H⁻¹ (Σ_c S_c S_c') H⁻¹,     S_c = Σ_{i∈c} w_i s_i

(Berndt, Hall, Hall and Hausman 1974; White 1982). A person's choices are not
independent of one another, so a person is the smallest unit. No small-sample factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from ..errors import Faults
from ..records import Floats, Integers

SE_TYPES = ("hessian", "bhhh", "robust", "clustered")


def likelihood_covariances(
    se_type: str,
    *,
    hessian: Floats,
    scores: Floats,
    weights: Floats,
    clusters: Integers | None = None,
) -> Floats:
    """Compute covariances of θ, ``(P, P)``; NaN where a matrix cannot be inverted.

    Parameters
    ----------
    se_type
        One of :data:`SE_TYPES`.
    hessian
        ``(P, P)`` H.
    scores
        ``(I, P)`` w_i s_i.
    weights
        ``(I,)`` w_i.
    clusters
        ``(I,)`` codes from zero, of ``clustered``.
    """
    if se_type == "bhhh":
        counted = weights > 0.0
        own = scores[counted]
        return invert_information(own.T @ (own / weights[counted, None]))
    inverse = invert_information(-hessian)
    if se_type == "hessian":
        return inverse
    if se_type == "clustered":
        assert clusters is not None
        summed = np.zeros((int(clusters.max()) + 1, scores.shape[1]))
        np.add.at(summed, clusters, scores)
        scores = summed
    half = scores @ inverse
    return np.asarray(half.T @ half)


def summed_covariances(
    se_type: str, *, hessian: Floats, outer: Floats, information: Floats
) -> Floats:
    """Compute covariances of θ from sums over people, ``(P, P)``.

    Parameters
    ----------
    se_type
        One of :data:`SE_TYPES` but ``clustered``.
    hessian
        ``(P, P)`` H.
    outer, information
        ``(P, P)`` Σ_i w_i² s_i s_i' and Σ_i w_i s_i s_i'.
    """
    if se_type == "bhhh":
        return invert_information(information)
    inverse = invert_information(-hessian)
    return inverse if se_type == "hessian" else inverse @ outer @ inverse


def check_errors(
    se_type: str,
    se_types: Sequence[str],
    clusters: Integers | None,
    n_people: int,
    faults: Faults,
) -> None:
    """Check the kind of standard errors, among ``se_types``, and clusters."""
    if se_type not in se_types:
        faults.add(
            found=f"se_type {se_type!r}",
            expected=f"one of {', '.join(se_types)}",
            remedy="choose one of these",
        )
    if (se_type == "clustered") != (clusters is not None):
        faults.add(
            found=f"se_type {se_type!r} with{'' if clusters is not None else 'out'} "
            "clusters",
            expected="clusters with se_type 'clustered', and only then",
            remedy="give both or neither",
        )
    elif clusters is not None and np.shape(clusters) != (n_people,):
        faults.add(
            found=f"clusters of shape {np.shape(clusters)}",
            expected=f"one for each of {n_people} people",
            remedy="give clusters of people, in the order of blocks",
        )


def invert_information(information: Floats) -> Floats:
    """Invert a matrix that should be positive definite; NaN where it is not."""
    try:
        factor = scipy.linalg.cho_factor(information)
    except (scipy.linalg.LinAlgError, ValueError):
        return np.full_like(information, np.nan)
    inverse = scipy.linalg.cho_solve(factor, np.eye(information.shape[0]))
    return np.asarray((inverse + inverse.T) / 2.0)
