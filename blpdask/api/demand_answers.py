"""Answers to questions about demand whose arguments need reading.

See :class:`.demand_methods.DemandMethods`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..analysis.choices import inverted_shares, probabilities_at, shares_at
from ..analysis.economy import Economy
from ..analysis.stacked_matrices import diagonals_of
from ..analysis.substitution import aggregate_elasticities
from ..records import Floats, TrialPrices
from ..status import InversionStatus
from .economy_questions import Question
from .solve_checks import check_choices, check_iteration


def aggregate(question: Question, factor: Any, name: Any) -> Floats:
    """Compute aggregate elasticities."""
    number = isinstance(factor, int | float | np.number)
    if not number or not np.isfinite(factor) or factor == 0:
        question.faults.add(
            f"factor={factor!r}",
            "a finite number other than zero",
            "pass one, such as 0.1",
        )
    variable = question.variable(name)
    economy = question.economy()
    return aggregate_elasticities(economy, variable, float(factor))[:, None]


def shares(
    question: Question, prices: Any, delta: Any, agent_data: Any, integration: Any
) -> Floats:
    """Compute shares."""
    economy, trial = _utilities(question, prices, delta, agent_data, integration)
    return economy.in_user_order(shares_at(economy, trial))[:, None]


def probabilities(
    question: Question, prices: Any, delta: Any, agent_data: Any, integration: Any
) -> Floats:
    """Compute choice probabilities."""
    economy, trial = _utilities(question, prices, delta, agent_data, integration)
    return economy.in_user_order(probabilities_at(economy, trial))


def mean_utilities(
    question: Question, agent_data: Any, integration: Any, iteration: Any, fp_type: Any
) -> Floats:
    """Compute mean utilities."""
    check_choices({"fp_type": fp_type}, question.faults)
    iterates = check_iteration(iteration, question.faults)
    question.with_agents(agent_data, integration)
    economy = question.economy()
    controls = iterates.controls(question.scratch_bytes)
    found = inverted_shares(economy, controls, iterates.iterate())
    for kind in list(InversionStatus)[1:]:
        question.warn(np.flatnonzero(found.status == kind), kind.sentence)
    return economy.in_user_order(found.delta)[:, None]


def diagonals(question: Question, matrices: Any) -> Floats:
    """Take diagonals out of stacked matrices."""
    ordered = question.matrices(matrices)
    economy = question.economy()
    found = diagonals_of(ordered, economy.offsets)
    return economy.in_user_order(found)[:, None]


def diagonal_means(question: Question, matrices: Any) -> Floats:
    """Average diagonals of stacked matrices."""
    ordered = question.matrices(matrices)
    economy = question.economy()
    found = economy.segment_sums(diagonals_of(ordered, economy.offsets))
    return (found / np.diff(economy.offsets))[:, None]


def _utilities(
    question: Question, prices: Any, delta: Any, agent_data: Any, integration: Any
) -> tuple[Economy, TrialPrices]:
    """Give the economy with these agents, and utilities at given prices or δ.

    δ moves with prices unless it is given.
    """
    at = question.column(prices, "prices")
    given = question.column(delta, "delta")
    question.with_agents(agent_data, integration)
    economy = question.economy()
    trial = economy.at("prices", at)
    if given is not None:
        trial = replace(trial, delta=given / economy.demand.epsilon_scale)
    return economy, trial
