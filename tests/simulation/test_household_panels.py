"""Simulated panels are their model's, from a seed alone.

What must hold:

1. Shares of choices are the model's probabilities at households' own coefficients; the
   lag is what was chosen before; prices and advertising are those of markets.
2. The same seed gives the same bits in another process with another hash seed, and for
   the first of more households and weeks.
3. Formula, kinds and truth fit together in a ChoiceProblem.
4. Faults are told, all at once.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.errors import InputError

BRANDS = blpdask.PanelDesign(
    goods=("camel", "marlboro", "blu"),
    groups=("cigarettes", "cigarettes", "ecigarettes"),
    advertised=("blu",),
    base_prices=(2.0, 2.2, 1.5),
    means=(0.3, 0.5, -0.5),
    deviations=(1.0, 0.0, 0.8),
    habit_deviation=0.4,
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def test_choices_are_those_of_the_model() -> None:
    panel = blpdask.simulate_panel(400, 30, seed=1, before=5, design=BRANDS)
    table = panel.to_frame()
    names = [name.strip() for name in panel.formula.split("+")[1:]]
    assert names == [
        *("camel", "marlboro", "blu", "prices", "advertising"),
        *("rival_advertising", "lag"),
    ]
    X = table[names].to_numpy().reshape(400, 30, 4, 7)
    V = np.einsum("itjk,ik->itj", X, panel.coefficients)
    P = np.exp(V) / np.exp(V).sum(axis=2, keepdims=True)
    chosen = table["chosen"].to_numpy().reshape(400, 30, 4)
    np.testing.assert_array_equal(chosen.sum(axis=2), 1)
    # Errors y - P are uncorrelated with all characteristics: 28 sums over choices.
    error = (chosen - P)[..., None] * np.concatenate([X[..., 3:], X[..., :3]], axis=3)
    sums = error.sum(axis=(0, 1))
    deviations = np.sqrt((error**2).sum(axis=(0, 1)))
    scores = sums[deviations > 0] / deviations[deviations > 0]
    assert scores.size > 10 and np.abs(scores).max() < 3.5
    tastes = panel.coefficients - panel.theta[:7]
    np.testing.assert_allclose(tastes.std(axis=0), [1, 0, 0.8, 0, 0, 0, 0.4], atol=0.1)
    assert panel.labels[7:] == ("sd.camel", "sd.blu", "sd.lag")
    np.testing.assert_array_equal(panel.theta[7:], [1.0, 0.8, 0.4])


def test_lags_prices_and_advertising() -> None:
    panel = blpdask.simulate_panel(30, 12, seed=2, n_markets=4, design=BRANDS)
    table = panel.to_frame()
    for same, design in (("group_ids", BRANDS), ("alternative_ids", None)):
        table = blpdask.simulate_panel(30, 12, seed=2, design=design).to_frame()
        lags = blpdask.build_lagged_choices(table, same=same, outside=["none"])
        np.testing.assert_array_equal(lags.values[lags.known], table["lag"][lags.known])
        first = table[~lags.known].groupby("person_ids")["lag"].max()
        assert 0.2 < first.mean() < 0.9
    table = panel.to_frame()
    of_market = table.groupby(["market_ids", "period_ids", "alternative_ids"])
    for name in ("prices", "advertising", "rival_advertising"):
        assert (of_market[name].nunique() == 1).all()
    goods = table[table["alternative_ids"] != "none"]
    assert (goods["prices"] > 0).all()
    own = goods.pivot_table("advertising", "situation_ids", "alternative_ids")
    rival = goods.pivot_table("rival_advertising", "situation_ids", "alternative_ids")
    assert (own[["camel", "marlboro"]] == 0).all(axis=None)
    np.testing.assert_allclose(rival["camel"], own["blu"], rtol=1e-12)
    assert (rival["blu"] == 0).all() and own["blu"].max() > 0
    nothing = table[table["alternative_ids"] == "none"]
    assert (nothing[["prices", "advertising", "lag"]] == 0).all(axis=None)


def digest(panel: Any) -> str:
    found = hashlib.sha256()
    for name in sorted(panel.data):
        found.update(np.asarray(panel.data[name]).tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("hash_seed", ["1", "99"])
def test_a_seed_is_all_there_is(hash_seed: str) -> None:
    script = (
        "import blpdask, hashlib, numpy as np\n"
        "panel = blpdask.simulate_panel(7, 9, seed=5)\n"
        "found = hashlib.sha256()\n"
        "for name in sorted(panel.data):\n"
        "    found.update(np.asarray(panel.data[name]).tobytes())\n"
        "print(found.hexdigest())\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == digest(blpdask.simulate_panel(7, 9, seed=5))


def test_more_households_and_weeks_leave_the_others_as_they_are() -> None:
    few = blpdask.simulate_panel(7, 9, seed=5).to_frame()
    more = blpdask.simulate_panel(11, 15, seed=5).to_frame()
    inside = (more["person_ids"] < 7) & (more["period_ids"] < 9)
    assert few.equals(more[inside].reset_index(drop=True))
    assert not few.equals(blpdask.simulate_panel(7, 9, seed=6).to_frame())


@pytest.mark.parametrize("design", [None, BRANDS])
def test_truth_is_in_the_order_of_the_problem(design: Any) -> None:
    panel = blpdask.simulate_panel(20, 8, design=design)
    problem = blpdask.ChoiceProblem(
        blpdask.Formulation(panel.formula), panel.data, panel.random
    )
    assert problem.coefficients.parameter_labels == panel.labels
    assert panel.theta.shape == (problem.coefficients.size,)


def test_without_advertising_there_are_no_such_columns() -> None:
    alone = blpdask.PanelDesign(("beer",), ("beer",), (), (1.0,), (0.0,), (0.5,))
    assert blpdask.simulate_panel(3, 4, design=alone).formula == (
        "0 + beer + prices + lag"
    )
    seen = blpdask.PanelDesign(("beer",), ("beer",), ("beer",), (1.0,), (0.0,), (0.5,))
    assert seen.labels == ("beer", "prices", "advertising", "lag")


def test_faults_come_together() -> None:
    with pytest.raises(InputError) as caught:
        blpdask.simulate_panel(
            0,
            1.5,  # type: ignore[arg-type]
            seed=-1,
            n_markets=0,
            before=-2,
            design=blpdask.PanelDesign(
                goods=("lag", "lag"),
                groups=("a",),
                advertised=("tea",),
                deviations=(1.0, -1.0),
            ),
        )
    assert len(caught.value.faults) == 9
    with pytest.raises(InputError, match="design of type dict"):
        blpdask.simulate_panel(design={})  # type: ignore[arg-type]
