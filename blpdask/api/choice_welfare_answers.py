"""Answers about what people would pay, and what changes are worth to them.

See :class:`.choice_methods.ChoiceMethods`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..analysis.class_probabilities import ClassesAt
from ..analysis.willingness_to_pay import (
    MOST_DRAWS,
    WillingnessQuery,
    WillingnessSums,
    fixed_slopes,
    has_moments,
    weighted_quantiles,
    willingness_pass,
)
from ..choice_records import CENTRED
from ..errors import NumericalWarning
from ..model.mixed_coefficients import mixed_tastes
from ..problem.asked_choice_rows import AskedTable
from ..problem.fields import some
from ..records import Floats
from ..results.choice_counterfactual import ChoiceCounterfactual
from ..results.willingness_to_pay import WillingnessToPay
from .choice_answers import shares_of
from .choice_frames import in_given_order, situations_frame
from .choice_questions import ChoiceQuestion

if TYPE_CHECKING:
    import pandas as pd


class _Place(NamedTuple):
    """A column of X, and its slope by the variable that was named."""

    column: int
    slope: float


def willingness_to_pay(
    question: ChoiceQuestion, name: Any, price: Any, quantiles: Any, covariances: Floats
) -> WillingnessToPay:
    """Compute the distribution of -β_k / β_p."""
    column = _find_column(question, "name", name)
    paid = _find_column(question, "price", price)
    _check_alone(question, price, paid.column)
    if column.column == paid.column and not len(question.faults):
        question.faults.add(
            f"name={name!r}, which is the price", "another column", "name another"
        )
    levels = _read_levels(question, quantiles)
    found = _ask_willingness(question, column, paid)
    scaled = question.coefficients.scaling == paid.column
    finite = scaled or has_moments(question.coefficients, paid.column, found.ranges)
    if not finite:
        _warn_of_moments(str(price), "quantiles exist", above=4)
    mean = found.total / found.weight
    variance = found.squares / found.weight - mean**2
    spread, error = np.sqrt(max(variance, 0.0)), np.nan
    if _is_fixed(question, column, paid):
        spread, (mean, error) = 0.0, _fixed(question, column, paid, covariances)
    at = np.concatenate([[0.5], levels])
    median, *rest = weighted_quantiles(found.values, found.weights, at)
    return WillingnessToPay(
        name=str(name),
        price=str(price),
        mean=float(mean),
        standard_deviation=float(spread),
        median=float(median),
        mean_se=float(error),
        levels=levels,
        quantiles=np.array(rest),
        has_moments=finite,
    )


def consumer_surpluses(
    question: ChoiceQuestion, price: Any, choice_data: Any
) -> pd.DataFrame:
    """Compute consumer surplus of situations."""
    table = _read_priced(question, price, choice_data)
    found = question.rows(table, "surpluses").surpluses
    _warn_of_prices(question, table, found, str(price))
    return situations_frame(table, "consumer_surpluses", found)


def counterfactual(
    question: ChoiceQuestion, changes: Any, price: Any
) -> ChoiceCounterfactual:
    """Compute choices before and after a change."""
    if price is not None:
        question.variable(price)
    data = question.changed(changes)
    tables = [
        question.read(given) if price is None else _read_priced(question, price, given)
        for given in (None, data)
    ]
    asked = "probabilities" if price is None else "surpluses"
    answers = [question.rows(table, asked) for table in tables]
    both = zip(tables, answers, strict=True)
    probabilities = [in_given_order(table, own.probabilities) for table, own in both]
    surpluses, change = None, None
    if price is not None:
        before, after = (own.surpluses for own in answers)
        _warn_of_prices(question, tables[0], np.append(before, after), str(price))
        surpluses = situations_frame(tables[0], "before", before)
        surpluses["after"], surpluses["change"] = after, after - before
        change = float(np.average(after - before, weights=answers[0].weights))
    return ChoiceCounterfactual(
        probabilities=np.column_stack(probabilities),
        shares=_compare_shares(question, tables),
        surpluses=surpluses,
        surplus_change=change,
    )


def _compare_shares(
    question: ChoiceQuestion, tables: list[AskedTable]
) -> pd.DataFrame | None:
    """Compare shares before and after, where alternatives have ids."""
    import pandas as pd

    if tables[0].alternative_ids is None:
        return None
    before, after = (shares_of(question, table) for table in tables)
    return pd.DataFrame({"before": before, "after": after, "change": after - before})


def _find_column(question: ChoiceQuestion, argument: str, name: Any) -> _Place:
    """Find a variable's only column, of constant slope, or a column by its name."""
    columns = question.problem.table.columns
    holding = [k for k, column in enumerate(columns) if name in column.names]
    if len(holding) == 1:
        slopes = columns[holding[0]].derivative(name, question.known.given)
        if slopes[0] != 0.0 and (slopes == slopes[0]).all():
            return _Place(holding[0], float(slopes[0]))
    named = [k for k, c in enumerate(columns) if name in (c.name, c.label)]
    if named and not holding:
        return _Place(named[0], 1.0)
    names = some([column.name for column in columns])
    question.faults.add(
        f"{argument}={name!r}"
        + (f", which {some([columns[k].name for k in holding])} say" * bool(holding)),
        f"a variable in one column, a constant multiple of it, or one of {names}",
        "name another, or compute ratios of slopes of utility by delta_method",
    )
    return _Place(0, 1.0)


