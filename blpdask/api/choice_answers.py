"""Answers about probabilities, substitution and tastes of people.

See :class:`.choice_methods.ChoiceMethods`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..analysis import choice_substitution as substitution
from ..analysis.choice_probabilities import probabilities_pass
from ..analysis.posterior_coefficients import PosteriorMoments, posterior_pass
from ..problem.asked_choice_rows import AskedTable
from ..records import Floats
from .asked_blocks import place_probabilities
from .choice_frames import (
    alternatives_frame,
    in_given_order,
    name_alternatives,
    pairs_frame,
)
from .choice_questions import ChoiceQuestion

if TYPE_CHECKING:
    import pandas as pd


def probabilities(question: ChoiceQuestion, choice_data: Any) -> Floats:
    """Compute probabilities in the order of the data."""
    if choice_data is not None:
        table = question.read(choice_data)
        found = question.rows(table, "probabilities").probabilities
        return in_given_order(table, found)
    problem = question.problem
    own = question.reduce(question.source, probabilities_pass, question.at)
    return place_probabilities(problem.table, own.probabilities)


def shares(question: ChoiceQuestion, choice_data: Any) -> pd.Series[float]:
    """Compute shares by alternative."""
    table = question.read(choice_data, alternatives=True)
    return shares_of(question, table)


def shares_of(question: ChoiceQuestion, table: AskedTable) -> pd.Series[float]:
    """Compute shares of a table's alternatives."""
    import pandas as pd

    sums = question.sums(table, "probabilities")
    values = sums.probabilities / sums.weight
    return pd.Series(values, index=name_alternatives(table), name="shares")


def elasticities(
    question: ChoiceQuestion, name: Any, by: Any, choice_data: Any
) -> pd.DataFrame:
    """Compute elasticities by a variable."""
    variable, summed = question.variable(name), question.by_alternatives(by)
    table = question.read(choice_data, variable, alternatives=summed)
    if summed:
        sums = question.sums(table, "slopes", scaled=True)
        return alternatives_frame(table, substitution.alternative_elasticities(sums))
    found = substitution.row_elasticities(
        question.rows(table, "slopes"), table.asked.situations, table.asked.values
    )
    return pairs_frame(table, "elasticities", found, own=True)


def diversion_ratios(
    question: ChoiceQuestion, name: Any, by: Any, choice_data: Any
) -> pd.DataFrame:
    """Compute diversion ratios by a variable."""
    variable, summed = question.variable(name), question.by_alternatives(by)
    table = question.read(choice_data, variable, alternatives=summed)
    if summed:
        sums = question.sums(table, "slopes")
        return alternatives_frame(table, substitution.alternative_diversion(sums))
    answers = question.rows(table, "slopes")
    found = substitution.row_diversion(answers, table.asked.situations)
    return pairs_frame(table, "diversion_ratios", found, own=False)


def long_run_diversion_ratios(
    question: ChoiceQuestion, by: Any, choice_data: Any
) -> pd.DataFrame:
    """Compute long-run diversion ratios."""
    summed = question.by_alternatives(by)
    table = question.read(choice_data, alternatives=summed)
    if summed:
        sums = question.sums(table, "removals")
        found = substitution.alternative_long_run_diversion(sums)
        return alternatives_frame(table, found)
    answers = question.rows(table, "removals")
    found = substitution.row_long_run_diversion(answers, table.asked.situations)
    return pairs_frame(table, "diversion_ratios", found, own=False)


def posterior_coefficients(question: ChoiceQuestion) -> pd.DataFrame:
    """Compute coefficients of people given their choices."""
    import pandas as pd

    problem = question.problem
    found: PosteriorMoments = question.reduce(
        question.source, posterior_pass, question.at
    )
    labels = question.coefficients.labels
    columns = {"person_ids": problem.table.person_ids}
    columns |= dict(zip(labels, found.means.T, strict=True))
    spreads = [f"sd.{label}" for label in labels]
    columns |= dict(zip(spreads, found.deviations.T, strict=True))
    columns["effective_draws"] = found.effective_draws
    return pd.DataFrame(columns).infer_objects()
