"""What results are asked about micro data with: a problem in memory, at an estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import options
from ..analysis.estimated_markets import EstimatedMarkets, estimated_markets
from ..errors import Faults
from ..integration.rules import Rule
from ..model.parameters import Parameters
from ..problem.agents import read_agents
from ..problem.demand_problem import DemandProblem, prepare_demand
from ..problem.formulas import ParsedFormula
from ..problem.outline import DemandOutline, outline_of
from ..problem.products import read_products
from ..records import Floats
from .estimated_errors import estimated_layout
from .micro_tables import market_tables
from .solved_problem import problem_of
from .stored import in_memory

if TYPE_CHECKING:
    from .results import ProblemResults
    from .simulation_results import SimulationResults


@dataclass(frozen=True, slots=True, eq=False)
class EstimatedEconomy:
    """A problem at an estimate, and how its agents were made.

    Attributes
    ----------
    demand, parameters
        The problem and the layout of θ.
    theta
        ``(P,)``.
    delta
        ``(N,)`` in the user's order.
    formula
        Of the demographics, or None.
    agent_data
        What agents were read from, None where a rule built them.
    lay_out
        Lays θ out for the problem with other agents.
    beta, gamma
        ``(K1,)`` and ``(K3,)``.
    log_costs
        Whether X3 explains log c.
    table
        Table of agents or of demographics alone, None where there is none.
    costs
        ``(N,)`` marginal costs in the user's order, which prices of a counterfactual
        need not imply; None where they do.
    own_agents
        Why nobody else can take the place of the problem's agents, or empty.
    """

    demand: DemandProblem
    parameters: Parameters
    theta: Floats
    delta: Floats
    formula: ParsedFormula | None
    agent_data: Any
    lay_out: Callable[[DemandOutline], Parameters]
    beta: Floats
    gamma: Floats
    log_costs: bool
    table: Any
    costs: Floats | None = None
    own_agents: str = ""

    @property
    def n_product_ids(self) -> int:
        """Count the columns of product_ids."""
        product_ids = self.demand.products.ids.get("product_ids")
        return 0 if product_ids is None else product_ids.shape[1]

    def markets(self, delta: Floats | None = None) -> EstimatedMarkets:
        """Give the markets, at another δ ``(N,)`` where one is given."""
        return estimated_markets(
            self.demand,
            self.parameters,
            self.theta,
            self.delta if delta is None else delta,
            market_tables(self.demand, self.parameters, self.agent_data),
        )

    def with_agents(self, agent_data: Any, rule: Rule | None) -> EstimatedEconomy:
        """Put other agents in the place of the problem's own.

        Parameters
        ----------
        agent_data
            Table of them; where None, the problem's where demographics are needed.
        rule
            Builds nodes and weights, or None.

        Raises
        ------
        InputError
            With every fault of the agents.
        """
        if self.own_agents:
            faults = Faults("other agents")
            faults.add(
                f"other agents, although {self.own_agents}",
                "the agents of the problem",
                "estimate or simulate with other agents, and make the change there",
            )
            faults.check()
        products, availability = self.demand.products, self.demand.agents.availability
        if agent_data is None and (
            self.formula is not None or availability is not None
        ):
            agent_data = self.table
        agents = read_agents(
            agent_data,
            self.formula,
            rule,
            unique_market_ids=products.unique_market_ids,
            product_counts=np.bincount(products.market_codes),
            K2=len(self.demand.types),
            weights_tol=options.weights_tol,
        )
        demand = prepare_demand(
            products, agents, self.demand.types, self.demand.epsilon_scale
        )
        parameters = self.lay_out(outline_of(demand))
        return replace(self, demand=demand, parameters=parameters)


def of_problem(results: ProblemResults, what: str) -> EstimatedEconomy:
    """Put a problem at its estimates.

    Parameters
    ----------
    results
        Of :meth:`blpdask.Problem.solve`.
    what
        Is asked for, for messages.

    Raises
    ------
    BlpdaskError
        Where the results have lost their problem, or its data are in a store.
    """
    problem, estimates = problem_of(results, what), results.estimates
    demand = in_memory(problem.demand, what)
    formulation = problem.agent_formulation
    lay_out = partial(estimated_layout, estimates)
    return EstimatedEconomy(
        demand=demand,
        parameters=lay_out(problem.outline),
        theta=estimates.theta,
        delta=np.asarray(results.delta)[:, 0],
        formula=None if formulation is None else formulation.parsed,
        agent_data=problem.given_agents,
        lay_out=lay_out,
        beta=estimates.beta[:, 0],
        gamma=estimates.gamma[:, 0],
        log_costs=problem.costs_type == "log",
        table=problem.agent_table,
    )


def of_simulation(results: SimulationResults) -> EstimatedEconomy:
    """Put a simulation's own agents and what was solved for at its true parameters.

    Parameters
    ----------
    results
        Of a :class:`blpdask.Simulation`.
    """
    own = results.simulation
    linear, random, cost = own.product_formulations
    products = read_products(
        results.product_data,
        linear.parsed,
        None if random is None else random.parsed,
        None if cost is None else cost.parsed,
        add_exogenous=True,
        absorption=linear.controls,
    )
    parameters, agent_formulation = own.parameters, own.agent_formulation
    return EstimatedEconomy(
        demand=prepare_demand(
            products, own.demand.agents, own.demand.types, own.demand.epsilon_scale
        ),
        parameters=parameters,
        theta=parameters.theta,
        delta=results.delta[:, 0],
        formula=None if agent_formulation is None else agent_formulation.parsed,
        agent_data=own.agent_data,
        lay_out=own.lay_out,
        beta=own.beta[:, 0],
        gamma=own.gamma[:, 0],
        log_costs=own.costs_type == "log",
        table=own.agent_data,
    )


def check_surveyed(economy: EstimatedEconomy, what: str) -> EstimatedEconomy:
    """Give an economy whose agents surveys can ask; an error where it is none.

    Parameters
    ----------
    economy
        At its parameters.
    what
        Is asked for, for messages.

    Raises
    ------
    InputError
        Where there are no agents, or shares of their types are estimated.
    """
    faults = Faults(what)
    if not economy.demand.types:
        faults.add(
            "no random coefficients",
            "agents, whose choices surveys are of",
            "formulate X2, with sigma zero where tastes are known",
        )
    if economy.parameters.start.type_shares.size:
        faults.add(
            f"{what} with type_shares",
            "agents whose weights are given",
            "give agents weights times their type's share, and solve at the estimates",
        )
    faults.check()
    return economy
