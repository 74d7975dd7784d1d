"""What a job will take, before it is run: blocks, bytes, seconds; what to change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import Faults
from ..progress import silent
from .build import solve_arguments
from .plan_machines import Machines, find_machines
from .plan_memory import MemoryPlan, plan_memory
from .plan_time import TimePlan, plan_time
from .schema import Job

if TYPE_CHECKING:
    from ..api.problem import Problem
    from ..model.parameters import Parameters
    from ..moments.demand import DemandState
    from ..problem.prepared import PreparedDemand
    from ..records import Floats


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """One block: its number, its markets, its bytes and the operations it costs."""

    index: int
    markets: int
    bytes: int
    cost: float


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a job will take; letters are those of PyBLP's table of dimensions."""

    name: str
    N: int
    T: int
    agents: int
    K1: int
    K2: int
    P: int
    K3: int
    MD: int
    MS: int
    machines: Machines
    blocks: int
    smallest: PlannedBlock
    largest: PlannedBlock
    memory: MemoryPlan
    time: TimePlan
    advice: tuple[str, ...] = ()


def plan_job(job: Job, problem: Problem) -> JobPlan:
    """Plan a job on the machines that it names.

    Parameters
    ----------
    job
        A resolved job.
    problem
        Its problem.

    Raises
    ------
    blpdask.errors.InputError
        If the job names a scheduler, whose workers are not known.
    """
    from ..driver.cores import single_threaded_libraries
    from ..driver.threads import ThreadsEngine
    from ..moments.demand import demand_pass
    from .plan_advice import advise

    machines = find_machines(job.engine)
    arguments = solve_arguments(job)
    prepared = problem.prepare(ThreadsEngine(), silent)
    parameters = _parameters(problem, arguments)
    state = _state(problem, parameters, prepared, arguments)
    costs = _block_costs(problem, prepared)
    blocks = _blocks(prepared, costs)
    with single_threaded_libraries():
        record, _ = demand_pass(prepared.source.load(0), state, None)
    memory = plan_memory(prepared, parameters, machines, state=state, record=record)
    passes = 1 + 2 * parameters.n_nonlinear * job.solve.finite_differences
    seconds = plan_time(
        prepared.source,
        costs,
        parameters,
        state,
        machines,
        passes=passes,
        from_memory=job.solve.delta_behavior != "logit",
    )
    planned = JobPlan(
        name=job.name,
        N=problem.N,
        T=problem.T,
        agents=problem.I,
        K1=problem.K1,
        K2=problem.K2,
        P=parameters.size,
        K3=problem.K3,
        MD=problem.MD,
        MS=problem.MS,
        machines=machines,
        blocks=len(blocks),
        smallest=min(blocks, key=lambda block: block.cost),
        largest=max(blocks, key=lambda block: block.cost),
        memory=memory,
        time=seconds,
    )
    return replace(planned, advice=advise(planned))


def _parameters(problem: Problem, arguments: dict[str, Any]) -> Parameters:
    """Lay θ out as a solve does."""
    optimizer = arguments["optimization"].choice
    names = ("sigma", "pi", "rho", "type_shares", "phi", "beta", "gamma")
    asked = [*names, *(f"{name}_bounds" for name in names)]
    return problem.outline.lay_out(
        **{name: arguments.get(name) for name in asked},
        bounded=optimizer.supports_bounds,
        default_bounds=optimizer.bounds_by_default,
    )


def _state(
    problem: Problem,
    parameters: Parameters,
    prepared: PreparedDemand,
    arguments: dict[str, Any],
) -> DemandState:
    """Make what a solve sends to every block at the starting values."""
    from .. import options
    from ..api.iteration import Iteration
    from ..api.solve_checks import check_costs
    from ..estimators.gmm import factor_bytes
    from ..estimators.gmm_options import GmmOptions, cost_state
    from ..model.parameters import tastes_at
    from ..moments.demand import DemandState

    iteration = arguments.get("iteration") or Iteration("newton")
    defaults = GmmOptions()
    bounds = arguments.get("costs_bounds")
    rule = check_costs(problem.costs_type, bounds, Faults("plan"))
    return DemandState(
        theta=parameters.theta[: parameters.n_nonlinear],
        tastes=tastes_at(parameters, parameters.theta),
        controls=iteration.controls(options.scratch_bytes),
        backend=arguments.get("backend", defaults.backend),
        iterate=iteration.iterate(),
        keep_factor=factor_bytes(prepared) <= defaults.factor_bytes,
        costs=cost_state(parameters, parameters.theta, rule)
        if prepared.has_supply
        else None,
    )


def _block_costs(problem: Problem, prepared: PreparedDemand) -> Floats:
    """Count the operations of each block, ``(B,)``."""
    import numpy as np

    from ..partitions.plan import market_costs
    from ..problem.stored_problem import StoredProblem

    demand = problem.demand
    if isinstance(demand, StoredProblem):
        agents = demand.agents_by_market()[0]
    else:
        agents = np.diff(demand.tables.agent_offsets)
    costs = market_costs(prepared.product_counts, agents)
    return np.add.reduceat(costs, prepared.block_edges[:-1])


def _blocks(prepared: PreparedDemand, costs: Floats) -> list[PlannedBlock]:
    """List the blocks."""
    edges, source = prepared.block_edges, prepared.source
    return [
        PlannedBlock(b, int(edges[b + 1] - edges[b]), source.size(b), float(costs[b]))
        for b in range(len(source))
    ]
