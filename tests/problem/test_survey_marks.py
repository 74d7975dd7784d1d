"""Columns of second choices in formulas: what is renamed, evaluated and refused."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.errors import InputError
from blpdask.problem.survey_expressions import ChoiceExpression
from tests.problem.test_survey_expressions import INCOME, WHOLE, market

INSIDE = np.array([0.0, 1, 1, 1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("second(prices)", WHOLE[None, None, :]),
        ("prices - second(prices)", WHOLE[:, None] - WHOLE),
        ("inside * second(inside)", np.outer(INSIDE, INSIDE)),
        ("second(1)", np.ones((4, 4))),
        ("inside * second(2)", 2 * INSIDE[:, None]),
        ("second(prices ** 2 - 1) / income", (WHOLE**2 - 1) / INCOME[:, None, None]),
        ("exp(-second(I(prices * income)))", np.exp(-WHOLE * INCOME[:, None, None])),
        ("second(-log(income) + 0 * prices)", -np.log(INCOME)[:, None, None]),
    ],
)
def test_formulas_are_arithmetic_of_both_choices(
    text: str, expected: np.ndarray
) -> None:
    expression = ChoiceExpression((text,))
    assert expression.of_second
    assert set(expression.names) <= {"prices", "inside", "income"}
    values, _ = expression.evaluate(market(), second=True)
    np.testing.assert_allclose(values, np.broadcast_to(expected, (2, 4, 4)), rtol=1e-15)


def test_demographics_that_differ_over_products() -> None:
    own = market(np.arange(12.0).reshape(2, 2, 3))
    first, _ = ChoiceExpression(("age",)).evaluate(own)
    both, _ = ChoiceExpression(("age * second(age)",)).evaluate(own, second=True)
    np.testing.assert_array_equal(both, first[:, :, None] * first[:, None, :])


def test_first_choices_fill_the_other_axis() -> None:
    expression = ChoiceExpression(("prices",), "second(inside)")
    assert expression.of_second and not ChoiceExpression(("prices",)).of_second
    product, given = expression.evaluate(market(), second=True)
    np.testing.assert_array_equal(product[1], np.tile(WHOLE[:, None], 4))
    np.testing.assert_array_equal(given[1], np.tile(INSIDE, (4, 1)))  # type: ignore[index]


def test_texts_stay_as_they_were() -> None:
    expression = ChoiceExpression(("prices", "second(prices) - 1"), "second(inside)")
    assert str(expression) == "prices * (second(prices) - 1) * second(inside)"


@pytest.mark.parametrize(
    "text",
    [
        "second()",
        "second(prices, income)",
        "second(x=prices)",
        "second(second(prices))",
        "second(max(prices))",
        "second",
        "prices + second('a')",
        "+".join(["prices"] * 300),
    ],
)
def test_what_is_no_formula(text: str) -> None:
    if text == "second":  # the name of a column, like any other
        assert ChoiceExpression((text,)).names == ("second",)
        return
    with pytest.raises(InputError):
        ChoiceExpression((text,))
