"""Groups of choices that are gone together, and nests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blpdask.problem.survey_market import SurveyedMarket
from blpdask.problem.survey_removals import apart, nest_clashes, removal_codes


def market(ids: list[Any]) -> SurveyedMarket:
    products = np.recarray(len(ids), dtype=[("product_ids", object, (1,))])
    products.product_ids = np.array(ids, dtype=object)[:, None]
    return SurveyedMarket("t", products, products, ())


def test_codes_begin_with_the_outside_option() -> None:
    codes = removal_codes(market(["b", "a", "b", "c"]), 0)
    np.testing.assert_array_equal(codes, [0, 2, 1, 2, 3])
    np.testing.assert_array_equal(removal_codes(market([1, 1]), None), [0, 1, 2])
    kept = apart(codes)
    assert not kept.diagonal().any() and not kept[1, 3] and not kept[3, 1]
    assert kept.sum() == 25 - 5 - 2


def test_identifiers_that_are_missing_are_one_group() -> None:
    codes = removal_codes(market(["a", None, "b", None, 7]), 0)
    assert codes[2] == codes[4]
    assert len(set(codes.tolist())) == 5 and codes.min() == codes[0] == 0


@pytest.mark.parametrize(
    ("groups", "nests", "clashes"),
    [
        ([1, 1, 2, 2], [0, 0, 1, 1], 0),
        ([1, 2, 3, 4], [0, 0, 1, 1], 0),
        ([1, 1, 1, 2], [0, 0, 1, 2], 0),
        ([1, 1, 1, 1], [0, 1, 2, 2], 0),
        ([1, 1, 2, 3], [0, 1, 1, 0], 1),
        ([1, 2, 1, 2], [0, 0, 1, 1], 2),
        ([1, 1, 1, 2], [0, 0, 1, 1], 1),
    ],
)
def test_groups_are_within_nests_or_unions_of_them(
    groups: list[int], nests: list[int], clashes: int
) -> None:
    found = nest_clashes(np.array([0, *groups]), np.array(nests))
    assert len(found) == clashes
