"""What the method of simulated moments needs of blocks of people.

    g(θ) = Σ_i w_i m_i(θ),   m_i = Σ_t Σ_j W_itj (y_itj - P̌_itj(θ)),

with instruments W that do not move with θ (:mod:`.choice_instruments`) and P̌ means over
draws, which are linear in what is drawn: E g(θ₀) = 0 at any number of draws, where a
logarithm of P̌ would be biased (McFadden 1989). Moments are of single situations, not
of sequences of a person's choices, whose m_i are summed as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..kernels.choice_moments import choice_moments
from ..records import JOINED, Floats


@dataclass(frozen=True, slots=True)
class MomentState:
    """θ as sent to every block.

    Attributes
    ----------
    tastes
        θ as kernels read it.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    derivatives
        Whether the Jacobian is wanted.
    variances
        Whether the variance over draws is.
    """

    tastes: MixedTastes
    backend: str
    derivatives: bool = True
    variances: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class MomentSums:
    """What a block adds to moments.

    Attributes
    ----------
    moments
        ``(M,)`` g.
    jacobian
        ``(M, P)`` ∂g/∂θ', of no columns where not asked for.
    simulation
        ``(M, M)`` variance of g over draws, Σ_i w_i² Var(m_i); of no rows where not
        asked for.
    nonfinite
        People whose m_i, or a derivative of it, is not finite.
    people
        All people.
    by_person
        ``(I, M)`` w_i m_i, people in the order of blocks.
    """

    moments: Floats
    jacobian: Floats
    simulation: Floats
    nonfinite: int
    people: int
    by_person: Floats = field(metadata=JOINED)


def moments_pass(
    block: ChoiceBlock, state: MomentState, memory: None
) -> tuple[MomentSums, None]:
    """Sum moments over people: what an engine maps over blocks with instruments."""
    del memory
    found = choice_moments(
        block,
        state.tastes,
        backend=state.backend,
        derivatives=state.derivatives,
        variances=state.variances,
    )
    w = block.weights
    flat = found.jacobians.reshape(w.size, -1)
    bad = ~(np.isfinite(found.moments).all(axis=1) & np.isfinite(flat).all(axis=1))
    weighted = w[:, None] * found.moments
    kept = len(found.variances)
    simulation = np.tensordot(w[:kept] ** 2, found.variances, axes=1)
    sums = MomentSums(
        moments=weighted.sum(axis=0),
        jacobian=(w @ flat).reshape(found.jacobians.shape[1:]),
        simulation=simulation if kept else simulation[:0],
        nonfinite=int(bad.sum()),
        people=w.size,
        by_person=weighted,
    )
    return sums, None
