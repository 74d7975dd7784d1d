"""Check the arguments of a solve; every fault goes to one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import options
from ..driver.choose import choose_engine
from ..driver.engine import Engine
from ..errors import Faults, InputError
from ..estimators.gmm_options import CostRule
from ..estimators.optimizers.choose import OptimizerChoice
from ..moments.simulation_error import SCALINGS
from ..moments.weighting import MOMENT_COVARIANCE_TYPES, is_clustered
from ..records import Floats
from .iteration import Iteration
from .optimization import Optimization

METHODS = ("1s", "2s", "iterated", "cue")
BACKENDS = ("numba", "numpy", "cupy")
_CHOICES: dict[str, tuple[str, ...]] = {
    "method": METHODS,
    "check_optimality": ("gradient", "both"),
    "error_behavior": ("revert", "punish", "raise"),
    "delta_behavior": ("anchor", "first", "last", "logit"),
    "fp_type": ("safe_linear", "linear", "safe_nonlinear", "nonlinear"),
    "W_type": MOMENT_COVARIANCE_TYPES,
    "se_type": MOMENT_COVARIANCE_TYPES,
    "backend": BACKENDS,
    "simulation_scaling": SCALINGS,
}


def check_choices(named: Mapping[str, Any], faults: Faults) -> None:
    """Check arguments that name one of a few choices."""
    for name, value in named.items():
        if value not in _CHOICES[name]:
            faults.add(
                f"{name}={value!r}",
                f"one of {', '.join(map(repr, _CHOICES[name]))}",
                f"correct {name}",
            )


def check_optimization(given: Any, faults: Faults) -> OptimizerChoice:
    """Give the optimiser of an Optimization, the default where None."""
    if given is None:
        return Optimization("structured").choice
    if not isinstance(given, Optimization):
        faults.add(
            f"optimization of type {type(given).__name__}",
            "an Optimization or None",
            "wrap it: Optimization('bfgs')",
        )
        return Optimization("structured").choice
    return given.choice


def check_iteration(given: Any, faults: Faults) -> Iteration:
    """Give the Iteration, the default where None."""
    if given is None:
        return Iteration("newton")
    if not isinstance(given, Iteration):
        faults.add(
            f"iteration of type {type(given).__name__}",
            "an Iteration or None",
            "wrap it: Iteration('squarem')",
        )
        return Iteration("newton")
    return given


def check_engine(engine: Any, threads: Any, faults: Faults) -> Engine | None:
    """Choose the engine where the arguments allow it.

    A scheduler is called only where nothing else is wrong, since it may take a while to
    find out that it does not answer.
    """
    if threads is not None and not isinstance(threads, int | np.integer):
        return None
    calls = isinstance(engine, str) and "://" in engine
    chosen: Engine | None = None
    if not (calls and (len(faults) or threads is not None)):
        try:
            chosen = choose_engine(engine, None if threads is None else int(threads))
        except InputError as error:
            faults.extend(error)
    if threads is not None and (calls or getattr(chosen, "name", "") == "dask"):
        faults.add(
            f"threads={threads} with a Dask cluster",
            "threads of this process, or workers, which have threads of their own",
            "leave threads out, or say engine='threads'",
        )
    return chosen


def check_numbers(
    error_punishment: Any, threads: Any, blocks: Any, seed: Any, faults: Faults
) -> None:
    """Check arguments that are single numbers."""
    number = isinstance(error_punishment, int | float)
    if not number or not 0 <= error_punishment < np.inf:
        faults.add(
            f"error_punishment={error_punishment!r}", "a number >= 0", "correct it"
        )
    for name, value in (("threads", threads), ("blocks", blocks)):
        whole = isinstance(value, int | np.integer) and value >= 1
        if value is not None and not whole:
            faults.add(
                f"{name}={value!r}",
                "a whole number, at least 1, or None",
                f"correct {name} or leave it out",
            )
    if not (isinstance(seed, int | np.integer) and seed >= 0):
        faults.add(f"seed={seed!r}", "a whole number, not negative", "correct seed")


def check_clusters(
    has_clusters: bool, W_type: str, se_type: str, faults: Faults
) -> None:
    """Check that clustered covariances have clusters."""
    if (is_clustered(W_type) or is_clustered(se_type)) and not has_clusters:
        faults.add(
            "clustered W_type or se_type without clusters",
            "a column 'clustering_ids' in product_data",
            "add it, or use 'robust'",
        )


def check_method(
    method: str,
    max_steps: Any,
    steps_tol: Any,
    W_type: str,
    faults: Faults,
    *,
    finite_differences: bool,
    resampling: bool,
) -> dict[str, Any]:
    """Read which steps an estimation takes, as fields of GmmOptions.

    Parameters
    ----------
    method
        One of :data:`METHODS`.
    max_steps, steps_tol
        When iterated steps end.
    W_type
        How S is estimated.
    faults
        What faults are added to.
    finite_differences, resampling
        What continuous updating cannot be combined with.
    """
    whole = isinstance(max_steps, int | np.integer) and not isinstance(max_steps, bool)
    if not whole or max_steps < 1:
        faults.add(
            f"max_steps={max_steps!r}", "a whole number, at least 1", "correct it"
        )
    number = isinstance(steps_tol, int | float | np.number)
    if not number or not 0 < steps_tol < np.inf:
        faults.add(f"steps_tol={steps_tol!r}", "a number above 0", "correct it")
    if method == "iterated":
        return {
            "estimator": "iterated",
            "n_steps": max_steps,
            "steps_tolerance": steps_tol,
        }
    if method != "cue":
        return {"n_steps": int(method[0]) if method in METHODS else 2}
    for name, wrong in (
        ("finite_differences=True", finite_differences),
        ("resample_agent_data", resampling),
        ("W_type='clustered_psd'", W_type == "clustered_psd"),
    ):
        if wrong:
            faults.add(
                f"{name} with method='cue'",
                "analytic derivatives of moments and of their covariances",
                f"leave {name} out, or choose method='iterated'",
            )
    return {"estimator": "cue", "n_steps": 2}


def check_costs(costs_type: str, bounds: Any, faults: Faults) -> CostRule:
    """Read bounds on marginal costs: a pair of numbers, NaN or None for none."""
    log = costs_type == "log"
    if bounds is None:
        return CostRule(log)
    expected = "a pair (lower, upper) of numbers, None where there is no bound"
    pair = bounds if isinstance(bounds, list | tuple) and len(bounds) == 2 else None
    try:
        low, high = (np.nan if b is None else float(b) for b in pair or ())
    except (TypeError, ValueError):
        faults.add(f"costs_bounds={bounds!r}", expected, "correct costs_bounds")
        return CostRule(log)
    low, high = (-np.inf if np.isnan(low) else low, np.inf if np.isnan(high) else high)
    if low > high or (log and high <= 0):
        faults.add(
            f"costs_bounds={bounds!r}",
            "a lower bound below the upper one, and positive costs where it is their "
            "logarithm that X3 explains",
            "correct costs_bounds",
        )
    return CostRule(log, low, high)


def check_weights(W: Any, MD: int, faults: Faults) -> Floats | None:
    """Check a weighting matrix: shape, numbers, positive semi-definite."""
    remedy = "pass W = S⁻¹ of a covariance matrix S, such as results.updated_W"
    return _check_semidefinite(W, "W", MD, remedy, faults)


def check_covariances(
    given: Any, name: str, size: int, faults: Faults
) -> Floats | None:
    """Check a covariance matrix: shape, numbers, positive semi-definite."""
    remedy = f"pass a covariance matrix as {name}"
    return _check_semidefinite(given, name, size, remedy, faults)


def _check_semidefinite(
    given: Any, name: str, size: int, remedy: str, faults: Faults
) -> Floats | None:
    """Check a symmetric positive semi-definite matrix; None where it is None."""
    if given is None:
        return None
    expected = f"a symmetric positive semi-definite {size} by {size} matrix"
    matrix = _as_array(given, name, expected, faults)
    if matrix is None:
        return None
    matrix = np.atleast_2d(matrix)
    if matrix.shape != (size, size):
        found = f"{name} of shape {matrix.shape}"
        faults.add(found, expected, f"pass {name} of that shape")
        return None
    if not np.isfinite(matrix).all():
        faults.add(f"{name} with NaN or infinite values", expected, f"correct {name}")
        return None
    scale = float(np.abs(matrix).max())
    lowest = float(np.linalg.eigvalsh((matrix + matrix.T) / 2).min())
    asymmetry = float(np.abs(matrix - matrix.T).max())
    tolerance = (options.psd_atol + options.psd_rtol) * scale
    if asymmetry > tolerance or lowest < -tolerance:
        faults.add(
            f"{name} with lowest eigenvalue {lowest:.3g} and asymmetry {asymmetry:.3g}",
            expected,
            remedy,
        )
        return None
    return (matrix + matrix.T) / 2


def check_initial_update(
    given: Any, faults: Faults, *, micro: bool, weighted: bool
) -> bool:
    """Read whether W is updated at the starting values before the first step.

    Parameters
    ----------
    given
        True, False, or None: where there are micro moments and no W.
    faults
        What faults are added to.
    micro, weighted
        Whether there are micro moments, and W.
    """
    if given not in (None, True, False):
        faults.add(f"initial_update={given!r}", "True or False", "correct it")
        return False
    needed = micro and not weighted
    if given is not None and not given and needed:
        faults.add(
            "initial_update=False with micro_moments and no W",
            "weights of micro moments, of which two-stage least squares knows none",
            "leave initial_update out, or pass W",
        )
    return needed if given is None else bool(given)


def check_delta(delta: Any, N: int, faults: Faults) -> Floats | None:
    """Check starting mean utilities: one finite number a product."""
    if delta is None:
        return None
    expected = f"{N} finite mean utilities"
    values = _as_array(delta, "delta", expected, faults)
    if values is None:
        return None
    values = values.ravel()
    bad = int((~np.isfinite(values)).sum())
    if values.size != N or bad:
        faults.add(
            f"delta of size {values.size}, {bad} not finite",
            f"{N} finite mean utilities, in the order of product_data",
            "pass results.delta, or leave delta out",
        )
        return None
    return values


def _as_array(given: Any, name: str, expected: str, faults: Faults) -> Floats | None:
    """Read numbers; a fault where they are none."""
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        faults.add(f"{name} that is not numeric", expected, f"pass numbers as {name}")
        return None
