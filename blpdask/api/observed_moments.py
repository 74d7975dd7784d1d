"""Micro moments with the values that a survey's rows have, from tables or Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..analysis.observed_moments import SampleSums, no_observations, summarize
from ..errors import BlpdaskError, Faults
from ..model.parameters import Parameters
from ..problem.demand_problem import DemandProblem
from ..problem.observed_choices import NodeColumns, read_observed
from ..problem.store_tables import open_table
from ..problem.survey_arrays import MarketFunction, SurveyDataset, SurveyPart
from ..records import Floats
from .micro import MicroDataset, MicroMoment, MicroPart
from .micro_setup import MicroMoments, check_micro
from .micro_tables import market_tables
from .observed_tables import observed_tables
from .stored import in_memory

if TYPE_CHECKING:
    from .problem import Problem


@dataclass(frozen=True, slots=True, eq=False)
class ObservedMoments:
    """Moments as they were observed, for :meth:`blpdask.Problem.solve`.

    Attributes
    ----------
    micro_moments
        The moments, with what was observed as their values and the numbers of rows as
        ``observations`` of their datasets.
    micro_sample_covariances
        ``(MM, MM)`` covariances of those values.
    part_values
        ``(PM,)`` v̄ of the parts, each once, in the order in which moments name them.
    """

    micro_moments: tuple[MicroMoment, ...]
    micro_sample_covariances: Floats
    part_values: Floats


def observe_micro_moments(
    problem: Problem, micro_moments: Sequence[MicroMoment], micro_data: Any
) -> ObservedMoments:
    """Compute observed values of micro moments, and their covariances, from rows.

    Parameters
    ----------
    problem
        Whose products the observations are of, and whose ``agent_formulation`` says
        what their demographics are.
    micro_moments
        The moments; values, and observations of their datasets, are not looked at.
        Functions see observations in the place of a market's agents, with nodes that
        are NaN, since nobody observes them.
    micro_data
        Table with a row an observation: ``market_ids``, ``choice_indices`` and, where
        the survey asks for second choices, ``second_choice_indices``, from zero along
        the axes of the survey's weights, and variables of ``agent_formulation``. A
        DataFrame, a mapping, or paths of Parquet files, which are read in parts. Of
        several datasets a mapping from their names to such tables.

    Returns
    -------
    ObservedMoments
        What :meth:`blpdask.Problem.solve` takes as ``micro_moments`` and
        ``micro_sample_covariances``.

    Raises
    ------
    BlpdaskError
        Where the problem's data are in a store.
    InputError
        With every fault of the arguments, of a part of the rows, or of functions.
    """
    demand = in_memory(problem.demand, "observed micro moments")
    faults = Faults("observe_micro_moments")
    ids = demand.products.unique_market_ids
    product_ids = demand.products.ids.get("product_ids")
    n_ids = 0 if product_ids is None else product_ids.shape[1]
    micro = check_micro(micro_moments, None, ids, n_ids, faults)
    if not demand.types:
        faults.add("no random coefficients", "X2, and agents", "formulate X2")
    if micro is None and not len(faults):
        faults.add("no micro_moments", "one at least", "pass some")
    faults.check()
    assert micro is not None
    data = _by_dataset(micro.datasets, micro_data)
    parameters = _no_tastes(problem)
    sums = [
        _read_dataset(problem, demand, parameters, micro, dataset, data[dataset.name])
        for dataset in micro.datasets
    ]
    return _observed(micro, sums)


def _by_dataset(datasets: Sequence[MicroDataset], micro_data: Any) -> Mapping[str, Any]:
    """Give each dataset its table."""
    names = [dataset.name for dataset in datasets]
    if isinstance(micro_data, Mapping) and set(names) <= set(micro_data):
        return micro_data
    if len(names) == 1:
        return {names[0]: micro_data}
    faults = Faults("observe_micro_moments")
    faults.add(
        f"micro_data of type {type(micro_data).__name__} for {len(names)} datasets",
        f"a mapping with a table for each of {', '.join(names)}",
        "pass one",
    )
    faults.check()
    raise AssertionError


def _no_tastes(problem: Problem) -> Parameters:
    """Lay parameters out at zero, for tables that have nothing to do with them."""
    outline = problem.outline
    E = 2 if problem.K3 else 1
    H = len(outline.nesting_ids)
    return outline.lay_out(
        sigma=np.zeros((problem.K2, problem.K2)),
        pi=np.zeros((problem.K2, problem.D)),
        rho=np.zeros(H) if H else None,
        phi=np.zeros((E, E)) if outline.has_lags else None,
        beta=np.zeros(problem.K1),
        gamma=np.zeros(problem.K3) if problem.K3 else None,
        bounded=False,
        default_bounds=False,
    )


def _read_dataset(
    problem: Problem,
    demand: DemandProblem,
    parameters: Parameters,
    micro: MicroMoments,
    dataset: MicroDataset,
    data: Any,
) -> SampleSums:
    """Read a dataset's rows part by part, and average values of its parts."""
    formulation, products = problem.agent_formulation, demand.products
    markets = market_tables(demand, parameters, None)
    label = f"the micro dataset '{dataset.name}'"
    survey = SurveyDataset(
        label, cast("MarketFunction", dataset.compute_weights), dataset.market_ids
    )
    parts = [_part(part) for part in micro.parts if part.dataset is dataset]
    table = open_table(data, "micro_data")
    found = no_observations(len(parts))
    for rows in table.parts([column.name for column in table.columns]):
        observed = read_observed(
            rows,
            None if formulation is None else formulation.parsed,
            None,
            unique_market_ids=products.unique_market_ids,
            product_counts=np.bincount(products.market_codes),
            demographics=tuple(column.name for column in demand.agents.columns),
            node_columns=NodeColumns(problem.K2, np.arange(problem.K2)),
            integrated=False,
        )
        tables = observed_tables(observed)
        found = found.joined(summarize(observed, survey, parts, markets, tables))
    if found.n < 2:
        raise BlpdaskError(
            f"found: {found.n} observations of {label}\n  expected: two at least\n  "
            "what to do: pass its rows as micro_data"
        )
    return found


def _part(part: MicroPart) -> SurveyPart:
    """Say a part as the floors below do."""
    label = f"the micro part '{part.name}' on '{part.dataset.name}'"
    return SurveyPart(label, 0, cast("MarketFunction", part.compute_values))


def _observed(micro: MicroMoments, sums: Sequence[SampleSums]) -> ObservedMoments:
    """Turn means of parts into moments with values and covariances."""
    targets, PM = micro.setup.targets, len(micro.parts)
    v, covariances = np.empty(PM), np.zeros((PM, PM))
    for d, found in enumerate(sums):
        own = np.flatnonzero(targets.layout.datasets == d)
        v[own] = found.means
        covariances[np.ix_(own, own)] = found.covariances
    gradients = np.zeros((micro.size, PM))
    values = np.empty(micro.size)
    for m, places in enumerate(map(list, targets.parts)):
        values[m] = targets.functions[m](v[places])
        gradients[m, places] = targets.gradients[m](v[places])
    datasets = {
        dataset: replace(dataset, observations=found.n)
        for dataset, found in zip(micro.datasets, sums, strict=True)
    }
    parts = {
        part.key: replace(part, dataset=datasets[part.dataset]) for part in micro.parts
    }
    moments = tuple(
        replace(
            moment,
            value=float(values[m]),
            parts=[parts[part.key] for part in moment.parts],
        )
        for m, moment in enumerate(micro.moments)
    )
    return ObservedMoments(moments, gradients @ covariances @ gradients.T, v)
