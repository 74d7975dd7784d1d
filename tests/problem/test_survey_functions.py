"""Products of factors: what is left out changes nothing."""

from __future__ import annotations

import numpy as np

from blpdask.moments.surveys import SurveyLayout
from blpdask.problem.survey_factors import Split
from blpdask.problem.survey_functions import survey_rows
from blpdask.records import ChoiceFunctions, Floats

LAYOUT = SurveyLayout(np.array([0, 0, 1]), np.array([10, 20]))
INSIDE = np.array([0.0, 1, 1, 1])
PRICES = np.array([0.0, 2, 3, -1])
WITH_OUTSIDE = np.array([1.0, 2, 3, -1])
MINIVAN = np.array([0.0, 0, 1, 0])
CHOICES = np.array([INSIDE, PRICES, WITH_OUTSIDE, MINIVAN])
AGENTS = np.array([[1.0, 0.5], [0.0, 1.0]])
TABLES = np.arange(8.0)[None]


def multiplied(functions: ChoiceFunctions, f: int) -> Floats:
    """Multiply a function out, one market of two agents and three products."""
    values = np.ones((2, 4))
    for row in functions.agent_terms[f]:
        values = values * (functions.agents[row][:, None] if row >= 0 else 1.0)
    shape = functions.shapes[f]
    for row in functions.choice_terms[shape]:
        values = values * (functions.choices[row] if row >= 0 else 1.0)
    for row in functions.table_terms[shape]:
        values = values * (functions.tables[row].reshape(2, 4) if row >= 0 else 1.0)
    return values


def array(split: Split) -> Floats:
    """Multiply one array out."""
    values = np.ones((2, 4))
    if split.agent >= 0:
        values = values * AGENTS[split.agent][:, None]
    if split.choice >= 0:
        values = values * CHOICES[split.choice]
    return values * (TABLES[split.table].reshape(2, 4) if split.table >= 0 else 1.0)


def test_functions_are_in_the_order_of_the_layout() -> None:
    weights = [Split(choice=0), Split()]
    values = [Split(0, 1), Split(1, 3), Split(table=0)]
    rows = survey_rows(LAYOUT, weights, values, (AGENTS, CHOICES, TABLES))
    W, v = [array(w) for w in weights], [array(x) for x in values]
    wanted = [W[0] * v[0], W[0] * v[1], W[1] * v[2], W[0], W[1]]
    assert rows.functions.size == 5
    for f, expected in enumerate(wanted):
        np.testing.assert_array_equal(multiplied(rows.functions, f), expected)
    squares = [W[0] * v[0] * v[0], W[0] * v[0] * v[1], W[0] * v[1] * v[1], v[2] * v[2]]
    assert [tuple(pair) for pair in LAYOUT.pairs] == [(0, 0), (0, 1), (1, 1), (2, 2)]
    for f, expected in enumerate(squares):
        np.testing.assert_array_equal(multiplied(rows.squares, f), expected)


def test_indicators_are_left_out_where_they_say_nothing() -> None:
    weights = [Split(choice=0), Split()]
    values = [Split(choice=1), Split(agent=1, choice=3), Split()]
    rows = survey_rows(LAYOUT, weights, values, (AGENTS, CHOICES, TABLES))
    terms = rows.functions.choice_terms[rows.functions.shapes]
    np.testing.assert_array_equal(terms[0], [1, -1, -1])  # prices, not inside * prices
    np.testing.assert_array_equal(terms[1], [3, -1, -1])  # a subset of inside
    np.testing.assert_array_equal(terms[3], [0, -1, -1])
    squares = rows.squares
    own = squares.choice_terms[squares.shapes]
    np.testing.assert_array_equal(own[0], [1, 1, -1])  # prices²
    np.testing.assert_array_equal(own[2], [3, -1, -1])  # an indicator is its square
    np.testing.assert_array_equal(squares.agent_terms[2], [1, -1, -1])


def test_indicators_stay_where_they_say_something() -> None:
    weights = [Split(choice=0), Split()]
    values = [Split(choice=2), Split(choice=3), Split()]
    rows = survey_rows(LAYOUT, weights, values, (AGENTS, CHOICES, TABLES))
    terms = rows.functions.choice_terms[rows.functions.shapes]
    np.testing.assert_array_equal(terms[0], [0, 2, -1])


def test_equal_shapes_are_kept_once() -> None:
    weights = [Split(agent=1), Split(agent=0)]
    values = [Split(0, 1), Split(1, 1), Split(choice=1)]
    rows = survey_rows(LAYOUT, weights, values, (AGENTS, CHOICES, TABLES))
    assert len(rows.functions.choice_terms) == 2
    np.testing.assert_array_equal(rows.functions.shapes, [0, 0, 0, 1, 1])
