"""Probabilities over time beside sums over all paths, simulated people, known limits.

What must hold:

1. They are sums over all sequences of choices, at each draw, of products of logits at
   the lags that a sequence says; with gaps, groups, availability, interactions of the
   lag and random coefficients of it.
2. Where habit does not matter they are probabilities at observed lags; where it does
   they are not.
3. Who is simulated from the same states chooses as they say, before and after prices
   change for good.
4. Order of rows changes nothing; engines not a bit.
"""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import BlpdaskError, InputError

ALTERNATIVES = ("none", "a", "b", "c")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def panel(n_people: int = 9, n_periods: int = 5, seed: int = 0) -> pd.DataFrame:
    """Draw people with gaps and sets of alternatives that differ, choosing at will."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n_people):
        periods = np.cumsum(rng.choice([1, 1, 1, 2], rng.integers(2, n_periods + 1)))
        for t in periods:
            there = [*rng.choice(["a", "b", "c"], 2, replace=False), "none"]
            choice = rng.choice(there)
            for j in there:
                price = 0.0 if j == "none" else rng.uniform(0.5, 2.0)
                rows.append((i, t, j, j == choice, price, j == "a"))
    names = (
        *("person_ids", "period_ids", "alternative_ids", "chosen"),
        *("prices", "first_brand"),
    )
    table = pd.DataFrame(rows, columns=list(names))
    table["situation_ids"] = table["period_ids"]
    table["first_brand"] = table["first_brand"].astype(float)
    table["group"] = table["alternative_ids"].map(
        {"none": "none", "a": "x", "b": "x", "c": "y"}
    )
    return table


def results_at(table: pd.DataFrame, theta: Any, formula: str, **options: Any) -> Any:
    problem = blpdask.ChoiceProblem(
        blpdask.Formulation(formula),
        table,
        integration=blpdask.Integration("mlhs", 6, {"seed": 0})
        if options.get("random")
        else None,
        **options,
    )
    return problem.solve(
        theta,
        optimization=blpdask.Optimization("return"),
        engine="serial",
        backend="numpy",
    )


def with_lag(table: pd.DataFrame, **options: Any) -> pd.DataFrame:
    lags = blpdask.build_lagged_choices(table, burn_in=1, **options)
    return table.assign(lag=lags.values)[lags.kept].reset_index(drop=True)


def sum_over_paths(
    person: pd.DataFrame,
    utility: Any,
    betas: Any,
    *,
    same: str,
    gap: float,
    outside: tuple[str, ...],
) -> dict[int, float]:
    """Sum products of logits over every sequence of a person's choices."""
    situations = [rows for _, rows in person.groupby("period_ids")]
    periods = sorted(person["period_ids"].unique())
    held = situations[0].loc[situations[0]["lag"] == 1, same]
    first = held.iloc[0] if len(held) else None
    found = dict.fromkeys(person.index, 0.0)
    for beta in betas:
        for path in itertools.product(*[rows.index for rows in situations]):
            before, chance = first, 1.0
            for t, rows in enumerate(situations):
                if t and periods[t] - periods[t - 1] > gap:
                    before = None
                known = before is not None and before not in outside
                lags = (rows[same] == before) & known
                V = np.exp([utility(rows.loc[j], lags[j], beta) for j in rows.index])
                chance *= V[list(rows.index).index(path[t])] / V.sum()
                before = rows.loc[path[t], same]
            for j in path:
                found[j] += chance / len(betas)
    return found


@pytest.mark.parametrize(
    ("same", "gap", "outside"),
    [
        ("alternative_ids", 1, ("none",)),
        ("alternative_ids", 2, ()),
        ("group", 1, ("none",)),
    ],
)
def test_they_are_sums_over_all_paths(
    same: str, gap: float, outside: tuple[str, ...]
) -> None:
    chosen = {"same": same, "gap": gap, "outside": outside}
    table = with_lag(panel(), **chosen)
    theta = np.array([-1.0, 0.5, 1.2, 0.4, 0.8, 0.9])
    results = results_at(
        table,
        theta,
        "0 + prices + first_brand + lag + lag:prices",
        random={"prices": "normal", "lag": "normal"},
    )
    found = results.compute_path_probabilities(table, engine="serial", **chosen)

    def utility(row: Any, lag: bool, beta: Any) -> float:
        own = beta[2] + beta[3] * row["prices"]
        return beta[0] * row["prices"] + beta[1] * row["first_brand"] + own * lag

    draws = results.problem.source.load(0).draws
    for i, (_, person) in enumerate(table.groupby("person_ids")):
        betas = np.tile(theta[:4], (6, 1))
        betas[:, 0] += theta[4] * draws[i, :, 0]
        betas[:, 2] += theta[5] * draws[i, :, 1]
        expected = sum_over_paths(person, utility, betas, **chosen)
        np.testing.assert_allclose(
            found[person.index], [expected[n] for n in person.index], rtol=1e-12
        )
    by_situation = table.groupby(["person_ids", "period_ids"]).ngroup()
    np.testing.assert_allclose(np.bincount(by_situation, found), 1.0, rtol=1e-12)
    observed = results.compute_probabilities(engine="serial")
    assert np.abs(observed - found).max() > 0.1


def test_without_habit_they_are_probabilities_at_observed_lags() -> None:
    table = with_lag(panel(30))
    results = results_at(
        table,
        np.array([-1.0, 0.5, 0.0, 0.8]),
        "0 + prices + first_brand + lag",
        random={"prices": "normal"},
    )
    found = results.compute_path_probabilities(table, engine="serial")
    observed = results.compute_probabilities(engine="serial")
    np.testing.assert_allclose(found, observed, rtol=1e-12)


