"""Observed values of micro moments from rows: sums by hand, Parquet, and estimation."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import MicroDataset, MicroMoment, MicroPart, observe_micro_moments
from blpdask.errors import InputError
from blpdask.problem import store_tables
from tests.api.test_importance_sampling import solved
from tests.references.specifications import FIXED, quietly, solve_here

N = 5000


def everyone(t: Any, products: Any, agents: Any) -> Any:
    return np.ones((agents.size, 1 + products.size))


def pairs(t: Any, products: Any, agents: Any) -> Any:
    return np.ones((agents.size, products.size, 1 + products.size))


SURVEY = MicroDataset("survey", 7, everyone, market_ids=["m0", "m2", "m3"])
BUYERS = MicroDataset("buyers", 9, pairs)


@cache
def rows(name: str) -> pd.DataFrame:
    """Simulate observations, with incomes of agents and prices of choices."""
    results = solved()
    dataset = {"survey": SURVEY, "buyers": BUYERS}[name]
    sample = results.simulate_micro_data(replace(dataset, observations=N), seed=1)
    frame = pd.DataFrame({n: sample[n][:, 0] for n in sample.dtype.names})
    agents, products = results.problem.agents, results.problem.products
    n = agents.size // results.problem.T
    t = frame.market_ids.str[1:].astype(int).to_numpy()
    place = t * n + frame.agent_indices.to_numpy()
    frame["income"] = agents.demographics[place, 0]
    prices = products.prices[:, 0].reshape(results.problem.T, -1)
    whole = np.hstack([np.zeros((len(prices), 1)), prices])
    first = frame.choice_indices.to_numpy().astype(int) + (name == "buyers")
    frame["price"] = whole[t, first]
    if name == "buyers":
        frame["second_price"] = whole[t, frame.second_choice_indices.to_numpy()]
    return frame.sample(frac=1, random_state=2).reset_index(drop=True)


def moments() -> list[MicroMoment]:
    income = MicroPart(
        "income * price",
        SURVEY,
        lambda t, p, a: np.outer(a.demographics[:, 0], np.r_[0, p.prices[:, 0]]),
    )
    difference = MicroPart(
        "difference",
        BUYERS,
        lambda t, p, a: np.tile(
            np.subtract.outer(p.prices[:, 0], np.r_[0, p.prices[:, 0]]), (a.size, 1, 1)
        ),
    )
    return [
        MicroMoment("mean", 0, income),
        MicroMoment.mean("income", value=0, dataset=SURVEY, given="inside"),
        MicroMoment.covariance("income", "prices", value=0, dataset=SURVEY),
        MicroMoment("difference", 0, difference),
        MicroMoment(
            "both",
            0,
            [income, difference],
            lambda v: v[0] / v[1],
            lambda v: [1 / v[1], -v[0] / v[1] ** 2],
        ),
    ]


def by_hand() -> tuple[Any, Any]:
    """Compute moments and covariances, the latter by influence functions."""
    survey, buyers = rows("survey"), rows("buyers")
    y, p = survey.income.to_numpy(), survey.price.to_numpy()
    inside = (survey.choice_indices > 0).to_numpy()
    d = (buyers.price - buyers.second_price).to_numpy()
    values = np.array(
        [
            (y * p).mean(),
            y[inside].mean(),
            (y * p).mean() - y.mean() * p.mean(),
            d.mean(),
            (y * p).mean() / d.mean(),
        ]
    )
    of_survey = np.zeros((5, N))
    of_survey[0] = y * p - values[0]
    of_survey[1] = inside * (y - values[1]) / inside.mean()
    of_survey[2] = (y - y.mean()) * (p - p.mean()) - values[2]
    of_survey[4] = of_survey[0] / d.mean()
    of_buyers = np.zeros((5, N))
    of_buyers[3] = d - d.mean()
    of_buyers[4] = -values[0] / d.mean() ** 2 * of_buyers[3]
    covariances = (of_survey @ of_survey.T + of_buyers @ of_buyers.T) / (N * (N - 1))
    return values, covariances


def data() -> dict[str, Any]:
    drop = ["micro_ids", "agent_indices", "price"]
    return {name: rows(name).drop(columns=drop) for name in ("survey", "buyers")}


def values_of(found: Any) -> Any:
    return np.array([moment.value for moment in found.micro_moments])


def test_values_and_covariances_are_those_computed_by_hand() -> None:
    found = observe_micro_moments(solved().problem, moments(), data())
    values, covariances = by_hand()
    np.testing.assert_allclose(values_of(found), values, rtol=1e-11)
    np.testing.assert_allclose(
        found.micro_sample_covariances, covariances, rtol=1e-9, atol=1e-18
    )
    for moment in found.micro_moments:
        assert all(part.dataset.observations == N for part in moment.parts)
    assert found.micro_moments[2].statistic is not None


def test_parquet_in_parts_is_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = observe_micro_moments(solved().problem, moments(), data())
    paths: dict[str, Any] = {}
    for name, frame in data().items():
        folder = tmp_path / name
        folder.mkdir()
        for k, part in enumerate(np.array_split(np.arange(N), 3)):
            frame.iloc[part].to_parquet(folder / f"{k}.parquet", row_group_size=700)
        paths[name] = folder
    monkeypatch.setattr(store_tables, "ROWS", 311)
    found = observe_micro_moments(solved().problem, moments(), paths)
    np.testing.assert_allclose(values_of(found), values_of(whole), rtol=1e-11)
    np.testing.assert_allclose(
        found.micro_sample_covariances, whole.micro_sample_covariances, rtol=1e-10
    )


def test_observed_values_are_near_those_of_the_model_and_can_be_solved_with() -> None:
    results = solved()
    first = [m for m in moments() if all(p.dataset is SURVEY for p in m.parts)]
    found = observe_micro_moments(results.problem, first, rows("survey"))
    expected = results.compute_micro_values(first)
    errors = np.sqrt(found.micro_sample_covariances.diagonal())
    assert (np.abs(values_of(found) - expected) <= 4 * errors).all()
    with quietly():
        again = solve_here(
            results.problem,
            sigma=results.sigma,
            pi=results.pi,
            method="1s",
            micro_moments=found.micro_moments,
            micro_sample_covariances=found.micro_sample_covariances,
            **FIXED,
        )
    np.testing.assert_allclose(again.micro_values[:, 0], expected, rtol=1e-9)


def test_bad_rows_are_refused() -> None:
    problem, first = solved().problem, moments()[:1]
    good = data()["survey"]
    with pytest.raises(InputError, match="observations in market m1"):
        observe_micro_moments(problem, first, good.assign(market_ids="m1"))
    with pytest.raises(InputError, match="numbers from zero to 4"):
        observe_micro_moments(problem, first, good.assign(choice_indices=9))
    with pytest.raises(InputError, match="no 'choice_indices'"):
        observe_micro_moments(problem, first, good.drop(columns="choice_indices"))
    with pytest.raises(InputError, match="income"):
        observe_micro_moments(problem, first, good.drop(columns="income"))
    with pytest.raises(InputError, match="for 2 datasets"):
        observe_micro_moments(problem, moments(), good)
    with pytest.raises(InputError, match="no micro_moments"):
        observe_micro_moments(problem, [], good)
    with pytest.raises(blpdask.exceptions.BlpdaskError, match="two at least"):
        observe_micro_moments(problem, first, good.iloc[:1])
    never = MicroDataset("none", 5, lambda t, p, a: 1.0 * (everyone(t, p, a) > 1))
    with pytest.raises(InputError, match="of no weight"):
        observe_micro_moments(
            problem, [MicroMoment("m", 0, MicroPart("p", never, everyone))], good
        )
    nodes = MicroPart(
        "nodes", SURVEY, lambda t, p, a: a.nodes[:, [0]] * everyone(t, p, a)
    )
    with pytest.raises(InputError, match="not finite"):
        observe_micro_moments(problem, [MicroMoment("m", 0, nodes)], good)
