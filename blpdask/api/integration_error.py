"""Put estimates under other integration rules and say what changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.integration_error import share_errors
from ..driver.choose import choose_engine
from ..errors import BlpdaskError
from ..model.parameters import tastes_at
from ..progress import silent
from .integration import Integration
from .moment_types import moment_counts, pair_types
from .optimization import Optimization

if TYPE_CHECKING:
    from .results import ProblemResults


def compare_rules(
    results: ProblemResults,
    integrations: Sequence[Integration] | Integration,
    agent_data: Any,
    engine: Any,
    backend: str,
) -> list[dict[str, Any]]:
    """Evaluate shares and objective at estimates under each rule, one row each."""
    problem = results.problem
    if problem is None or problem.K2 == 0:
        raise BlpdaskError(
            "found: results without a problem with random coefficients\n"
            "  expected: results of Problem.solve, not read from disk\n"
            "  what to do: solve again, starting from the saved estimates with "
            "Optimization('return')"
        )
    if results.MM:
        raise BlpdaskError(
            "found: estimates with micro moments, whose functions results do not keep\n"
            "  expected: estimates without them\n  what to do: solve other.solve(...) "
            "with Optimization('return') for other = problem.with_agents(...), with "
            "the same micro_moments and W"
        )
    if isinstance(integrations, Integration):
        integrations = [integrations]
    estimates = results.estimates
    K1 = len(estimates.beta_labels)
    beta = np.where(estimates.concentrated[:K1], np.nan, estimates.beta[:, 0])
    gamma = np.where(estimates.concentrated[K1:], np.nan, estimates.gamma[:, 0])
    rows = []
    for integration in integrations:
        other = problem.with_agents(agent_data, integration)
        again = other.solve(
            sigma=estimates.sigma,
            pi=estimates.pi if estimates.pi.size else None,
            rho=estimates.rho[:, 0] if estimates.rho.size else None,
            type_shares=estimates.type_shares if estimates.type_shares.size else None,
            phi=estimates.phi if estimates.phi.size else None,
            beta=beta,
            gamma=gamma if gamma.size else None,
            rho_bounds=estimates.rho_bounds if estimates.rho.size else None,
            type_shares_bounds=estimates.type_shares_bounds
            if estimates.type_shares.size
            else None,
            sigma_bounds=estimates.sigma_bounds,
            pi_bounds=estimates.pi_bounds if estimates.pi.size else None,
            phi_bounds=estimates.phi_bounds if estimates.phi.size else None,
            beta_bounds=estimates.beta_bounds,
            gamma_bounds=estimates.gamma_bounds if gamma.size else None,
            delta=results.delta,
            method="1s",
            W=estimates.W,
            covariance_moments_mean=estimates.covariance_moments_mean,
            optimization=Optimization("return"),
            check_optimality="gradient",
            scale_objective=estimates.scaled_objective,
            engine=engine,
            backend=backend,
            progress=silent,
            **pair_types(estimates.moment_types, moment_counts(other)),
        )
        parameters = other.parameters_at(again.estimates)
        errors = share_errors(
            other.prepare(choose_engine(engine), silent),
            tastes_at(parameters, parameters.theta),
            other.demand.in_market_order(results.delta[:, 0]),
            choose_engine(engine),
            backend,
        )
        objective = again.estimates.objective
        rows.append(
            {
                "rule": str(integration),
                "agents": other.I / other.T,
                "largest_share_error": errors.largest,
                "share_error": errors.root_mean_square,
                "objective": objective,
                "change": objective - estimates.objective,
            }
        )
    return rows