def test_first_situations_and_single_alternatives() -> None:
    """The first situation is as observed; who can do nothing else does that."""
    table = with_lag(panel(20, seed=4))
    results = results_at(
        table, np.array([-1.0, 0.5, 1.5]), "0 + prices + first_brand + lag"
    )
    found = results.compute_path_probabilities(table, engine="serial")
    first = table.groupby("person_ids")["period_ids"].transform("min")
    first = (table["period_ids"] == first).to_numpy()
    observed = results.compute_probabilities(engine="serial")
    np.testing.assert_allclose(found[first], observed[first], rtol=1e-12)
    alone = table.assign(
        availability=(table["alternative_ids"] == "none") | ~first,
    )
    forced = results.compute_path_probabilities(alone, engine="serial")
    none = (table["alternative_ids"] == "none").to_numpy()
    np.testing.assert_array_equal(forced[first], none[first])
    assert np.abs(forced - found)[~first].max() > 0.05


def test_order_of_rows_engines_and_some_people() -> None:
    table = with_lag(panel(30))
    results = results_at(
        table,
        np.array([-1.0, 0.5, 1.5, 0.7]),
        "0 + prices + first_brand + lag",
        random={"lag": "normal"},
    )
    found = results.compute_path_probabilities(table, engine="serial")
    shuffled = table.sample(frac=1.0, random_state=1)
    again = results.compute_path_probabilities(shuffled, engine="threads")
    np.testing.assert_array_equal(
        pd.Series(again, shuffled.index).loc[table.index], found
    )
    some = (table["person_ids"] % 3 == 1).to_numpy()
    fewer = results.compute_path_probabilities(table[some], engine="serial")
    np.testing.assert_allclose(fewer, found[some], rtol=1e-12)


def test_lasting_prices_change_habits_too() -> None:
    """Who is simulated forward chooses as told, also where prices stay higher."""
    n_people, n_periods = 4, 12
    i, t, j = np.indices((n_people, n_periods, 3)).reshape(3, -1)
    names = np.array(["none", "a", "b"])
    table = pd.DataFrame(
        {
            "person_ids": i,
            "situation_ids": t,
            "period_ids": t,
            "alternative_ids": names[j],
            "chosen": j == (i + t) % 3,
            "prices": np.where(j > 0, 1.0 + 0.1 * (t % 3) * j, 0.0),
            "brand_a": (j == 1).astype(float),
            "lag": ((t == 0) & (j == 1)).astype(float),
        }
    )
    theta = np.array([1.0, -1.0, 2.0])
    results = results_at(table, theta, "0 + brand_a + prices + lag")
    dearer = table.assign(prices=table["prices"] + 0.5 * (j == 1))
    rng = np.random.default_rng(0)
    told = []
    for changed in (table, dearer):
        found = results.compute_path_probabilities(changed, outside=["none"])
        X = changed[["brand_a", "prices"]].to_numpy()[i == 0].reshape(n_periods, 3, 2)
        state, counts = np.full(200_000, 1), np.zeros((n_periods, 3))
        for at in range(n_periods):
            lag = (state[:, None] == np.arange(3)) & (np.arange(3) > 0)
            V = X[at] @ theta[:2] + theta[2] * lag + rng.gumbel(size=lag.shape)
            state = V.argmax(axis=1)
            counts[at] = np.bincount(state, minlength=3) / state.size
        np.testing.assert_allclose(found[i == 0], counts.ravel(), atol=0.005)
        told.append(found[i == 0].reshape(n_periods, 3)[:, 1])
    naive = [
        np.exp(changed[["brand_a", "prices", "lag"]].to_numpy() @ theta)
        for changed in (table, dearer)
    ]
    short = [n / np.repeat(n.reshape(-1, 3).sum(axis=1), 3) for n in naive]
    loss = told[0][-1] - told[1][-1]
    last = (i == 0) & (t == n_periods - 1) & (j == 1)
    assert loss > 1.5 * (short[0] - short[1])[last][0] > 0


def test_faults_are_told() -> None:
    table = with_lag(panel(30))
    results = results_at(
        table, np.array([-1.0, 0.5, 1.5]), "0 + prices + first_brand + lag"
    )

    def ask(data: Any, **options: Any) -> Any:
        return results.compute_path_probabilities(data, engine="serial", **options)

    with pytest.raises(InputError, match="no 'first_brand_lag' in the formulation"):
        ask(table.assign(first_brand_lag=0.0), lag="first_brand_lag")
    with pytest.raises(InputError, match="no column 'period_ids'"):
        ask(table.drop(columns="period_ids"))
    with pytest.raises(InputError, match="no variable 'prices'"):
        ask(table.drop(columns="prices"))
    with pytest.raises(InputError, match="neither 0 nor 1"):
        ask(table.assign(lag=0.5))
    with pytest.raises(InputError, match=r"people whom the problem .* \(100, 101"):
        ask(table.assign(person_ids=table["person_ids"] + 100))
    with pytest.raises(InputError, match="engine"):
        results.compute_path_probabilities(table, engine=3)
    lost = pickle.loads(pickle.dumps(results))
    with pytest.raises(BlpdaskError, match="without their problem"):
        lost.compute_path_probabilities(table)
    groups = table.assign(kind=table["group"].astype(object))
    other = results_at(groups, np.zeros(4), "1 + kind + prices + lag")
    with pytest.raises(InputError, match="as estimated"):
        other.compute_path_probabilities(groups[groups["kind"] != "y"], engine="serial")