def _check_alone(question: ChoiceQuestion, price: Any, place: int) -> None:
    """Refuse prices that stand in several columns: -β_k / β_p is then no price."""
    columns = question.problem.table.columns
    others = [
        column.name
        for k, column in enumerate(columns)
        if k != place and column.names & columns[place].names
    ]
    if others and not len(question.faults):
        question.faults.add(
            f"price={price!r}, whose variables also stand in {some(others)}",
            "prices in one column, whose coefficient alone is their effect",
            "compute ratios of slopes of utility by delta_method",
        )


def _read_levels(question: ChoiceQuestion, quantiles: Any) -> Floats:
    """Read levels of quantiles."""
    try:
        levels = np.asarray(quantiles, dtype=np.float64)
    except (TypeError, ValueError):
        levels = np.array([np.nan])
    if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
        question.faults.add(
            f"quantiles={quantiles!r}",
            "a list of numbers between 0 and 1",
            "pass, for example, [0.25, 0.5, 0.75]",
        )
    return levels


def _ask_willingness(
    question: ChoiceQuestion, column: _Place, price: _Place
) -> WillingnessSums:
    """Ask all people, of whom some keep their draws."""
    problem = question.problem
    query = WillingnessQuery(
        at=question.at,
        column=column.column,
        price=price.column,
        factor=column.slope / price.slope,
        stride=1 + problem.I * max(problem.R, 1) // MOST_DRAWS,
    )
    found: WillingnessSums = question.reduce(question.source, willingness_pass, query)
    return found


def _is_fixed(question: ChoiceQuestion, column: _Place, price: _Place) -> bool:
    """Tell whether two coefficients are the same for all, but for a scale of both."""
    of = question.coefficients
    if isinstance(question.at, ClassesAt):
        return False
    shifted = {k for k, _ in of.shifted}
    places = {column.column, price.column} - {of.scaling}
    return all(of.kinds[k] == "fixed" and k not in shifted for k in places)


def _fixed(
    question: ChoiceQuestion, column: _Place, price: _Place, covariances: Floats
) -> tuple[float, float]:
    """Give -b_k / b_p of fixed coefficients and its standard error."""
    of, factor = question.coefficients, column.slope / price.slope
    b = mixed_tastes(of, question.theta).b[: len(of.labels)]
    slopes, ratio = fixed_slopes(of, b, column.column, price.column)
    free = [k for k, kind in enumerate(of.kinds) if kind not in CENTRED]
    V = covariances[: len(free), : len(free)]
    error = np.sqrt(slopes[free] @ V @ slopes[free])
    return factor * ratio, abs(factor) * float(error)


def _read_priced(question: ChoiceQuestion, price: Any, choice_data: Any) -> AskedTable:
    """Read a table whose utility money enters in a straight line."""
    variable = question.variable(price)
    _check_linear(question, variable)
    table = question.read(choice_data, variable)
    situations = table.asked.situations
    firsts = np.repeat(situations.situation_offsets[:-1], situations.sizes)
    slopes = situations.slopes
    gaps = np.abs(slopes - slopes[firsts]).max(axis=0, initial=0.0)
    scale = np.abs(slopes).max(axis=0, initial=0.0)
    bad = np.flatnonzero(gaps > 1e-12 * scale)
    if bad.size:
        names = [question.coefficients.labels[k] for k in bad]
        question.faults.add(
            f"columns {some(names)} that make money worth more where one alternative "
            "is chosen than where another is",
            "one marginal utility of money in a situation",
            f"interact {price!r} with what alternatives share, or measure welfare by "
            "simulation",
        )
        question.faults.check()
    return table


def _check_linear(question: ChoiceQuestion, variable: str | None) -> None:
    """Refuse utility that is not linear in prices: it has no closed form."""
    if variable is None:
        return
    curved = [
        column.name
        for column in question.problem.table.columns
        if not column.is_linear_in(variable)
    ]
    if curved:
        question.faults.add(
            f"columns {some(curved)} that are not linear in {variable!r}",
            "utility in which money counts alike at all prices",
            "measure welfare with a formulation that is linear in prices",
        )


def _warn_of_prices(
    question: ChoiceQuestion, table: AskedTable, surpluses: Floats, price: str
) -> None:
    """Warn where one over the marginal utility of money has no mean."""
    of = question.coefficients
    used = np.flatnonzero((table.asked.situations.slopes != 0).any(axis=0))
    scaled = of.kinds[of.scaling] if 0 <= of.scaling < len(of.kinds) else "fixed"
    kinds = [*(of.kinds[k] for k in used), scaled]
    bounded = {"fixed", "lognormal", "johnson"}
    open_kinds = [k for k in kinds if k not in bounded]
    lost = int(np.isnan(surpluses).sum())
    if lost or any(k not in ("uniform", "triangular") for k in open_kinds):
        told = f"{lost} surpluses are NaN" if lost else "they depend on the draws"
        _warn_of_moments(price, told, above=5)


def _warn_of_moments(price: str, told: str, *, above: int) -> None:
    """Warn that means do not exist, whoever called so many functions above."""
    warnings.warn(
        f"the coefficient of {price!r} may be close to zero, or of either sign: what "
        f"is divided by it has no mean ({told}); make it lognormal, or fixed, for one "
        "that has",
        NumericalWarning,
        stacklevel=above,
    )
