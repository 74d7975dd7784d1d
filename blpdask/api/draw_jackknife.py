"""Estimate again with parts of every market's draws, weights and data being the same.

The mathematics is in :mod:`blpdask.analysis.draw_jackknife`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.draw_jackknife import (
    DrawJackknife,
    extrapolate,
    part_of_agents,
    split_draws,
)
from ..errors import Faults
from ..problem.agents import Agents
from ..problem.fields import some
from ..records import Floats
from ..results.parameter_places import parameter_places, place_parameters
from .moment_types import moment_counts, pair_types
from .solved_problem import problem_of
from .stored import in_memory

if TYPE_CHECKING:
    from .problem import Problem
    from .results import ProblemResults

#: What parts are solved with unless something else is asked for.
_DEFAULTS = {"check_optimality": "gradient"}
#: Arguments of a solve that say what is estimated, which is that of the results.
_MATRICES = ("sigma", "pi", "rho", "phi", "beta", "gamma")
_OWN = frozenset(
    (
        *_MATRICES,
        *(f"{name}_bounds" for name in _MATRICES),
        *("delta", "method", "W", "scale_objective", "covariance_moments_mean"),
        *("demand_moment_types", "supply_moment_types"),
    )
)


def draw_jackknife(
    results: ProblemResults, parts: int, seed: int, settings: dict[str, Any]
) -> DrawJackknife:
    """Compute what :meth:`ProblemResults.draw_jackknife` says."""
    problem, estimates = problem_of(results), results.estimates
    agents = in_memory(problem.demand, "the draw jackknife").agents
    faults = Faults("draw_jackknife")
    _check_arguments(parts, seed, settings, estimates.estimator, faults)
    faults.check()
    _check_draws(problem, agents, parts, faults)
    if results.MM and not settings.get("micro_moments"):
        faults.add(
            "estimates with micro moments, whose functions results do not keep",
            "micro_moments among the arguments",
            "pass those of the estimates",
        )
    if estimates.type_shares.size:
        faults.add(
            "estimates with type_shares",
            "agents of which any part is like the whole, as those of one type are not",
            "estimate with more draws of every type and compare",
        )
    faults.check()
    drawn = problem.integration_rule is not None
    rng = None if drawn else np.random.default_rng(seed)
    solved = [
        _solve(
            problem.with_read(part_of_agents(agents, rows, parts)), results, settings
        )
        for rows in split_draws(agents.offsets, parts, rng)
    ]
    places = parameter_places(estimates)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(
            estimates.parameter_covariances.diagonal() / estimates.n_products
        )
    found = np.array([part.parameters[:, 0] for part in solved])
    return DrawJackknife(
        labels=tuple(place.label for place in places),
        matrices=tuple(place.matrix for place in places),
        estimates=estimates.parameters[:, 0],
        standard_errors=errors,
        parts=found,
        converged=tuple(bool(part.converged) for part in solved),
        n_draws=int(np.diff(agents.offsets).min()) // parts,
        jackknifed=place_parameters(
            estimates, places, extrapolate(estimates.parameters[:, 0], found)
        ),
    )


def _solve(
    problem: Problem, results: ProblemResults, settings: dict[str, Any]
) -> ProblemResults:
    """Minimise with the weights of the results, starting at its estimates."""
    estimates = results.estimates
    K1 = len(estimates.beta_labels)
    out = estimates.concentrated
    given: dict[str, Any] = {"sigma": estimates.sigma}
    given["beta"] = np.where(out[:K1], np.nan, estimates.beta[:, 0])
    linear: dict[str, Floats] = {
        "pi": estimates.pi,
        "rho": estimates.rho[:, 0],
        "phi": estimates.phi,
        "gamma": np.where(out[K1:], np.nan, estimates.gamma[:, 0]),
    }
    given |= {name: values for name, values in linear.items() if values.size}
    bounds = {f"{name}_bounds": getattr(estimates, f"{name}_bounds") for name in given}
    return problem.solve(
        **given,
        **bounds,
        delta=results.delta,
        method="1s",
        W=estimates.W,
        covariance_moments_mean=estimates.covariance_moments_mean,
        scale_objective=estimates.scaled_objective,
        **pair_types(estimates.moment_types, moment_counts(problem)),
        **{**_DEFAULTS, **settings},
    )


def _check_arguments(
    parts: Any, seed: Any, settings: dict[str, Any], estimator: str, faults: Faults
) -> None:
    """Check what does not depend on the draws."""
    for name, value, least in (("parts", parts, 2), ("seed", seed, 0)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < least:
            faults.add(
                f"{name}={value!r}",
                f"a whole number, at least {least}",
                f"correct {name}",
            )
    if own := sorted(_OWN & set(settings)):
        faults.add(
            f"arguments {', '.join(own)}",
            "arguments that say how parts are solved; what is estimated is that of the "
            "results",
            "leave them out",
        )
    if estimator == "cue":
        faults.add(
            "estimates of method 'cue', whose weights depend on the draws",
            "estimates with weights that all parts can share",
            "estimate with method='1s', '2s' or 'iterated'",
        )


def _check_draws(problem: Problem, agents: Agents, parts: int, faults: Faults) -> None:
    """Check that agents are draws, which can be split into parts."""
    counts = np.diff(agents.offsets)
    rule = problem.integration_rule
    if agents.weights.size == 0:
        faults.add(
            "a problem without agents",
            "random coefficients, simulated with draws",
            "there is no bias of simulation to take out",
        )
    elif rule is not None and not rule.is_simulation:
        faults.add(
            f"nodes of the rule {rule.specification!r}, which draws nothing",
            "draws, of which a part does what all do, only worse",
            "compute_integration_error shows a quadrature's error",
        )
    elif not np.allclose(
        agents.weights, 1 / np.repeat(counts, counts), rtol=1e-8, atol=0
    ):
        faults.add(
            f"agents of weights {agents.weights.min():.6g} to "
            f"{agents.weights.max():.6g}, not one over their number",
            "draws of equal weight",
            "draw them with an Integration such as 'monte_carlo'; parts of a "
            "quadrature's or importance sampler's nodes are no such nodes",
        )
    elif (uneven := np.flatnonzero(counts % parts)).size:
        ids = problem.unique_market_ids[uneven]
        faults.add(
            f"numbers of draws that are no multiples of {parts} in {uneven.size} "
            f"markets ({some(ids)})",
            f"parts of equal size, that biases be {parts} times as large",
            "choose other parts, or another number of draws",
        )
