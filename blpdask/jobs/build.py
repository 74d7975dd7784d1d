"""Turn the options of a job into a problem and the arguments that solve it.

This is the one place where a job meets the Python interface, whose names it shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import Faults, InputError
from .data import JobData
from .fields import Rows
from .micro import make_moments
from .resolve import kind_of
from .schema import Bound, Job

if TYPE_CHECKING:
    from ..api.formulation import Formulation
    from ..api.integration import Integration
    from ..api.iteration import Iteration
    from ..api.micro import MicroMoment
    from ..api.optimization import Optimization
    from ..api.problem import Problem
    from ..api.resamples import Resamples
    from .schema import IntegrationOptions

Made = TypeVar("Made")

_PARAMETERS = ("sigma", "pi", "rho", "type_shares", "phi", "beta", "gamma")
_SAME_NAME = (
    "method",
    "max_steps",
    "steps_tol",
    "initial_update",
    "scale_objective",
    "check_optimality",
    "finite_differences",
    "error_behavior",
    "error_punishment",
    "delta_behavior",
    "fp_type",
    "shares_bounds",
    "costs_bounds",
    "center_moments",
    "W_type",
    "se_type",
    "simulation_scaling",
    "demand_moment_types",
    "supply_moment_types",
    "covariance_moments_mean",
)


@dataclass(frozen=True, slots=True)
class Configurations:
    """The public configuration objects that a job describes; None where it has none."""

    linear: Formulation | None
    random: Formulation | None
    supply: Formulation | None
    demographics: Formulation | None
    integration: Integration | None
    optimization: Optimization | None
    iteration: Iteration | None
    resamples: Resamples | None
    micro_moments: list[MicroMoment]


def configure(job: Job, faults: Faults) -> Configurations:
    """Make the configuration objects of a job.

    Parameters
    ----------
    job
        The job.
    faults
        What the faults of every object are added to; an object with faults is None.
    """
    from ..api.formulation import Formulation
    from ..api.integration import Integration
    from ..api.iteration import Iteration
    from ..api.optimization import Optimization
    from ..api.resamples import Resamples

    formulas, rule, solve = job.formulations, job.integration, job.solve

    def formulation(name: str, absorb: str | None = None) -> Formulation | None:
        text = getattr(formulas, name)
        make = None if text is None else partial(Formulation, text, absorb)
        return make_or_fault(make, f"formulations.{name}", faults)

    def integration(rule: IntegrationOptions | None, option: str) -> Integration | None:
        if rule is None:
            return None
        options = dict(rule.specification_options)
        make = partial(Integration, rule.specification, rule.size, options)
        return make_or_fault(make, option, faults)

    def resamples() -> Resamples | None:
        given = solve.resample
        if given is None:
            return None
        drawn = integration(given.integration, "solve.resample.integration")
        seed = job.seed if given.seed is None else given.seed
        make = partial(Resamples, given.replicates, seed, drawn)
        return make_or_fault(make, "solve.resample", faults)

    optimization, iteration = solve.optimization, solve.iteration
    return Configurations(
        linear=formulation("linear", formulas.absorb),
        random=formulation("random"),
        supply=formulation("supply", formulas.absorb_supply),
        demographics=formulation("demographics"),
        integration=integration(rule, "integration"),
        optimization=make_or_fault(
            partial(
                Optimization,
                optimization.method,
                dict(optimization.method_options),
                optimization.compute_gradient,
            ),
            "solve.optimization",
            faults,
        ),
        iteration=make_or_fault(
            None
            if iteration is None
            else partial(
                Iteration,
                iteration.method,
                dict(iteration.method_options),
                iteration.compute_jacobian,
            ),
            "solve.iteration",
            faults,
        ),
        resamples=resamples(),
        micro_moments=[] if job.micro is None else make_moments(job.micro, faults),
    )


def build_problem(job: Job, data: JobData) -> Problem:
    """Build the problem of a job.

    Parameters
    ----------
    job
        A resolved job.
    data
        Its tables.

    Returns
    -------
    blpdask.Problem
        The problem, ready to be solved.

    Raises
    ------
    blpdask.errors.InputError
        If the tables and the formulas do not fit together.
    """
    from ..api.problem import Problem

    faults = Faults(f"job {job.name}")
    made = configure(job, faults)
    faults.check()
    return Problem(
        [made.linear, made.random, made.supply],
        data.products,
        agent_formulation=made.demographics,
        agent_data=data.agents,
        integration=made.integration,
        rc_types=job.rc_types,
        epsilon_scale=job.epsilon_scale,
        costs_type=job.costs_type,
        add_exogenous=job.add_exogenous,
    )


def solve_arguments(job: Job) -> dict[str, Any]:
    """Turn the options of a job into the arguments of ``Problem.solve``.

    Parameters
    ----------
    job
        A resolved job.

    Returns
    -------
    dict
        Arguments by name; what is at its default is left out.
    """
    faults = Faults(f"job {job.name}")
    made = configure(job, faults)
    faults.check()
    arguments = _changed(job.solve, _SAME_NAME) | _changed(job.engine, ("backend",))
    for name in _PARAMETERS:
        rows: Rows | None = getattr(job, name)
        bound: Bound | None = getattr(job.bounds, name)
        if rows is not None:
            arguments[name] = _array(rows)
        if rows is not None and bound is not None:
            arguments[f"{name}_bounds"] = _bounds(bound, arguments[name].shape)
    if job.solve.starts is not None:
        many = isinstance(job.solve.starts, int)
        arguments["starts"] = job.solve.starts if many else _array(job.solve.starts)
    if made.iteration is not None:
        arguments["iteration"] = made.iteration
    if made.resamples is not None:
        arguments["resample_agent_data"] = made.resamples
    if job.micro is not None:
        arguments["micro_moments"] = made.micro_moments
        if job.micro.sample_covariances is not None:
            covariances = _array(job.micro.sample_covariances)
            arguments["micro_sample_covariances"] = covariances
    arguments["optimization"] = made.optimization
    return arguments | {
        "seed": job.seed,
        "engine": kind_of(job.engine),
        "threads": job.engine.threads,
    }


def check_shapes(job: Job, problem: Problem) -> None:
    """Refuse parameters whose shapes are not those of the problem's formulas.

    Parameters
    ----------
    job
        The job, whose options already fit together.
    problem
        Its problem, which knows how many columns each formula has.

    Raises
    ------
    blpdask.errors.InputError
        With every parameter that has too many or too few entries.
    """
    faults = Faults(f"job {job.name}")
    counts = (
        ("sigma", "row", "random", problem.K2),
        ("pi", "row", "random", problem.K2),
        ("pi", "column", "demographics", problem.D),
        ("beta", "row", "linear", problem.K1),
        ("gamma", "row", "supply", problem.K3),
    )
    for name, part, formula, expected in counts:
        rows: Rows | None = getattr(job, name)
        if rows is None:
            continue
        found = len(rows) if part == "row" else len(rows[0])
        if found != expected:
            faults.add(
                f"{name} has {found} {part}{'' if found == 1 else 's'}",
                f"{expected}, one per column of formulations.{formula}",
                f"change {name} or the formula; an intercept goes with '0 +'",
            )
    faults.check()


def make_or_fault(
    make: Callable[[], Made] | None, option: str, faults: Faults
) -> Made | None:
    """Make an object, or add the faults of its arguments under the option's name."""
    if make is None:
        return None
    try:
        return make()
    except InputError as error:
        for fault in error.faults:
            faults.add(f"{option}: {fault.found}", fault.expected, fault.remedy)
        return None


def _changed(options: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Give the options among some that are not at their defaults."""
    fields = type(options).model_fields
    values = {name: getattr(options, name) for name in names}
    return {name: v for name, v in values.items() if v != fields[name].default}


def _array(rows: Rows) -> Any:
    """Turn rows into an array, null entries into NaN."""
    import numpy as np

    return np.array(rows, dtype=np.float64)


def _bounds(bound: Bound, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Turn bounds into a pair of arrays of the parameters' shape."""
    import numpy as np

    sides = []
    for side, none in ((bound.lower, -np.inf), (bound.upper, np.inf)):
        array = _array(side) if side is not None else np.array([[none]])
        array = np.where(np.isnan(array), none, array)
        sides.append(np.broadcast_to(array, shape).copy())
    return sides[0], sides[1]
