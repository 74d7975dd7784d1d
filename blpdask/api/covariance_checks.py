"""Check what a solve says about moments E[(ξω - m) Z_C] = 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import Faults
from ..model.parameters import Parameters
from .dimensions import Dimensions


def check_covariance_mean(problem: Dimensions, mean: Any, faults: Faults) -> float:
    """Read m, which needs covariance instruments where it is not zero.

    Parameters
    ----------
    problem
        The problem.
    mean
        As the user gave it.
    faults
        What faults are added to.
    """
    number = isinstance(mean, int | float | np.number) and not isinstance(mean, bool)
    if not number or not np.isfinite(mean):
        faults.add(f"covariance_moments_mean={mean!r}", "a finite number", "correct it")
        return 0.0
    if mean and not problem.MC:
        faults.add(
            f"covariance_moments_mean={mean!r} without covariance moments",
            "columns covariance_instruments0, … of product_data, and a formulation of "
            "X3: products of both sides' errors need a supply side",
            "add them, or leave covariance_moments_mean out",
        )
    return float(mean)


def check_covariance_options(
    problem: Dimensions, faults: Faults, *, finite_differences: bool, resampling: bool
) -> None:
    """Refuse what covariance moments cannot be combined with.

    Parameters
    ----------
    problem
        The problem.
    faults
        What faults are added to.
    finite_differences, resampling
        Whether slopes are to be differences, and agents to be redrawn.
    """
    for name, wrong, expected in (
        ("finite_differences=True", finite_differences, "analytic derivatives"),
        ("resample_agent_data", resampling, "one draw of agents"),
    ):
        if problem.MC and wrong:
            faults.add(
                f"{name} with covariance instruments",
                f"{expected} where products of errors are moments",
                f"leave {name} out, or the columns covariance_instruments0, …",
            )


def check_linear_instruments(
    problem: Dimensions, parameters: Parameters, faults: Faults
) -> None:
    """Check that what is concentrated out is identified without covariance moments.

    Parameters
    ----------
    problem, parameters
        The problem and its layout of θ.
    faults
        What faults are added to.
    """
    out, M = int(parameters.concentrated.sum()), problem.MD + problem.MS
    if problem.MC and out > M:
        faults.add(
            f"{M} instruments of demand and supply for {out} parameters that are "
            "concentrated out of the objective",
            "as many at least: covariance moments say nothing of those",
            "give starting values of some of beta and gamma, or add instruments",
        )
