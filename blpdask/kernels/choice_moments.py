"""Kernels of moments of choices by name of a backend.

With instruments W_itj of alternative j ``(M,)`` and y of what was chosen, c, the
moments of person i at draw r are

    m_ir = Σ_t Σ_j W_itj (y_itj - P_itjr) = -Σ_t Σ_{j≠c} (W_itj - W_itc) P_itjr,

since probabilities sum to one. Their mean over draws is linear in P, so that its
expectation over draws does not depend on how many there are (McFadden 1989).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..errors import Faults
from ..records import Floats
from .choices import slopes_by_theta


@dataclass(frozen=True, slots=True, eq=False)
class PersonMoments:
    """Moments of people, means over draws; weights of people in none.

    Attributes
    ----------
    moments
        ``(I, M)`` m_i = Σ_r w_r m_ir / R.
    jacobians
        ``(I, M, P)`` ∂m_i/∂θ; of no columns where not asked for.
    variances
        ``(I, M, M)`` of m_i over draws, estimated as if these were independent: NaN
        where there is one draw. Of no rows where not asked for.
    """

    moments: Floats
    jacobians: Floats
    variances: Floats


def choice_moments(
    block: ChoiceBlock,
    tastes: MixedTastes,
    *,
    backend: str,
    derivatives: bool = True,
    variances: bool = False,
) -> PersonMoments:
    """Compute moments of a block's people, and derivatives.

    Parameters
    ----------
    block
        Choices of people. Columns of X beyond those that θ has coefficients for are
        the instruments, ``(N, M)``.
    tastes
        θ.
    backend
        ``cupy``, or another of NumPy's arrays, by which ``numba`` too computes these.
    derivatives
        Whether derivatives are wanted.
    variances
        Whether variances over draws are.

    Raises
    ------
    InputError
        Where a block does not fit θ, or has no instruments.
    """
    from .array_choice_moments import array_choice_moments

    _check(block, tastes)
    kernels = array_choice_moments("cupy" if backend == "cupy" else "numpy")
    found = kernels.choice_moments(
        block, tastes, derivatives=derivatives, variances=variances
    )
    if not derivatives:
        return found
    by_theta = [
        slopes_by_theta(found.jacobians[:, m], block.demographics, tastes)
        for m in range(found.moments.shape[1])
    ]
    return replace(found, jacobians=np.stack(by_theta, axis=1))


def _check(block: ChoiceBlock, tastes: MixedTastes) -> None:
    """Check that X, draws and demographics have the columns that moments need."""
    faults = Faults("moments of choices")
    K = tastes.n_columns
    if block.X.shape[1] <= K:
        faults.add(
            found=f"{block.X.shape[1]} columns of characteristics and instruments",
            expected=f"{K} columns of characteristics, and instruments beside them",
            remedy="attach instruments to the block",
        )
    for name, found, expected in (
        ("draws", block.draws.shape[2], tastes.loadings.shape[1]),
        ("demographics", block.demographics.shape[1], tastes.shifts.shape[1]),
    ):
        if found != expected:
            faults.add(
                found=f"{found} columns of {name}",
                expected=f"{expected}, one for each coefficient that uses them",
                remedy="let the data and the kinds of coefficients agree",
            )
    faults.check()
