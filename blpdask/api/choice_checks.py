"""Check what is asked of a choice problem; every fault goes to one list."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choice_records import MixedCoefficients
from ..driver.engine import Engine
from ..errors import Faults, InputError
from ..estimators.likelihood_covariances import SE_TYPES
from ..estimators.optimizers.choose import STRUCTURED_METHODS, OptimizerChoice
from ..problem.choice_coefficients import AskedCoefficients
from ..problem.choice_draws import check_rule
from ..problem.stored_choices import StoredChoiceTable
from ..records import Floats
from .choice_arguments import check_plain_formulation, read_coefficients
from .integration import Integration
from .optimization import Optimization
from .solve_checks import BACKENDS, check_engine, check_optimization
from .starting_points import points_near

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem


def check_choice_arguments(
    formulation: Any, integration: Any, **coefficients: Any
) -> AskedCoefficients:
    """Check the arguments of a problem but the table, and give what varies.

    ``coefficients`` are those of
    :func:`blpdask.api.choice_arguments.read_coefficients`.
    """
    faults = Faults("ChoiceProblem")
    check_plain_formulation(formulation, "a formulation", faults)
    asked = read_coefficients(faults=faults, **coefficients)
    n_random = sum(kind != "fixed" for kind in asked.random.values())
    _check_integration(integration, n_random + asked.random_scale, faults)
    faults.check()
    return asked


def check_stored(demographics: Any, wtp: Any) -> None:
    """Refuse what is made of a table that is held."""
    faults = Faults("ChoiceProblem")
    for name, value in (("demographics", demographics), ("wtp", wtp)):
        if value is not None:
            faults.add(
                f"{name} of choices in a store",
                "a DataFrame, where there are demographics or prices that scale",
                "make the problem from a DataFrame, or put products of demographics "
                "and characteristics into the formulation",
            )
    faults.check()


def check_choice_solve(
    problem: ChoiceProblem,
    optimization: Any,
    se_type: Any,
    machinery: tuple[Any, Any, Any, Any],
    start: Any,
    starts: Any = None,
    seed: Any = 0,
) -> tuple[Engine, OptimizerChoice]:
    """Check the arguments of a solve, and give the engine and the optimiser.

    ``machinery`` are the engine, threads, backend and progress.
    """
    faults = Faults("solve")
    engine, threads, backend, progress = machinery
    if se_type not in SE_TYPES:
        listed = ", ".join(map(repr, SE_TYPES))
        faults.add(f"se_type={se_type!r}", f"one of {listed}", "correct se_type")
    elif se_type == "clustered" and isinstance(problem.table, StoredChoiceTable):
        faults.add(
            "se_type='clustered' of choices in a store",
            "'robust', 'hessian' or 'bhhh', which are sums over people",
            "choose one of these, or make the problem from a DataFrame",
        )
    elif se_type == "clustered" and problem.table.clusters is None:
        faults.add(
            "se_type='clustered' without clusters",
            "a column 'clustering_ids' in choice_data",
            "add it, or use 'robust', whose clusters are people",
        )
    _check_watching(threads, backend, progress, faults)
    optimizer = _check_optimizer(optimization, faults)
    nowhere = np.zeros(problem.coefficients.size)
    for check in (
        partial(check_start, start, problem.coefficients),
        partial(points_near, starts, nowhere, nowhere, seed),
    ):
        try:
            check()
        except InputError as error:
            faults.extend(error)
    chosen = check_engine(engine, threads, faults)
    faults.check()
    assert chosen is not None
    return chosen, optimizer


def check_start(start: Any, coefficients: MixedCoefficients) -> Floats | None:
    """Read starting values ``(P,)``, None where there are none."""
    if start is None:
        return None
    faults = Faults("start")
    try:
        values = np.array(start, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (coefficients.size,) or not np.isfinite(values).all():
        found = f"values {values}" if values.size else type(start).__name__
        faults.add(
            f"start of shape {values.shape}: {found}",
            f"{coefficients.size} finite numbers, of "
            f"{', '.join(coefficients.parameter_labels)}",
            "give a value a parameter in this order, or leave start out",
        )
    faults.check()
    return values


def _check_integration(integration: Any, n_random: int, faults: Faults) -> None:
    """Look for an integration that is none, of negative weights, or of no use."""
    if integration is None:
        return
    if not isinstance(integration, Integration):
        faults.add(
            f"integration of type {type(integration).__name__}",
            "an Integration or None",
            "configure one, for example Integration('sobol', 512, {'seed': 0})",
        )
        return
    try:
        check_rule(integration.rule, n_random)
    except InputError as error:
        faults.extend(error)
    if not n_random:
        faults.add(
            "an integration without random coefficients",
            "none: nothing is integrated",
            "name random coefficients, as in random={'prices': 'normal'}, or leave it",
        )


def _check_watching(threads: Any, backend: Any, progress: Any, faults: Faults) -> None:
    """Check with how many threads, by which arrays and under whose eyes to work."""
    if backend not in BACKENDS:
        listed = ", ".join(map(repr, BACKENDS))
        faults.add(f"backend={backend!r}", f"one of {listed}", "correct backend")
    if progress is not None and not callable(progress):
        faults.add(
            f"progress of type {type(progress).__name__}",
            "a function that takes an event, or None",
            "pass a function, such as print",
        )
    if threads is not None and not (
        isinstance(threads, int | np.integer) and threads >= 1
    ):
        faults.add(
            f"threads={threads!r}",
            "a whole number, at least 1, or None",
            "correct threads or leave it out",
        )


def _check_optimizer(optimization: Any, faults: Faults) -> OptimizerChoice:
    """Give the optimiser, BFGS where there is none."""
    if optimization is None:
        return Optimization("bfgs").choice
    choice = check_optimization(optimization, faults)
    if isinstance(optimization, Optimization) and choice.method in STRUCTURED_METHODS:
        faults.add(
            f"method {choice.method!r} for a likelihood",
            "a method for objectives that are no sums of squares",
            "use Optimization('bfgs'), or leave optimization out",
        )
    return choice
