"""By which method choices are estimated: likelihood, simulated moments or scores.

With P̌ a mean over R draws, which are linear in what is drawn,

    msl        Σ_i w_i log P̌_i(θ) is largest; log P̌ is too low by Var(P̌) / (2 P²),
    corrected  that is added back, as if draws were independent,
    msm        Σ_i w_i Σ_t Σ_j W_itj (y_itj - P̌_itj(θ)) = 0, without bias at any R,
    mss        Σ_i w_i s̃_i(θ) = 0, with s̃ scores without bias: an experiment

(McFadden 1989; Gourieroux and Monfort 1996; Hajivassiliou and McFadden 1998). The last
two begin at estimates of a likelihood, corrected where draws are independent.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choice_records import LikelihoodEstimates
from ..driver.engine import Engine
from ..errors import DataWarning, Faults, InputError, NumericalWarning
from ..estimators.initial_states import InitialStatesLikelihood
from ..estimators.moment_covariances import MOMENT_SE_TYPES
from ..estimators.optimizers.choose import OptimizerChoice
from ..estimators.simulated_likelihood import maximise_likelihood
from ..estimators.simulated_moments import compute_instruments, solve_moments
from ..estimators.simulated_scores import INVERSES, ScoreOptions, solve_scores
from ..integration.rules import Rule, RuleOptions
from ..problem.choice_blocks import make_blocks
from ..progress import Listener
from ..records import Floats
from .choice_checks import check_choice_solve
from .choice_fresh import choose_likelihood
from .choice_printing import choose_moment_listener
from .initial_states import InitialStates, place_initial_states, with_first_states

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem

#: Methods whose estimates maximise a likelihood.
LIKELIHOODS = ("msl", "corrected")
METHODS = (*LIKELIHOODS, "msm", "mss")
#: What can be told of each method, with what it is where it is not told.
_OPTIONS: dict[str, dict[str, Any]] = {
    "msl": {},
    "corrected": {},
    "msm": {"draws": 200, "seed": None},
    "mss": {"inverse": "roulette", "roulettes": 8, "sweeps": 16, "seed": None},
}


@dataclass(frozen=True, slots=True)
class ChoiceMethod:
    """A method, and what was told of it.

    Attributes
    ----------
    name
        One of :data:`METHODS`.
    options
        All of the method's options, whether told or not.
    se_type
        Kind of standard errors.
    """

    name: str
    options: Mapping[str, Any]
    se_type: str


def check_solve(
    problem: ChoiceProblem,
    method: Any,
    method_options: Any,
    optimization: Any,
    se_type: Any,
    machinery: tuple[Any, Any, Any, Any],
    start: Any,
    starts: Any,
    seed: Any,
    initial_states: Any,
) -> tuple[ChoiceMethod, Engine, OptimizerChoice]:
    """Check the arguments of a solve, those of its method among them."""
    faults = Faults("solve")
    if method not in METHODS:
        listed = ", ".join(map(repr, METHODS))
        faults.add(f"method={method!r}", f"one of {listed}", "correct method")
        method = "msl"
    told = _read_options(method, method_options, faults)
    _check_method(problem, method, se_type, faults)
    _check_first_states(problem, method, initial_states, faults)
    try:
        engine, optimizer = check_choice_solve(
            problem, optimization, se_type, machinery, start, starts, seed
        )
    except InputError as error:
        faults.extend(error)
    faults.check()
    _warn(problem, method)
    drawn = problem.integration_rule.options.seed
    if "seed" in told and told["seed"] is None:
        told["seed"] = 1 if drawn is None else drawn + 1
    return ChoiceMethod(method, told, se_type), engine, optimizer


def estimate_choices(
    problem: ChoiceProblem,
    method: ChoiceMethod,
    start: Floats,
    backend: str,
    shared: Mapping[str, Any],
    progress: Listener | None,
    initial_states: InitialStates | None,
) -> LikelihoodEstimates:
    """Estimate a problem by a method.

    Parameters
    ----------
    problem, method
        What, and how.
    start
        ``(P,)`` first θ.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    shared
        Engine, optimiser, listener and further starts of likelihoods.
    progress
        Who listens, as it was given.
    initial_states
        Of panels with habit, first states that enter the likelihood.
    """
    independent = problem.integration_rule.specification == "monte_carlo"
    corrected = method.name == "corrected" or (
        method.name in ("msm", "mss") and independent
    )
    likelihood = choose_likelihood(problem, backend, start, corrected=corrected)
    errors: dict[str, Any] = {
        "se_type": method.se_type,
        "clusters": problem.table.clusters if method.se_type == "clustered" else None,
    }
    if initial_states is not None:
        source = place_initial_states(problem, initial_states)
        first = InitialStatesLikelihood(problem.coefficients, backend)
        found = maximise_likelihood(source, first, start, **errors, **shared)
        return with_first_states(found, source)
    found = maximise_likelihood(problem.source, likelihood, start, **errors, **shared)
    if method.name in LIKELIHOODS:
        return replace(found, method=method.name)
    engine = shared["engine"]
    further: dict[str, Any] = {
        **errors,
        "engine": engine,
        "backend": backend,
        "listener": choose_moment_listener(progress),
    }
    if method.name == "mss":
        options = ScoreOptions(**method.options)
        return solve_scores(problem.prior_source, found, options, **further)
    instruments = _compute_instruments(problem, method, found.theta, engine)
    return solve_moments(
        problem.prior_source, instruments, problem.coefficients, found.theta, **further
    )


def _compute_instruments(
    problem: ChoiceProblem, method: ChoiceMethod, theta: Floats, engine: Engine
) -> Floats:
    """Compute instruments ``(N, P)`` at θ of draws of their own."""
    options = RuleOptions(seed=method.options["seed"])
    rule = Rule("monte_carlo", method.options["draws"], options)
    kinds = problem.coefficients.random_kinds
    others = make_blocks(problem.table, rule, kinds)
    return compute_instruments(others, problem.coefficients, theta, engine=engine)


def _read_options(method: str, given: Any, faults: Faults) -> dict[str, Any]:
    """Read the options of a method."""
    known = _OPTIONS[method]
    if given is not None and not isinstance(given, Mapping):
        faults.add(
            f"method_options of type {type(given).__name__}",
            "a mapping from names of options, or None",
            "say, for example, method_options={'draws': 500}",
        )
        given = None
    told = dict(given or {})
    for name, value in told.items():
        if name not in known:
            listed = ", ".join(map(repr, known)) or "none"
            expected, remedy = f"options of {method!r}: {listed}", "correct the name"
        elif name == "inverse" and value not in INVERSES:
            expected = f"one of {', '.join(map(repr, INVERSES))}"
            remedy = "choose one of these"
        elif name != "inverse" and not _is_count(value, 0 if name == "seed" else 1):
            expected, remedy = "a whole number, at least 1, 0 of seeds", "correct it"
        else:
            continue
        faults.add(f"method option {name!r}: {value!r}", expected, remedy)
    return {**known, **told}


def _check_method(
    problem: ChoiceProblem, method: str, se_type: Any, faults: Faults
) -> None:
    """Look for errors and draws that a method has no use of."""
    if method in ("msm", "mss") and se_type in ("hessian", "bhhh"):
        faults.add(
            f"se_type={se_type!r} with method={method!r}",
            f"one of {', '.join(map(repr, MOMENT_SE_TYPES))}",
            "use 'robust': what draws add to the variance is in it",
        )
    if method == "mss" and not problem.D:
        faults.add(
            "method='mss' without random coefficients",
            "coefficients over whose draws scores are simulated",
            "use 'msl', whose likelihood is then exact",
        )
    if method == "corrected" and problem.R == 1:
        faults.add(
            "method='corrected' with one draw of each person",
            "two draws or more, of whose variance the correction is made",
            "draw more, or use 'msm'",
        )


def _check_first_states(
    problem: ChoiceProblem, method: str, initial_states: Any, faults: Faults
) -> None:
    """Refuse first states, and choices in a store, that a method does not know."""
    if method != "msl" and initial_states is not None:
        faults.add(
            f"initial_states with method={method!r}",
            "method 'msl': chances of first states are in the likelihood",
            "leave method out",
        )
    if problem.is_stored and (method in ("msm", "mss") or initial_states is not None):
        what = "initial_states" if initial_states is not None else f"method={method!r}"
        faults.add(
            f"{what} of choices in a store",
            "methods 'msl' and 'corrected', which are sums over people",
            "choose one of these, or make the problem from a DataFrame",
        )


def _is_count(value: Any, least: int) -> bool:
    """Say whether a value is a whole number and not too small."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and value >= least


def _warn(problem: ChoiceProblem, method: str) -> None:
    """Warn of methods that do not suit the draws, or are not tried much."""
    rule = problem.integration_rule
    if method == "corrected" and problem.D and rule.specification != "monte_carlo":
        warnings.warn(
            f"draws of {rule.specification!r} are not independent: P̌ varies less than "
            "the correction says, which takes too much away; use "
            f"Integration('monte_carlo', {rule.size}, {{'seed': 0}}), or 'msm'",
            DataWarning,
            stacklevel=4,
        )
    if method == "mss":
        warnings.warn(
            "the method of simulated scores is an experiment: 'msm' and 'corrected' "
            "vary less",
            NumericalWarning,
            stacklevel=4,
        )
