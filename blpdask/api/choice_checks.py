"""Check what is asked of a choice problem; every fault goes to one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choice_records import KINDS, MixedCoefficients
from ..driver.engine import Engine
from ..errors import Faults, InputError
from ..estimators.likelihood_covariances import SE_TYPES
from ..estimators.optimizers.choose import STRUCTURED_METHODS, OptimizerChoice
from ..problem.choice_draws import check_rule
from ..problem.fields import some
from ..problem.formula_columns import Column
from ..records import Floats
from .formulation import Formulation
from .integration import Integration
from .optimization import Optimization
from .solve_checks import BACKENDS, check_engine, check_optimization

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem


def check_choice_arguments(
    formulation: Any, random: Any, integration: Any, correlated: Any
) -> dict[str, str]:
    """Check the arguments of a problem but the table, and give ``random``."""
    faults = Faults("ChoiceProblem")
    if not isinstance(formulation, Formulation):
        faults.add(
            f"a formulation of type {type(formulation).__name__}",
            "a Formulation",
            "wrap the formula: Formulation('0 + prices')",
        )
    elif formulation.absorb is not None:
        faults.add(
            f"absorb={formulation.absorb!r}",
            "a formulation without absorbed effects",
            "give dummies, C(…), which a likelihood estimates with all else",
        )
    kinds = _check_kinds(random, faults)
    n_random = sum(kind != "fixed" for kind in kinds.values())
    if correlated and n_random < 2:
        faults.add(
            f"correlated coefficients of which {n_random} are random",
            "at least two",
            "name more columns in random, or leave correlated out",
        )
    _check_integration(integration, n_random, faults)
    faults.check()
    return kinds


def check_random(
    columns: Sequence[Column], random: Mapping[str, str]
) -> tuple[str, ...]:
    """Give each column's kind, ``(K,)``, looked up by its name or its label."""
    faults = Faults("random")
    kinds = ["fixed"] * len(columns)
    for name, kind in random.items():
        found = [k for k, c in enumerate(columns) if name in (c.name, c.label)]
        for k in found[:1]:
            kinds[k] = kind
        if not found:
            faults.add(
                f"no column '{name}' of the formulation",
                f"one of {some([column.name for column in columns])}",
                "correct the name, or add the column to the formulation",
            )
    faults.check()
    return tuple(kinds)


def check_choice_solve(
    problem: ChoiceProblem,
    optimization: Any,
    se_type: Any,
    machinery: tuple[Any, Any, Any, Any],
    start: Any,
) -> tuple[Engine, OptimizerChoice]:
    """Check the arguments of a solve, and give the engine and the optimiser.

    ``machinery`` are the engine, threads, backend and progress.
    """
    faults = Faults("solve")
    engine, threads, backend, progress = machinery
    if se_type not in SE_TYPES:
        listed = ", ".join(map(repr, SE_TYPES))
        faults.add(f"se_type={se_type!r}", f"one of {listed}", "correct se_type")
    elif se_type == "clustered" and problem.table.clusters is None:
        faults.add(
            "se_type='clustered' without clusters",
            "a column 'clustering_ids' in choice_data",
            "add it, or use 'robust', whose clusters are people",
        )
    _check_watching(threads, backend, progress, faults)
    optimizer = _check_optimizer(optimization, faults)
    try:
        check_start(start, problem.coefficients)
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


def _check_kinds(random: Any, faults: Faults) -> dict[str, str]:
    """Read kinds by the names of columns."""
    if random is not None and not isinstance(random, Mapping):
        faults.add(
            f"random of type {type(random).__name__}",
            "a mapping from columns to kinds",
            "say, for example, random={'prices': 'normal'}",
        )
        random = {}
    kinds: dict[str, str] = dict(random or {})
    for name, kind in kinds.items():
        if kind not in KINDS:
            faults.add(
                f"kind {kind!r} of '{name}'",
                f"one of {', '.join(map(repr, KINDS))}",
                "choose one of these",
            )
    return kinds


def _check_integration(integration: Any, n_random: int, faults: Faults) -> None:
    """Look for an integration that is none, not of draws, or without a use."""
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
        check_rule(integration.rule)
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
