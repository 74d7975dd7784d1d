"""Answers to what an experiment on a product would find, whose words need reading.

An experiment is "removal", "price", "quality", or names a variable of X1 or X2; weights
know "ate" and "atu" too. See :mod:`blpdask.model.intervention_weights`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..analysis.diversion_weights import diversion_weights
from ..analysis.economy import Economy
from ..analysis.interventions import diversion_of_change
from ..analysis.substitution import diversion_ratios, long_run_diversion_ratios
from ..model.intervention_weights import Experiment
from ..records import Floats
from .economy_questions import Question

_DONE = ("removal", "price", "quality")
_WEIGHED: tuple[Experiment, ...] = ("removal", "ate", "atu")
_LOST = (
    "the shares of some products do not move, or are not finite, so that their rows "
    "are missing"
)


def diversion_by_intervention(
    question: Question, intervention: Any, size: Any
) -> Floats:
    """Compute diversion ratios of an experiment."""
    variable = _read(question, intervention, _DONE)
    amount = _read_size(question, intervention, size)
    economy = question.economy()
    _check_columns(question, economy, intervention, variable, _DONE)
    if intervention == "removal":
        found = long_run_diversion_ratios(economy)
    elif amount is None:
        found = diversion_ratios(economy, variable)
    else:
        values = economy.values_of(variable)
        moved = values + amount if variable is None else (1.0 + amount) * values
        found = diversion_of_change(economy, variable, moved)
    _warn(question, economy, found)
    return economy.in_user_order(found)


def weights_by_intervention(question: Question, intervention: Any) -> Floats:
    """Compute weights of agents in diversion ratios of an experiment."""
    words = (*_DONE, *_WEIGHED[1:])
    variable = _read(question, intervention, words)
    economy = question.economy()
    _check_columns(question, economy, intervention, variable, words)
    experiment: Experiment = "marginal"
    for known in _WEIGHED:
        experiment = known if intervention == known else experiment
    found = diversion_weights(economy, experiment, variable)
    _warn(question, economy, found)
    return economy.in_user_order(found)


def _read(question: Question, given: Any, words: tuple[str, ...]) -> str | None:
    """Give the variable that an experiment moves, None for δ and for none."""
    if given == "price":
        return question.variable("prices", none=False)
    if isinstance(given, str) and given in words:
        return None
    known = len(question.faults)
    variable = question.variable(given, none=False)
    if len(question.faults) > known:
        question.faults.add(
            f"intervention={given!r}",
            f"one of {', '.join(map(repr, words))}, or a variable of X1 or X2",
            "name one of them",
        )
    return variable


def _read_size(question: Question, intervention: Any, size: Any) -> float | None:
    """Read the size of a change, None where it is small."""
    if size is None:
        return None
    number = isinstance(size, int | float | np.number) and not isinstance(size, bool)
    if not number or not np.isfinite(size) or size == 0:
        question.faults.add(
            f"size={size!r}",
            "None for a small change, or a finite number other than zero",
            "pass one, such as 0.1",
        )
        return None
    if intervention == "removal":
        question.faults.add(
            f"size={size!r} with intervention='removal'",
            "None: a product that is taken away is gone altogether",
            "leave size out, or change the quality",
        )
    return float(size)


def _check_columns(
    question: Question,
    economy: Economy,
    intervention: str,
    variable: str | None,
    words: tuple[str, ...],
) -> None:
    """Check that utilities depend on the variable, and that a word is not one too."""
    products = economy.demand.products
    columns = (*products.X1_columns, *products.X2_columns)
    names = {name for column in columns for name in column.names}
    if intervention in words and intervention in names:
        question.faults.add(
            f"intervention={intervention!r}, which is a variable of the formulas too",
            "a word that says one thing",
            "rename the variable",
        )
    if variable is not None and variable not in names:
        question.faults.add(
            f"intervention={intervention!r} by {variable!r}, on which no utility "
            "depends",
            "a variable of X1 or X2",
            "name one of them, or 'removal' or 'quality'",
        )
    question.faults.check()


def _warn(question: Question, economy: Economy, found: Floats) -> None:
    """Warn of markets in which rows are missing."""
    missing = np.where(np.isfinite(found[:, 0]), 0.0, 1.0)
    question.warn(np.flatnonzero(economy.segment_sums(missing) > 0), _LOST)
