"""D'M a over blocks: columns that effects are taken out of, times raw slopes.

Where errors u = M (y - X b) are absorbed, a sum Σ_j a_j ∂u_j/∂ψ is (M a)'D with D the
slopes of y - X b before anything is absorbed: M is symmetric, and a is one column an
equation where D has one a parameter.
"""

from __future__ import annotations

import numpy as np

from ..driver.engine import Placement
from ..model.linear_places import LinearPlaces
from ..moments.continuous import AbsorbState, ScoreSums, absorbed_score_pass
from ..problem.absorption_over_blocks import absorb_over_blocks
from ..problem.prepared import PreparedDemand
from ..records import Floats


def sum_absorbed_scores(
    problem: PreparedDemand, placement: Placement, places: LinearPlaces, name: str
) -> Floats:
    """Compute Σ_e D_e'M_e a_e, ``(P,)``.

    Parameters
    ----------
    problem, placement
        Whose effects, and where its blocks are.
    places
        Which of β and γ are in ψ.
    name
        Of what blocks remember: a_e in the places of δ and c̃, and slopes.
    """
    levels = tuple(
        absorb_over_blocks(
            placement,
            columns="errors",
            beta=np.zeros(problem.X_counts[equation]),
            anchor=name,
            equation=equation,
            level_counts=counts,
            controls=problem.absorption[equation],
        ).levels
        for equation, counts in enumerate(problem.level_counts)
    )
    state = AbsorbState(levels, places)
    sums: ScoreSums = placement.reduce(absorbed_score_pass, state, anchor=name)
    return sums.by_psi
