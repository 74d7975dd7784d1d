"""Problems drawn at random give the numbers that PyBLP 1.3.0 gave, kept in a file.

These need no PyBLP: neither its code nor its data.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.references.drawn import draw
from tests.references.specifications import build_here, distance, solve_here
from tests.references.store_drawn import NUMBERS, SEEDS, arguments_of, summarise

TOLERANCE = 1e-8


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_those_kept(seed: int) -> None:
    kept = json.loads(NUMBERS.read_text())
    assert kept["source"] == "PyBLP 1.3.0"
    problem = build_here(draw(seed).specification)
    found = summarise(solve_here(problem, **arguments_of(seed, problem.MD)))
    for name, values in kept["problems"][str(seed)].items():
        expected, here = (
            np.array([np.nan if v is None else v for v in vector], dtype=float)
            for vector in (values, found[name])
        )
        assert (np.isnan(expected) == np.isnan(here)).all(), name
        gap = distance(np.nan_to_num(here), np.nan_to_num(expected))
        assert gap <= TOLERANCE, (name, gap)
