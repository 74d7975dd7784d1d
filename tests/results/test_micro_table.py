"""Micro moments in print, beside PyBLP, and in files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from blpdask.results.micro_table import (
    MicroLine,
    MicroSummary,
    as_plain,
    from_plain,
    micro_table,
)

pyblp = pytest.importorskip("pyblp")

MOMENTS = (
    MicroSummary("one", 0.5, (MicroLine("p", "survey", 100, None),)),
    MicroSummary(
        "ratio",
        -1.25,
        (MicroLine("q", "survey", 100, None), MicroLine("r", "other", 20, 2)),
    ),
)


def theirs() -> Any:
    from pyblp.micro import Moments

    def nothing(*_: Any) -> None:
        """Stand for a function that is not called."""

    survey = pyblp.MicroDataset("survey", 100, nothing)
    other = pyblp.MicroDataset("other", 20, nothing, market_ids=["a", "b"])
    p, q = (pyblp.MicroPart(name, survey, nothing) for name in "pq")
    r = pyblp.MicroPart("r", other, nothing)
    moments = [
        pyblp.MicroMoment("one", 0.5, p),
        pyblp.MicroMoment("ratio", -1.25, [q, r], nothing, nothing),
    ]

    class Economy:
        unique_market_ids = ("a", "b")

    return Moments(moments, Economy())


@pytest.mark.parametrize("values", [None, np.array([[0.25], [3.0]])])
def test_the_table_is_pyblps(values: Any) -> None:
    title = "Micro Moments" if values is None else "Estimated Micro Moments"
    expected = theirs().format(title, values).splitlines()
    found = micro_table(MOMENTS, values).splitlines()
    assert len(found) == len(expected)
    for own, line in zip(found[2:-1], expected[2:-1], strict=True):
        if "---" not in own:
            assert own.split() == line.split()


def test_moments_go_through_json() -> None:
    assert from_plain(json.loads(json.dumps(as_plain(MOMENTS)))) == MOMENTS
