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
    theta = parameters.theta
    points = points_near(starts, theta, theta, seed)
    if _is_number(starts):
        points = within_one(parameters, _clip(points, parameters))
    return tuple(_clip(points, parameters))


def points_near(starts: Any, theta: Floats, sizes: Floats, seed: int) -> Floats:
    """Turn ``starts`` into points ``(S, P)`` besides θ, whatever bounds there are.

    Parameters
    ----------
    starts
        As in :func:`starting_points`.
    theta, sizes
        ``(P,)`` θ, and what standard normal z of random points are multiplied by.
    seed
        Of the random points.
    """
    P = theta.size
    if starts is None:
        return np.empty((0, P))
    if _is_number(starts):
        if starts < 1:
            _refuse(f"starts={starts}", P)
        if not _is_number(seed) or seed < 0:
            _refuse_seed(seed)
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((int(starts) - 1, P))
        return np.asarray(theta + sizes * noise)
    try:
        points = np.atleast_2d(np.asarray(starts, dtype=np.float64))
    except (TypeError, ValueError):
        points = np.empty((0, 0))
    if points.ndim != 2 or points.shape[1] != P or not np.isfinite(points).all():
        _refuse(f"starts of shape {points.shape}", P)
    return points


def _is_number(starts: Any) -> bool:
    return isinstance(starts, int | np.integer) and not isinstance(starts, bool)


def _clip(points: Floats, parameters: Parameters) -> Floats:
    """Cut points at the bounds."""
    bounds = parameters.bounds
    return np.asarray(np.clip(points, bounds[:, 0], bounds[:, 1]))


def _refuse_seed(seed: Any) -> None:
    faults = Faults("starts")
    faults.add(
        f"seed={seed!r} of random starts",
        "a whole number, at least 0",
        "pass one, by which the same starts are found again",
    )
    faults.check()


def _refuse(found: str, P: int) -> None:
    faults = Faults("starts")
    faults.add(
        found,
        f"a number of points, at least 1, or finite points of shape (S, {P})",
        "pass starts=20, or one row a point in the order of theta_labels",
    )
    faults.check()
