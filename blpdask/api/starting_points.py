"""Starting points of a search for the global minimum."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import Faults
from ..model.parameters import Parameters, within_one
from ..records import Floats


def starting_points(
    starts: Any, parameters: Parameters, seed: int
) -> tuple[Floats, ...]:
    """Turn ``starts`` into points besides the given starting values.

    Parameters
    ----------
    starts
        None; a number of points in all, the given values being the first; or points
        ``(S, P)`` in the order of θ, all besides the given values.
    parameters
        The layout of θ.
    seed
        Of the random points: θ_p (1 + z) with z standard normal, cut at the bounds.
    """
    if starts is None:
        return ()
    P = parameters.size
    if isinstance(starts, int | np.integer) and not isinstance(starts, bool):
        if starts < 1:
            _refuse(f"starts={starts}", P)
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((int(starts) - 1, P))
        points = parameters.theta * (1 + noise)
        points = within_one(parameters, _clip(points, parameters))
    else:
        try:
            points = np.atleast_2d(np.asarray(starts, dtype=np.float64))
        except (TypeError, ValueError):
            points = np.empty((0, 0))
        if points.ndim != 2 or points.shape[1] != P or not np.isfinite(points).all():
            _refuse(f"starts of shape {points.shape}", P)
    return tuple(_clip(points, parameters))


def _clip(points: Floats, parameters: Parameters) -> Floats:
    """Cut points at the bounds."""
    bounds = parameters.bounds
    return np.asarray(np.clip(points, bounds[:, 0], bounds[:, 1]))


def _refuse(found: str, P: int) -> None:
    faults = Faults("starts")
    faults.add(
        found,
        f"a number of points, at least 1, or finite points of shape (S, {P})",
        "pass starts=20, or one row a point in the order of theta_labels",
    )
    faults.check()
