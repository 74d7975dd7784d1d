"""The driver of an estimation on a store does not hold what is as long as the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.cases.choices_out_of_core import PANEL
from tests.benchmarks.choices import build_panel
from tests.benchmarks.measure import run_child


@pytest.mark.slow
def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    peaks = {}
    for n_people in (500, 15_000):
        store = tmp_path / f"{n_people}"
        size = build_panel(store, n_people)
        request = PANEL | {"store": str(store), "R": 16}
        found = run_child("stored-choices", request)[1]
        assert found["converged"]
        assert found["sizes"]["N"] == 50 * n_people
        peaks[n_people] = found["driver"]
    # X, draws and scores of people alone are 47 MB of the larger one.
    assert size > 45e6
    assert peaks[15_000] - peaks[500] < 8e6
