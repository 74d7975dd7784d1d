"""What :class:`blpdask.Problem` does differently where its data are in a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import options
from ..errors import BlpdaskError, Faults
from ..estimators.simulation_error import KeyedResamples, Resampling
from ..moments.simulation_error import Scaling
from ..problem.demand_problem import DemandProblem
from ..problem.stored_blocks import as_rule
from ..problem.stored_checks import StoredFormulas
from ..problem.stored_nests import nest_column
from ..problem.stored_places import places_of, with_columns
from ..problem.stored_problem import StoredProblem
from .formulation import Formulation
from .integration import Integration
from .problem_checks import check_scale, check_types
from .resamples import Resamples, check_nodes
from .stores import Store, described


def stored_problem(
    store: Store,
    formulations: tuple[
        Formulation, Formulation | None, Formulation | None, Formulation | None
    ],
    *,
    agent_data: Any,
    integration: Integration | None,
    rc_types: Sequence[str] | None,
    epsilon_scale: float,
    add_exogenous: bool,
) -> StoredProblem:
    """Make the problem of formulations of X1, X2, X3 and demographics on a store.

    Raises
    ------
    InputError
        With every fault.
    """
    faults = Faults("Problem")
    if agent_data is not None:
        faults.add(
            "agent_data beside a store",
            "agents in the store, or an Integration",
            "build the store with agent_data",
        )
    if options.collinear_atol < 0 or options.collinear_rtol < 0:
        faults.add("negative collinear tolerances", "at least zero", "correct options")
    linear, random, cost, demographics = formulations
    faults.check()
    description = store.blocks.description
    scale = check_scale(
        epsilon_scale, nests=nest_column(description.products) is not None
    )
    return StoredProblem(
        store.blocks,
        StoredFormulas(
            linear=linear.parsed,
            random=random.parsed if random is not None else None,
            demographics=demographics.parsed if demographics is not None else None,
            cost=cost.parsed if cost is not None else None,
        ),
        add_exogenous=add_exogenous,
        absorption=linear.controls,
        types=check_types(rc_types, 0 if random is None else len(random.parsed.terms)),
        nodes=described(integration),
        cost_absorption=cost.controls if cost is not None else None,
        weights_tol=options.weights_tol,
        collinear=(options.collinear_atol, options.collinear_rtol),
        epsilon_scale=scale,
    )


def in_memory(demand: DemandProblem | StoredProblem, what: str) -> DemandProblem:
    """Give a problem's rows; an error where they are in a store.

    Raises
    ------
    BlpdaskError
        Where they are.
    """
    if isinstance(demand, DemandProblem):
        return demand
    raise not_in_memory(demand, what)


def firms_of(demand: DemandProblem | StoredProblem) -> np.ndarray[Any, Any] | None:
    """Give the firms of all products, ``(N,)``, wherever the data are; None if none."""
    if isinstance(demand, StoredProblem):
        demand = with_columns(places_of(demand), demand.store, ("firm_ids",))
    found: np.ndarray[Any, Any] | None = demand.products.ids.get("firm_ids")
    return found


def not_in_memory(problem: StoredProblem, what: str) -> BlpdaskError:
    """Say that what is asked for needs data in memory."""
    return BlpdaskError(
        f"found: {what} of a problem whose data are in the store {problem.store.path}\n"
        "  expected: a problem with its data in memory\n  what to do: read the blocks "
        "that you need with blpdask.open_store(…).read(block)"
    )


def stored_resampling(
    given: Any, scaling: Scaling, problem: StoredProblem, faults: Faults
) -> Resampling | None:
    """Turn what a user says about resampling into what an estimator does.

    Parameters
    ----------
    given
        None or :class:`blpdask.Resamples`; a function would have to give tables as
        long as the store.
    scaling
        How the covariance of simulation error is scaled.
    problem
        On a store.
    faults
        What every fault is added to.
    """
    if given is None:
        return None
    own = problem.nodes
    if not isinstance(given, Resamples):
        faults.add(
            f"resample_agent_data of type {type(given).__name__} on a store",
            "None or a Resamples",
            "pass Resamples(50), for example",
        )
        return None
    chosen = given.integration.rule if given.integration is not None else None
    if chosen is None and own is not None:
        chosen = as_rule(own)
    if problem.formulas.random is None or chosen is None or not chosen.is_simulation:
        faults.add(
            "resamples without a rule that draws the problem's nodes at random",
            "random coefficients, and the rule that the nodes come from",
            "pass it as Resamples(..., integration=...)",
        )
        return None
    check_nodes(chosen, *problem.agents_by_market(), faults)
    keyed = KeyedResamples(chosen, given.replicates, given.seed, given.directory)
    return Resampling(keyed, scaling)
