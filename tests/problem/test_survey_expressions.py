"""Formulas of surveys beside the arithmetic that they stand for."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from blpdask.errors import Faults, InputError
from blpdask.problem.survey_expressions import ChoiceExpression, check_names
from blpdask.problem.survey_market import SurveyedMarket

PRICES = np.array([1.0, 2.0, 4.0])
INCOME, AGE = np.array([10.0, 20.0]), np.array([30.0, 0.0])
NODES = np.array([[0.1, 0.2], [0.3, 0.4]])


def market(demographics: object = None) -> SurveyedMarket:
    products = np.recarray(
        3,
        dtype=[
            ("prices", float, (1,)),
            ("X2", float, (2,)),
            ("firm_ids", object, (1,)),
        ],
    )
    products.prices[:, 0] = PRICES
    values = np.column_stack([INCOME, AGE]) if demographics is None else demographics
    values = np.asarray(values)
    agents = np.recarray(
        2, dtype=[("demographics", float, values.shape[1:]), ("nodes", float, (2,))]
    )
    agents.demographics, agents.nodes = values, NODES
    return SurveyedMarket("t", products, agents, ("income", "age"))


WHOLE = np.array([0.0, 1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", np.ones((2, 4))),
        ("inside", np.tile([0.0, 1, 1, 1], (2, 1))),
        ("1 - inside", np.tile([1.0, 0, 0, 0], (2, 1))),
        ("prices", np.tile(WHOLE, (2, 1))),
        ("income", np.outer(INCOME, np.ones(4))),
        ("income * prices", np.outer(INCOME, WHOLE)),
        ("I(income * age) + nodes1", np.outer(INCOME * AGE + NODES[:, 1], np.ones(4))),
        ("exp(-prices) / income", np.exp(-WHOLE)[None] / INCOME[:, None]),
        ("prices ** 2 - log(income)", WHOLE[None] ** 2 - np.log(INCOME)[:, None]),
    ],
)
def test_formulas_are_arithmetic(text: str, expected: np.ndarray) -> None:
    values, given = ChoiceExpression((text,)).evaluate(market())
    assert given is None
    np.testing.assert_allclose(values, expected, rtol=1e-15)


def test_factors_are_multiplied_and_conditions_kept_apart() -> None:
    values, given = ChoiceExpression(("income", "prices"), "inside").evaluate(market())
    np.testing.assert_array_equal(values, np.outer(INCOME, WHOLE))
    np.testing.assert_array_equal(given, np.tile([0.0, 1, 1, 1], (2, 1)))


def test_demographics_that_differ_over_products() -> None:
    by_product = np.arange(12.0).reshape(2, 2, 3)
    values, _ = ChoiceExpression(("age",)).evaluate(market(by_product))
    np.testing.assert_array_equal(values, [[0, 3, 4, 5], [0, 9, 10, 11]])


@pytest.mark.parametrize(
    ("factors", "given", "text"),
    [
        (("income",), None, "income"),
        (("income - 1",), None, "income - 1"),
        (("income - 1",), "inside", "(income - 1) * inside"),
        (("log(income)", "prices ** 2"), None, "log(income) * prices ** 2"),
        (("income / age", "prices"), None, "(income / age) * prices"),
    ],
)
def test_products_are_written_as_they_are_meant(
    factors: tuple[str, ...], given: str | None, text: str
) -> None:
    expression = ChoiceExpression(factors, given)
    assert str(expression) == text
    product, condition = expression.evaluate(market())
    again, _ = ChoiceExpression((text,)).evaluate(market())
    with np.errstate(all="ignore"):
        whole = product if condition is None else product * condition
    np.testing.assert_allclose(again, whole, rtol=1e-15)


def test_expressions_travel() -> None:
    expression = ChoiceExpression(("income", "prices"), "inside")
    copy = pickle.loads(pickle.dumps(expression))
    assert copy == expression and hash(copy) == hash(expression)
    assert copy.names == ("income", "prices", "inside")


@pytest.mark.parametrize(
    "text",
    ["income +", "__import__('os')", "C(firm_ids)", "", "income[0]", "np.log(x)"],
)
def test_what_is_no_formula(text: str) -> None:
    with pytest.raises(InputError):
        ChoiceExpression((text,))


def test_all_formulas_are_at_fault_together() -> None:
    with pytest.raises(InputError) as caught:
        ChoiceExpression(("income +",), "max(1)")
    assert len(caught.value.faults) == 2


def test_names_are_looked_up() -> None:
    assert market().names() == ("inside", "income", "age", "nodes0", "nodes1", "prices")
    faults = Faults("x")
    expression = ChoiceExpression(("incme", "prices"), "age")
    check_names(expression, (*market().names(), "age"), "the part 'p'", faults)
    with pytest.raises(InputError) as caught:
        faults.check()
    assert "no column 'incme' for the part 'p'" in str(caught.value)
    assert "a column 'age' of products and one of agents" in str(caught.value)
