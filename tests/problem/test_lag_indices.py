"""What ``lag_indices`` may be, and what is said of each mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blpdask.errors import Faults, InputError
from blpdask.moments.lags import Lags
from blpdask.problem.lag_indices import followers, read_lags


def read(values: Any) -> Lags | None:
    faults = Faults("product_data")
    found = read_lags({"lag_indices": np.asarray(values)}, faults)
    faults.check()
    return found


def test_lags_are_read() -> None:
    found = read([1, 1, 0, 3])
    assert found is not None
    assert found.once.tolist() == [True, False, True, False]
    assert found.twice.tolist() == [False, False, True, False]
    assert followers(found).tolist() == [2, 0, -1, -1]
    assert read_lags({"x": np.ones(2)}, Faults("product_data")) is None


def test_whole_floats_and_objects_are_places() -> None:
    for kind in (float, object):
        found = read(np.array([0, 0, 1]).astype(kind))
        assert found is not None and found.rows.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 3, 1], "1 values that are no rows"),
        ([-1, 0, 1], "1 values that are no rows"),
        ([0, 0.5, 1], "1 values that are no rows"),
        ([0, np.nan, 1], "1 values that are no rows"),
        (["a", "b", "c"], "3 values that are no rows"),
        ([[0, 0], [1, 0]], "of shape"),
        ([1, 0, 1], "no first period"),
        ([0, 0, 0], r"1 rows that several rows follow \(0\)"),
        ([0, 2, 1], r"2 rows that follow each other in a circle \(1, 2\)"),
    ],
)
def test_mistakes(values: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(values)
