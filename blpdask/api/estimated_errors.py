"""From results to what is computed at them: θ̂ with its layout, ξ, ω and their slopes.

The layout has the free entries of the estimation, those that ended at zero among them,
and holds what the estimation held.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..estimators.drawn_markets import EstimatedErrors
from ..model.parameters import Parameters
from ..problem.outline import DemandOutline
from ..results.estimates import GmmEstimates
from ..results.parameter_places import parameter_places

#: Where a free entry that ended at zero is laid out; any number that is not zero.
_FREE = 0.5


def estimated_errors(
    estimates: GmmEstimates, outline: DemandOutline
) -> EstimatedErrors:
    """Gather estimates and their errors, whose rows are in memory.

    Parameters
    ----------
    estimates
        Of one GMM step.
    outline
        Of the problem.
    """
    costs: dict[str, Any] = {}
    if estimates.tilde_costs is not None:
        costs = {
            "tilde_costs": np.asarray(estimates.tilde_costs)[:, 0],
            "omega": np.asarray(estimates.omega)[:, 0],
            "omega_by_theta": np.asarray(estimates.omega_by_theta_jacobian),
        }
    return EstimatedErrors(
        parameters=estimated_layout(estimates, outline),
        theta=estimates.theta,
        beta=estimates.beta[:, 0],
        gamma=estimates.gamma[:, 0],
        delta=np.asarray(estimates.delta)[:, 0],
        xi=np.asarray(estimates.xi)[:, 0],
        xi_by_theta=np.asarray(estimates.xi_by_theta_jacobian),
        **costs,
    )


def estimated_layout(estimates: GmmEstimates, outline: DemandOutline) -> Parameters:
    """Lay θ out as it was in the estimation."""
    names = ("sigma", "pi", "rho", "type_shares", "phi", "beta", "gamma")
    start = {name: np.array(getattr(estimates, name)) for name in names}
    lower = {name: values.copy() for name, values in start.items()}
    upper = {name: values.copy() for name, values in start.items()}
    for place in parameter_places(estimates)[: estimates.theta.size]:
        at = place.row, place.column
        if place.matrix == "type_shares":
            continue
        start[place.matrix][at] = start[place.matrix][at] or _FREE
        lower[place.matrix][at], upper[place.matrix][at] = -np.inf, np.inf
    low, high = (bound[:, 0] for bound in estimates.type_shares_bounds)
    lower["type_shares"][low != high], upper["type_shares"][low != high] = (
        -np.inf,
        np.inf,
    )
    K1 = len(outline.X1_columns)
    out = estimates.concentrated
    for name, flags in (("beta", out[:K1]), ("gamma", out[K1:])):
        start[name][flags, 0] = np.nan
        lower[name][flags, 0], upper[name][flags, 0] = -np.inf, np.inf
    given: dict[str, Any] = {n: v if v.size else None for n, v in start.items()}
    bounds = {
        f"{n}_bounds": (lower[n], upper[n]) if start[n].size else None for n in names
    }
    return outline.lay_out(**given, **bounds, bounded=False, default_bounds=False)
