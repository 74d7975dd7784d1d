"""Probabilities over time where habits are stocks, beside sums over all paths.

What must hold:

1. They are, but for noise of known size, sums over all sequences of choices of products
   of logits at the stocks that a sequence makes, with gaps, groups and first stocks.
2. A stock that fades at once is a lag, whose probabilities are exact.
3. The same numbers serve two answers; another seed gives others; orders of rows,
   engines and who else is asked about give the same bits.
4. Stocks that do not enter linearly are refused.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import InputError
from tests.api.test_choice_paths import panel, results_at

FORMULA = "0 + prices + first_brand + lag"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def with_stock(table: pd.DataFrame, **options: Any) -> pd.DataFrame:
    lags = blpdask.build_lagged_choices(table, burn_in=1, **options)
    return table.assign(lag=lags.values)[lags.kept].reset_index(drop=True)


def sum_over_paths(
    person: pd.DataFrame,
    theta: Any,
    *,
    same: str,
    kind: str,
    decay: float,
    gap: float,
    outside: tuple[str, ...],
) -> dict[int, float]:
    """Sum products of logits over every sequence of a person's choices."""
    situations = [rows for _, rows in person.groupby("period_ids")]
    periods = sorted(person["period_ids"].unique())
    gain = 1 - decay if kind == "loyalty" else 1.0
    found = dict.fromkeys(person.index, 0.0)
    for path in itertools.product(*[rows.index for rows in situations]):
        stocks, chance = dict(zip(person[same], [0.0] * len(person), strict=True)), 1.0
        stocks |= dict(zip(situations[0][same], situations[0]["lag"], strict=True))
        for t, rows in enumerate(situations):
            if t:
                elapsed, before = periods[t] - periods[t - 1], path[t - 1]
                known = elapsed <= gap
                stocks = {g: known * decay**elapsed * a for g, a in stocks.items()}
                g = person.loc[before, same]
                if known and g not in outside:
                    stocks[g] += gain * decay ** (elapsed - 1)
            X = rows[["prices", "first_brand"]].to_numpy(float)
            odds = np.exp(X @ theta[:2] + theta[2] * rows[same].map(stocks).to_numpy())
            chance *= odds[list(rows.index).index(path[t])] / odds.sum()
        for j in path:
            found[j] += chance
    return found


@pytest.mark.parametrize(
    ("kind", "same", "decay", "gap", "outside"),
    [
        ("stock", "alternative_ids", 0.7, 1, ("none",)),
        ("stock", "group", 0.5, 2, ()),
        ("loyalty", "alternative_ids", 0.8, 2, ("none",)),
    ],
)
def test_they_are_sums_over_all_paths(
    kind: str, same: str, decay: float, gap: float, outside: tuple[str, ...]
) -> None:
    chosen: dict[str, Any] = {
        **{"same": same, "gap": gap, "outside": outside},
        **{"kind": kind, "decay": decay},
    }
    table = with_stock(panel(5, 5, seed=2), **chosen)
    theta = np.array([-1.0, 0.5, 1.5 if kind == "stock" else 4.0])
    results = results_at(table, theta, FORMULA)
    size = 20_000
    found = results.compute_path_probabilities(table, size=size, **chosen)
    worst = 0.0
    for _, person in table.groupby("person_ids"):
        exact = sum_over_paths(person, theta, **chosen)
        expected = np.array([exact[n] for n in person.index])
        # A probability's average over paths is off by no more than a share's would be.
        sd = np.sqrt(expected * (1 - expected) / size)
        worst = max(worst, float((np.abs(found[person.index] - expected) / sd).max()))
        first = person["period_ids"] == person["period_ids"].min()
        np.testing.assert_allclose(
            found[person.index[first]], expected[first], rtol=1e-12
        )
    assert worst < 4.0
    observed = results.compute_probabilities(engine="serial")
    assert np.abs(observed - found).max() > 0.1


def test_a_stock_that_fades_at_once_is_a_lag() -> None:
    table = with_stock(panel(30))
    results = results_at(
        table,
        np.array([-1.0, 0.5, 1.5, 0.7]),
        FORMULA,
        random={"prices": "normal"},
    )
    exact = results.compute_path_probabilities(table, outside=["none"])
    near = results.compute_path_probabilities(
        table, outside=["none"], kind="stock", decay=0.0, size=6_000
    )
    off = near - exact
    assert np.abs(off).max() < 4 * 0.5 / 6_000**0.5 and np.abs(off).max() > 0
    assert np.sqrt((off**2).mean()) < 0.5 / 6_000**0.5


def test_numbers_are_kept() -> None:
    chosen: dict[str, Any] = {"kind": "stock", "decay": 0.6, "size": 64}
    table = with_stock(panel(30), kind="stock", decay=0.6)
    results = results_at(
        table, np.array([-1.0, 0.5, 0.8, 0.7]), FORMULA, random={"lag": "normal"}
    )

    def ask(data: Any, **options: Any) -> Any:
        return results.compute_path_probabilities(data, **chosen | options)

    found = ask(table, engine="serial")
    shuffled = table.sample(frac=1.0, random_state=1)
    again = pd.Series(ask(shuffled, engine="threads"), shuffled.index)
    np.testing.assert_array_equal(again.loc[table.index], found)
    some = (table["person_ids"] % 3 == 1).to_numpy()
    np.testing.assert_allclose(ask(table[some]), found[some], rtol=1e-12)
    other = ask(table, seed=1)
    noise = np.abs(other - found).max()
    assert noise > 0.01
    dearer = ask(table.assign(prices=table["prices"] + 1e-9))
    assert np.abs(dearer - found).max() < 1e-6 < noise


def test_faults_are_told() -> None:
    table = with_stock(panel(30), kind="stock", decay=0.6)
    results = results_at(table, np.array([-1.0, 0.5, 0.8]), FORMULA)
    with pytest.raises(InputError) as caught:
        results.compute_path_probabilities(table, kind="stock", size=0, seed=-1)
    assert len(caught.value.faults) == 3
    with pytest.raises(InputError, match=r"kind='lag' with decay=0\.5"):
        results.compute_path_probabilities(table, decay=0.5)
    curved = results_at(
        table, np.array([-1.0, 0.5, 0.8]), "0 + prices + first_brand + I(lag ** 2)"
    )
    with pytest.raises(InputError, match="not linear in 'lag'"):
        curved.compute_path_probabilities(table, kind="stock", decay=0.6)
    with pytest.raises(InputError, match="several values of 'lag' for one group"):
        results.compute_path_probabilities(
            table.assign(lag=np.arange(len(table))),
            same="first_brand",
            kind="stock",
            decay=0.5,
        )
