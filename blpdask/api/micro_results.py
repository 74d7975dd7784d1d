"""What results say about micro data: values of moments, samples and scores."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np

from ..analysis.micro_scores import agent_scores, micro_scores
from ..analysis.micro_values import moment_values
from ..analysis.simulated_surveys import simulate_survey
from ..analysis.surveyed_markets import Survey
from ..driver.engine import Engine
from ..errors import Faults
from ..integration.rules import Rule
from ..model.parameters import tastes_at
from ..problem.observed_choices import (
    CHOICES,
    NodeColumns,
    ObservedChoices,
    observe_agents,
    read_observed,
)
from ..problem.survey_arrays import MarketFunction, SurveyDataset
from ..problem.survey_expressions import ChoiceExpression, check_names
from ..records import Floats, Integers
from .estimated_economy import EstimatedEconomy
from .integration import Integration
from .micro import MicroDataset
from .micro_setup import check_dataset, check_micro
from .micro_tables import market_tables
from .observed_tables import observed_tables
from .solve_checks import check_choices, check_engine, check_numbers
from .structured_tables import structure

#: Kinds of places in samples, the smallest first.
_KINDS = (np.uint8, np.uint32, np.uint64)


def micro_values(
    economy: EstimatedEconomy,
    micro_moments: Any,
    engine: Any,
    threads: int | None,
    backend: str,
) -> Floats:
    """Compute f_m(v) of moments; see :class:`.micro_methods.MicroMethods`."""
    faults = Faults("compute_micro_values")
    check_choices({"backend": backend}, faults)
    check_numbers(0, threads, None, 0, faults)
    demand = economy.demand
    ids = demand.products.unique_market_ids
    micro = check_micro(micro_moments, None, ids, economy.n_product_ids, faults)
    chosen = check_engine(engine, threads, faults)
    faults.check()
    if micro is None:
        return np.empty(0)
    tables = market_tables(demand, economy.parameters, economy.agent_data)
    prepared = demand.prepare(
        None, partial(micro.survey, markets=tables, observed=False)
    )
    return moment_values(
        prepared,
        micro.setup.targets,
        tastes_at(economy.parameters, economy.theta),
        demand.in_market_order(economy.delta),
        cast("Engine", chosen),
        backend,
    )


def simulated_micro_data(
    economy: EstimatedEconomy, dataset: Any, seed: Any
) -> np.recarray[Any, Any]:
    """Simulate a dataset's observations; see :class:`.micro_methods.MicroMethods`."""
    faults = Faults("simulate_micro_data")
    survey = _check_survey(economy, dataset, faults)
    check_numbers(0, None, None, 0 if seed is None else seed, faults)
    faults.check()
    assert survey is not None
    n = int(dataset.observations)
    found = simulate_survey(economy.markets(), survey, n, seed)
    tables = economy.demand.tables
    agents = _kind(int(np.diff(tables.agent_offsets).max()))
    products = _kind(int(np.diff(tables.product_offsets).max()))
    columns = {
        "micro_ids": np.arange(n).astype(object),
        "market_ids": economy.demand.products.unique_market_ids[found.market_codes],
        "agent_indices": found.agents.astype(agents),
    }
    for name, choice in zip(CHOICES, found.choices, strict=False):
        columns[name] = choice.astype(products)
    return structure(columns)


def scores_of_observations(
    economy: EstimatedEconomy, dataset: Any, micro_data: Any, integration: Any
) -> list[Floats]:
    """Compute scores of observations; see :class:`.micro_methods.MicroMethods`."""
    faults = Faults("compute_micro_scores")
    survey = _check_survey(economy, dataset, faults)
    rule = _check_rule(economy, integration, faults)
    faults.check()
    assert survey is not None
    observed = _read(economy, micro_data, rule, dataset)
    found = micro_scores(economy.markets(), survey, observed, observed_tables(observed))
    return list(found)


def scores_of_agents(
    economy: EstimatedEconomy, dataset: Any, micro_data: Any, integration: Any
) -> list[dict[Any, Floats]]:
    """Compute scores of all choices; see :class:`.micro_methods.MicroMethods`."""
    faults = Faults("compute_agent_scores")
    survey = _check_survey(economy, dataset, faults)
    rule = _check_rule(economy, integration, faults)
    faults.check()
    assert survey is not None
    markets = economy.markets()
    if micro_data is None:
        observed = _own_agents(economy, dataset, rule)
    else:
        observed = _without_choices(_read(economy, micro_data, rule, dataset))
    found = agent_scores(markets, survey, observed, observed_tables(observed))
    ids = economy.demand.products.unique_market_ids
    return [
        {ids[t]: scores[p] for t, scores in found.items()}
        for p in range(economy.parameters.size)
    ]


