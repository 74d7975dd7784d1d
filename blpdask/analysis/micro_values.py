"""What a model at an estimate says of micro moments, f_m(v(θ̂)).

    v_p = Σ_t Σ_i w_i Σ_j P_ij W_dij v_pij / Σ_t Σ_i w_i Σ_j P_ij W_dij

(:mod:`blpdask.moments.surveys`), one pass over blocks that were surveyed.
"""

from __future__ import annotations

import numpy as np

from ..driver.engine import Engine
from ..model.inversion import InversionMemory
from ..moments.surveys import (
    MicroTargets,
    SurveyState,
    SurveySums,
    micro_values,
    surveys_pass,
)
from ..problem.prepared import PreparedDemand
from ..records import Floats, Tastes

_AT = "delta at the estimates"


def moment_values(
    problem: PreparedDemand,
    targets: MicroTargets,
    tastes: Tastes,
    delta: Floats,
    engine: Engine,
    backend: str = "numba",
) -> Floats:
    """Compute f_m(v), ``(MM,)``.

    Parameters
    ----------
    problem
        Whose blocks have what surveys ask of them.
    targets
        Which parts, and which functions of them.
    tastes
        θ̂.
    delta
        ``(N,)`` δ̂ in the order of markets.
    engine, backend
        Where and by what expectations are computed.
    """
    placement = engine.place(problem.source)
    none = np.empty(0)
    try:
        parts = np.split(delta, np.cumsum(problem.block_sizes)[:-1])
        placement.remember(
            _AT,
            [
                InversionMemory(None, own, np.empty((own.size, 0)), none)
                for own in parts
            ],
        )
        state = SurveyState(tastes, derivatives=False, squares=False, backend=backend)
        sums: SurveySums = placement.reduce(surveys_pass, state, anchor=_AT)
    finally:
        placement.close()
    return micro_values(targets, sums).values
