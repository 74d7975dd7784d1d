"""Importance sampling of agents at estimates, by PyBLP's names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.importance_sampling import diagnose, sample_agents
from ..errors import Faults
from ..problem.agents import Agents, read_agents
from ..problem.demand_problem import DemandProblem
from ..problem.fields import field_names, read_field, read_vector
from ..results.text_tables import Header, format_number, text_table
from .estimated_economy import check_surveyed, of_problem
from .estimated_errors import estimated_layout
from .integration import Integration
from .micro_arguments import is_whole
from .pickles import save_pickle
from .solve_checks import check_delta, check_numbers
from .stored import in_memory
from .structured_tables import agents_table

if TYPE_CHECKING:
    from .problem import Problem
    from .results import ProblemResults

_ATTRIBUTES = (
    "sampled_agents",
    "computation_time",
    "draws",
    "diagnostic_market_ids",
    "weight_sums",
    "effective_draws",
    "effective_draws_for_variance",
    "effective_draws_for_skewness",
)


class ImportanceSamplingResults:
    """Agents that were sampled (:mod:`blpdask.analysis.importance_sampling`).

    Attributes
    ----------
    problem_results
        The estimates at which they were.
    sampled_agents
        Agents as a record array, in PyBLP's form.
    computation_time
        Seconds.
    draws
        How many agents were kept in each market.
    diagnostic_market_ids
        ``(T,)`` markets of what follows.
    weight_sums
        ``(T, 1)`` Σ w, near one.
    effective_draws, effective_draws_for_variance, effective_draws_for_skewness
        ``(T, 1)`` effective numbers of draws.
    """

    def __init__(
        self,
        problem_results: ProblemResults,
        problem: Problem,
        agents: Agents,
        draws: int,
        began: float,
    ) -> None:
        """Gather what was sampled, and diagnose its weights."""
        self.problem_results = problem_results
        self._problem = problem.with_read(agents, drawn=False)
        self.sampled_agents = agents_table(in_memory(self._problem.demand, "agents"))
        self.draws = draws
        found = diagnose(agents)
        self.diagnostic_market_ids = problem.outline.market_ids
        self.weight_sums = found.sums[:, None]
        self.effective_draws = found.effective[:, None]
        self.effective_draws_for_variance = found.for_variance[:, None]
        self.effective_draws_for_skewness = found.for_skewness[:, None]
        self.computation_time = time.perf_counter() - began

    def __str__(self) -> str:
        """Print how many draws there are, and how even their weights."""
        header: list[Header] = [
            ("Computation", "Seconds"),
            ("Sampling", "Draws"),
            ("Draws per", "Market"),
            ("Min Effective", "Draws"),
            ("Min Effective", "for Variance"),
            ("Min Effective", "for Skewness"),
            ("Min Weight", "Sum"),
            ("Max Weight", "Sum"),
        ]
        cells = [
            f"{self.computation_time:.3f}",
            str(self.sampled_agents.size),
            str(self.draws),
            str(int(self.effective_draws.min())),
            str(int(self.effective_draws_for_variance.min())),
            str(int(self.effective_draws_for_skewness.min())),
            format_number(float(self.weight_sums.min())),
            format_number(float(self.weight_sums.max())),
        ]
        return text_table("Importance Sampling Results Summary", header, [cells])

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def to_dict(self, attributes: Sequence[str] = _ATTRIBUTES) -> dict[str, Any]:
        """Collect attributes by name."""
        return {name: getattr(self, name) for name in attributes}

    def to_pickle(self, path: str | Path) -> None:
        """Pickle the results, for PyBLP scripts."""
        save_pickle(self, path)

    def to_problem(self) -> Problem:
        """Give the problem anew, with the sampled agents in place of its own."""
        return self._problem


def importance_sampling(
    results: ProblemResults,
    draws: Any,
    ar_constant: Any,
    seed: Any,
    agent_data: Any,
    integration: Any,
    delta: Any,
) -> ImportanceSamplingResults:
    """Sample agents at estimates; see :class:`blpdask.ProblemResults`."""
    began = time.perf_counter()
    economy = of_problem(results, "importance_sampling")
    check_surveyed(economy, "importance_sampling")
    faults = Faults("importance_sampling")
    if not is_whole(draws, 1):
        faults.add(f"draws={draws!r}", "a whole number, at least 1", "correct draws")
    number = isinstance(ar_constant, int | float | np.number)
    if not number or not ar_constant >= 1:
        faults.add(
            f"ar_constant={ar_constant!r}", "a number from one", "correct ar_constant"
        )
    check_numbers(0, None, None, 0 if seed is None else seed, faults)
    if integration is not None and not isinstance(integration, Integration):
        faults.add(
            f"integration of type {type(integration).__name__}",
            "an Integration or None",
            "wrap it: Integration('monte_carlo', 10_000)",
        )
    given = check_delta(delta, economy.demand.n_products, faults)
    faults.check()
    problem = results.problem
    assert problem is not None
    if agent_data is not None or integration is not None:
        problem = _with_candidates(problem, economy.demand, agent_data, integration)
    candidates = replace(
        economy,
        demand=in_memory(problem.demand, "importance_sampling"),
        parameters=estimated_layout(results.estimates, problem.outline),
    )
    agents = sample_agents(
        candidates.markets(given), int(draws), float(ar_constant), seed
    )
    return ImportanceSamplingResults(results, problem, agents, int(draws), began)


def _with_candidates(
    problem: Problem,
    demand: DemandProblem,
    agent_data: Any,
    integration: Integration | None,
) -> Problem:
    """Give a problem the candidates; a rule's where there is nothing else of agents."""
    alone = problem.agent_formulation is None and demand.agents.availability is None
    if agent_data is not None or integration is None or not alone:
        data = None if agent_data is None else _with_equal_weights(agent_data)
        return problem.with_agents(data, integration)
    agents = read_agents(
        None,
        None,
        integration.rule,
        unique_market_ids=demand.products.unique_market_ids,
        product_counts=np.bincount(demand.products.market_codes),
        K2=len(demand.types),
        weights_tol=np.inf,
    )
    return problem.with_read(agents, drawn=False)


def _with_equal_weights(agent_data: Any) -> dict[str, Any]:
    """Give candidates equal weights, which acceptance knows nothing of."""
    columns = {name: read_field(agent_data, name) for name in field_names(agent_data)}
    markets = read_vector(agent_data, "market_ids", Faults("agent_data"))
    if markets is not None:
        _, own, counts = np.unique(
            markets.astype(str), return_inverse=True, return_counts=True
        )
        columns["weights"] = 1.0 / counts[own.ravel()]
    return columns