def _check_survey(
    economy: EstimatedEconomy, dataset: Any, faults: Faults
) -> Survey | None:
    """Check a dataset, and say it as the floors below do."""
    if not isinstance(dataset, MicroDataset):
        faults.add(
            f"dataset of type {type(dataset).__name__}",
            "a MicroDataset",
            "pass the one that micro moments are of",
        )
        return None
    ids = economy.demand.products.unique_market_ids
    check_dataset(dataset, ids, economy.n_product_ids, faults)
    label = f"the micro dataset '{dataset.name}'"
    weights = cast("MarketFunction", dataset.compute_weights)
    if isinstance(weights, ChoiceExpression):
        tables = market_tables(economy.demand, economy.parameters, economy.agent_data)
        check_names(weights, tables(0).names(), label, faults)
    return Survey(
        SurveyDataset(label, weights, dataset.market_ids),
        dataset.eliminated_product_ids_index,
    )


def _check_rule(
    economy: EstimatedEconomy, integration: Any, faults: Faults
) -> Rule | None:
    """Check how observations are integrated."""
    if integration is None:
        return None
    if not isinstance(integration, Integration):
        faults.add(
            f"integration of type {type(integration).__name__}",
            "an Integration or None",
            "wrap it: Integration('product', 5)",
        )
        return None
    if not _node_columns(economy).free.size:
        faults.add(
            "integration although sigma is zero",
            "no integration, since there is nothing to integrate over",
            "leave integration out, and give micro_data micro_ids, and weights of one",
        )
    return integration.rule


def _node_columns(economy: EstimatedEconomy) -> NodeColumns:
    """Say which random coefficients nodes are of."""
    sigma = economy.parameters.start.sigma
    return NodeColumns(len(sigma), np.flatnonzero((sigma != 0).any(axis=0)))


def _read(
    economy: EstimatedEconomy, data: Any, rule: Rule | None, dataset: MicroDataset
) -> ObservedChoices:
    """Read observations, which must be where the dataset is."""
    products = economy.demand.products
    ids = products.unique_market_ids
    observed = read_observed(
        data,
        economy.formula,
        rule,
        unique_market_ids=ids,
        product_counts=np.bincount(products.market_codes),
        demographics=tuple(c.name for c in economy.demand.agents.columns),
        node_columns=_node_columns(economy),
    )
    if dataset.market_ids is not None:
        faults = Faults("micro_data")
        there = {ids[t] for t in np.unique(observed.market_codes)}
        elsewhere = sorted(map(str, there - set(dataset.market_ids)))
        if elsewhere:
            faults.add(
                f"observations in {len(elsewhere)} markets where the dataset is not",
                "observations in market_ids of the dataset",
                "correct market_ids of micro_data or of the dataset",
            )
        faults.check()
    return observed


def _own_agents(
    economy: EstimatedEconomy, dataset: MicroDataset, rule: Rule | None
) -> ObservedChoices:
    """Take the problem's agents where the dataset is, in the order of their data."""
    agents, tables = economy.demand.agents, economy.demand
    place: Integers = np.argsort(agents.order)
    if dataset.market_ids is not None:
        ids = tables.products.unique_market_ids
        inside = np.array([market in dataset.market_ids for market in ids])
        place = np.flatnonzero(inside[agents.market_codes])
    whole = market_tables(economy.demand, economy.parameters, economy.agent_data)
    agent_ids = _agent_ids(economy, whole)
    return observe_agents(agents, place, rule, _node_columns(economy), agent_ids)


def _agent_ids(economy: EstimatedEconomy, whole: Any) -> np.ndarray[Any, Any] | None:
    """Give what agents are called, sorted by market; None where they have no names."""
    if whole(0).agents["agent_ids"].shape[1] == 0:
        return None
    parts = [whole(t).agents["agent_ids"] for t in range(economy.demand.n_markets)]
    return np.concatenate(parts)[:, 0]


def _without_choices(observed: ObservedChoices) -> ObservedChoices:
    """Forget what observations chose."""
    return replace(observed, choices=())


def _kind(largest: int) -> type[np.unsignedinteger[Any]]:
    """Choose the smallest kind of number that holds places up to a size."""
    return next(kind for kind in _KINDS if largest <= np.iinfo(kind).max)
