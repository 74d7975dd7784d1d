"""From a formula and data to a design matrix whose columns know their derivatives.

The vocabulary is PyBLP's (Conlon and Gortmaker 2020), the coding of categorical
variables R's and patsy's: an intercept unless 0 or -1 removes it, treatment contrasts
with the first level left out where the intercept or an earlier term spans it. Where
fixed effects are absorbed the intercept goes, but the rest is coded as if it stayed.
A formula is data: it is read, never executed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product as every_combination

import numpy as np

from ..errors import DataWarning, Faults, InputError
from ..records import Floats, Integers
from .absorption import group_codes
from .formula_calculus import print_product
from .formula_coding import Coding, code_terms
from .formula_columns import Column, DesignMatrix, evaluate_expression
from .formula_data import (
    Table,
    Values,
    add_not_finite,
    count_rows,
    factorize,
    is_numeric,
    read_column,
    read_columns,
)
from .formula_expressions import (
    Expression,
    Indicator,
    Variable,
    leaves,
    product,
)
from .formula_terms import INTERCEPT, Factor, Term, parse_terms

__all__ = ["Column", "DesignMatrix", "ParsedFormula", "parse", "read_column"]


@dataclass(frozen=True, slots=True)
class ParsedFormula:
    """A formula, read and checked as far as it can be without data.

    Attributes
    ----------
    terms
        Terms of the matrix in the order of its columns.
    absorbed
        Terms of the fixed effects to absorb.
    """

    terms: tuple[Term, ...]
    absorbed: tuple[Term, ...]

    @property
    def names(self) -> frozenset[str]:
        """Every variable used, by the matrix or by the absorbed effects."""
        return frozenset(_names(self.terms)) | frozenset(_names(self.absorbed))

    @property
    def absorbed_terms(self) -> tuple[tuple[str, ...], ...]:
        """Variables of each absorbed effect, those interacted side by side."""
        return tuple(tuple(dict.fromkeys(_names((term,)))) for term in self.absorbed)

    def build(self, data: Table) -> DesignMatrix:
        """Evaluate the matrix; fixed effects are not absorbed yet.

        Parameters
        ----------
        data
            DataFrame, mapping from names to arrays, or structured array.

        Returns
        -------
        DesignMatrix
            ``(N, K)`` values and the K columns.

        Raises
        ------
        InputError
            If variables are not there, or columns have values that are not finite.
        """
        variables = read_columns(data, dict.fromkeys(_names(self.terms)))
        n_rows = next((v.size for v in variables.values()), 0) or count_rows(data)
        factors = _evaluate_factors(self.terms, variables, n_rows)
        categorical = {
            label for label, found in factors.items() if found.levels is not None
        }
        # Absorbed effects span the intercept, so that the rest is coded beside it.
        spanned = (INTERCEPT, *self.terms) if self.absorbed else self.terms
        codings = code_terms(spanned, categorical)
        columns: list[Column] = []
        values: list[Floats] = []
        for term in self.terms:
            for coding in codings[term]:
                for parts in _combinations(term, coding, factors):
                    columns.append(_column(parts, factors))
                    values.append(_multiply(parts, factors, n_rows))
        matrix = np.column_stack(values) if values else np.empty((n_rows, 0))
        _check_finite(matrix, columns)
        return DesignMatrix(values=matrix, columns=tuple(columns))

    def groups(self, data: Table) -> tuple[Integers, ...]:
        """Code the groups of each absorbed effect, ``(N,)`` codes each.

        Raises
        ------
        InputError
            If variables are not there or have missing values, or if numbers are not
            marked as categorical by C.
        """
        faults = Faults("absorbed fixed effects")
        for factor in {f.label: f for t in self.absorbed for f in t.factors}.values():
            (name,) = _factor_names(factor)
            if not factor.marked and is_numeric(read_column(data, name)):
                faults.add(
                    f"the numeric variable '{name}'",
                    "categorical variables",
                    f"write C({name}) if its numbers are labels",
                )
        faults.check()
        return tuple(group_codes(data, term) for term in self.absorbed_terms)


@dataclass(frozen=True, slots=True)
class _Factor:
    """A factor evaluated: numbers without levels, or codes into levels."""

    values: Floats | Integers
    levels: tuple[object, ...] | None


_Part = tuple[Factor, int | None]
"""A factor, and the place of a level where it is categorical."""


def parse(formula: str, absorb: str | None = None) -> ParsedFormula:
    """Read a formula and the fixed effects to absorb.

    Parameters
    ----------
    formula
        R-style formula of the matrix.
    absorb
        R-style formula of categorical variables, such as ``C(a) + C(b):C(c)``.

    Returns
    -------
    ParsedFormula
        What the formulas stand for.

    Raises
    ------
    InputError
        If the formulas are not well formed; all their faults are reported.

    Examples
    --------
    >>> parsed = parse("1 + I(prices ** 2)")
    >>> design = parsed.build({"prices": [1.0, 3.0]})
    >>> [column.name for column in design.columns]
    ['1', 'prices**2']
    >>> design.columns[1].derivative("prices", {"prices": [1.0, 3.0]})
    array([2., 6.])
    """
    faults = Faults("formulas")
    terms: tuple[Term, ...] = ()
    absorbed: tuple[Term, ...] = ()
    try:
        absorbed = _parse_absorbed(absorb) if absorb is not None else ()
    except InputError as error:
        faults.extend(error)
    try:
        terms = parse_terms(formula)
        if absorbed:
            terms = tuple(term for term in terms if term != INTERCEPT)
        _check_constants(terms, formula)
    except InputError as error:
        faults.extend(error)
    faults.check()
    return ParsedFormula(terms=terms, absorbed=absorbed)


def _parse_absorbed(absorb: str) -> tuple[Term, ...]:
    """Read the effects to absorb: variables, marked by C or not, and interactions."""
    terms = tuple(term for term in parse_terms(absorb) if term != INTERCEPT)
    faults = Faults("absorb")
    for factor in {f.label: f for term in terms for f in term.factors}.values():
        if not isinstance(factor.expression, Variable):
            faults.add(
                f"'{factor.label}' among the effects to absorb",
                "categorical variables",
                "absorb variables, as in C(product_ids) + C(city):C(quarter)",
            )
    faults.check()
    return terms


def _check_constants(terms: tuple[Term, ...], formula: str) -> None:
    """Refuse formulas of no term and of several constant ones."""
    faults = Faults("formula")
    constants = [term.label for term in terms if not _names((term,))]
    if not terms:
        faults.add(
            f"no term in '{formula}'",
            "at least one term (absorbing fixed effects removes the intercept)",
            "add a variable",
        )
    if len(constants) > 1:
        faults.add(
            f"several constant terms: {', '.join(constants)}",
            "at most one",
            "remove all but one; 0 + ... removes the intercept",
        )
    faults.check()


def _factor_names(factor: Factor) -> tuple[str, ...]:
    """List the variables of a factor, each once."""
    return tuple(dict.fromkeys(leaf.name for leaf in leaves(factor.expression)))


def _names(terms: tuple[Term, ...]) -> list[str]:
    """List the variables of terms in the order they appear."""
    return [name for t in terms for f in t.factors for name in _factor_names(f)]


def _evaluate_factors(
    terms: tuple[Term, ...], variables: dict[str, Values], n_rows: int
) -> dict[str, _Factor]:
    """Evaluate every factor once, categorical ones to levels and codes."""
    faults = Faults("formula and data")
    found: dict[str, _Factor] = {}
    for factor in {f.label: f for term in terms for f in term.factors}.values():
        names = _factor_names(factor)
        words = [name for name in names if not is_numeric(variables[name])]
        if isinstance(factor.expression, Variable) and (factor.marked or words):
            levels, codes = factorize(variables[names[0]])
            found[factor.label] = _Factor(codes, levels)
            _warn_of_numbers(factor, levels)
            if missing := int(np.count_nonzero(codes < 0)):
                faults.add(
                    f"{missing} missing values in '{names[0]}'",
                    "a level in every row",
                    "fill them in or drop the rows",
                )
        elif words:
            faults.add(
                f"arithmetic on {', '.join(words)}, not numeric, in '{factor.label}'",
                "numbers",
                "convert the column to floats, or use it as a factor of its own",
            )
        else:
            values = evaluate_expression(factor.expression, variables, None, n_rows)
            found[factor.label] = _Factor(values, None)
    faults.check()
    return found


def _warn_of_numbers(factor: Factor, levels: tuple[object, ...]) -> None:
    """Warn where numbers kept as objects are about to become dummies."""
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in levels]
    if not factor.marked and all(numbers):
        warnings.warn(
            f"'{factor.label}' holds numbers but its dtype is object, so it is coded "
            f"as {len(levels)} categories; convert it to floats, or write "
            f"C({factor.label}) to say that categories are meant",
            DataWarning,
            stacklevel=4,
        )


def _combinations(
    term: Term, coding: Coding, factors: dict[str, _Factor]
) -> Iterator[tuple[_Part, ...]]:
    """Visit the columns of one part of a term, the levels on the left fastest."""
    choices: list[list[_Part]] = []
    for factor in term.factors:
        levels = factors[factor.label].levels
        if levels is None:
            choices.append([(factor, None)])
        elif factor.label in coding:
            first = 0 if coding[factor.label] else 1
            choices.append([(factor, place) for place in range(first, len(levels))])
    for combination in every_combination(*reversed(choices)):
        yield tuple(reversed(combination))


def _column(parts: tuple[_Part, ...], factors: dict[str, _Factor]) -> Column:
    """Describe the column that is the product of parts."""
    expressions: list[Expression] = []
    labels: list[str] = []
    names: list[str] = []
    for factor, place in parts:
        expression, label = factor.expression, factor.label
        levels = factors[label].levels
        if levels is not None and place is not None:
            assert isinstance(expression, Variable)
            level = levels[place]
            expression, label = Indicator(expression.name, level), f"{label}[{level!r}]"
        expressions.append(expression)
        labels.append(label)
        names.extend(_factor_names(factor))
    return Column(
        name=print_product(tuple(expressions)),
        label=":".join(labels) or "1",
        names=frozenset(names),
        expression=product(tuple(expressions)),
    )


def _multiply(
    parts: tuple[_Part, ...], factors: dict[str, _Factor], n_rows: int
) -> Floats:
    """Multiply the factors of a column, ``(N,)``."""
    values = np.ones(n_rows)
    for factor, place in parts:
        found = factors[factor.label].values
        values *= found if place is None else found == place
    return values


def _check_finite(matrix: Floats, columns: list[Column]) -> None:
    """Refuse columns with values that are not finite."""
    faults = Faults("design matrix")
    for column, flags in zip(columns, ~np.isfinite(matrix).T, strict=True):
        add_not_finite(faults, column.label, flags)
    faults.check()
