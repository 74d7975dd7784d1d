"""Columns that decide choices are found, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import NumericalError, NumericalWarning
from blpdask.problem.choice_separation import (
    chosen_less_others,
    separating_columns,
    separating_direction,
)
from blpdask.problem.choice_table import read_choices
from blpdask.problem.formulas import parse


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def choices(decide: Any, n: int = 60, J: int = 3, seed: int = 0) -> pd.DataFrame:
    """Draw x, y and dummies; ``decide`` gives utilities of x, y and noise."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n, J))
    noise = rng.gumbel(size=(n, J))
    chosen = decide(x, y, noise).argmax(axis=1)
    s, j = np.indices(x.shape)
    return pd.DataFrame(
        {
            "situation_ids": s.ravel(),
            "chosen": (chosen[:, None] == np.arange(J)).ravel(),
            "x": x.ravel(),
            "y": y.ravel(),
            "last": 1.0 * (j.ravel() == J - 1),
        }
    )


def never_last(x: Any, y: Any, noise: Any) -> Any:
    return x + noise - 1e3 * (np.arange(x.shape[1]) == x.shape[1] - 1)


CASES = {
    "noise": (lambda x, y, e: x + y + e, [], []),
    "one": (lambda x, y, e: x, [0], [0, 1, 2]),
    "against": (lambda x, y, e: -y, [1], [0, 1, 2]),
    "two": (lambda x, y, e: 2 * x - y, [], [0, 1, 2]),
    "a dummy": (never_last, [2], [2]),
}


def table_of(frame: pd.DataFrame) -> Any:
    return read_choices(frame, parse("0 + x + y + last"))


@pytest.mark.parametrize("name", CASES)
def test_columns_that_decide_are_found(name: str) -> None:
    decide, alone, together = CASES[name]
    table = table_of(choices(decide))
    assert separating_columns(table, range(3)) == alone
    found = separating_direction(table, range(3))
    assert set(alone) <= set(found) <= set(together)
    assert bool(found) == bool(together)


def test_only_columns_that_are_asked_for_are_looked_at() -> None:
    table = table_of(choices(CASES["two"][0]))
    assert separating_columns(table, [1, 2]) == []
    assert separating_direction(table, [1, 2]) == []
    assert separating_direction(table, [0, 1]) == [0, 1]


def test_units_do_not_matter() -> None:
    frame = choices(CASES["two"][0])
    frame = frame.assign(x=frame["x"] * 1e9, y=frame["y"] * 1e-7)
    assert set(separating_direction(table_of(frame), range(3))) >= {0, 1}


def test_differences_are_those_of_a_loop() -> None:
    frame = choices(CASES["noise"][0], n=5)
    expected = []
    for _, own in frame.groupby("situation_ids"):
        best = own[own["chosen"]][["x", "y", "last"]].to_numpy()
        expected.extend(best - own[~own["chosen"]][["x", "y", "last"]].to_numpy())
    found = chosen_less_others(table_of(frame))
    order = np.lexsort(found.T), np.lexsort(np.array(expected).T)
    np.testing.assert_array_equal(found[order[0]], np.array(expected)[order[1]])


def problem_of(frame: pd.DataFrame, random: Any = None, **given: Any) -> Any:
    return blpdask.ChoiceProblem(
        blpdask.Formulation("0 + x + y + last"),
        frame,
        random=random,
        integration=blpdask.Integration("mlhs", 8, {"seed": 0}) if random else None,
        **given,
    )


@pytest.mark.parametrize(
    "random", [None, {"x": "normal"}, {"x": "lognormal"}, {"x": "truncated"}]
)
def test_columns_that_decide_alone_are_refused(random: Any) -> None:
    problem = problem_of(choices(CASES["one"][0]), random)
    with pytest.raises(NumericalError, match=r"\[x\], of each of which"):
        problem.solve(engine="serial", backend="numpy")
    start = np.ones(problem.coefficients.size)
    asked = problem.solve(
        start,
        optimization=blpdask.Optimization("return"),
        engine="serial",
        backend="numpy",
    )
    assert np.isfinite(asked.log_likelihood)


def test_alternatives_that_nobody_chooses_are_refused_by_their_dummies() -> None:
    frame = choices(never_last)
    with pytest.raises(NumericalError, match=r"\[last\].*\n.*\n.*leave their rows out"):
        problem_of(frame, {"x": "normal"}).solve(engine="serial", backend="numpy")


@pytest.mark.parametrize("random", [None, {"x": "normal"}])
def test_columns_that_decide_together_are_refused(random: Any) -> None:
    problem = problem_of(choices(CASES["two"][0]), random)
    with (
        pytest.warns(NumericalWarning),
        pytest.raises(NumericalError, match=r"\[x, y.*of a combination of which"),
    ):
        problem.solve(engine="serial", backend="numpy")
