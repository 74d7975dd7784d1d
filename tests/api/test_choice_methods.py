"""Questions about people's choices: slow formulas, differences, limits, bad input.

What must hold:

1. Probabilities are the formula's, at the data and at others, before and given choices;
   rows may come in any order.
2. Elasticities and diversion are finite differences of probabilities and of shares;
   effects of one price sum to zero over alternatives; diversion sums to one; long-run
   diversion is what probabilities without an alternative say.
3. The logit's are its closed forms.
4. Surplus falls by P_j where the price of j rises by one (Roy), by one where all do.
5. Engines give the same bits.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

import blpdask
from blpdask.api.choice_results import ChoiceResults
from blpdask.errors import BlpdaskError, DataWarning, InputError, NumericalWarning
from blpdask.partitions.source import HeldBlocks
from tests.api.asked_choices import (
    SERIAL,
    draw_choices,
    estimated,
    plain_draws,
    plain_probabilities,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*single available:UserWarning")
CURVED = "0 + log(prices) + quality + quality:prices"
IDS = ["person_ids", "situation_ids", "alternative_ids"]


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        yield


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return draw_choices()


@pytest.fixture(scope="module")
def linear(data: pd.DataFrame) -> ChoiceResults:
    return estimate(data)


@pytest.fixture(scope="module")
def curved(data: pd.DataFrame) -> ChoiceResults:
    random = {"log(prices)": "normal", "quality": "normal"}
    with pytest.warns(DataWarning, match="single available"):
        return estimated(CURVED, random, [-1.2, 0.4, 0.3, 0.7, -0.9], data)


def estimate(data: pd.DataFrame, theta: Any = (-1.1, 0.5, 1.3)) -> ChoiceResults:
    with pytest.warns(DataWarning, match="single available"):
        return estimated("0 + prices + quality", {"quality": "normal"}, theta, data)


def linear_beta(z: Any) -> Any:
    return np.column_stack([np.full(len(z), -1.1), 0.5 + 1.3 * z[:, 0]])


def present(data: pd.DataFrame) -> pd.DataFrame:
    """Give available rows of situations with a choice."""
    some = data[data["availability"] == 1]
    sizes = some.groupby(["person_ids", "situation_ids"])["chosen"].transform("size")
    return some[sizes > 1]


# Probabilities


@pytest.mark.parametrize("conditional", [False, True])
def test_probabilities_are_the_formula(
    data: pd.DataFrame, linear: ChoiceResults, conditional: bool
) -> None:
    draws = plain_draws(linear, linear_beta, conditional)
    people = linear.problem.table.person_ids
    X = data[["prices", "quality"]].to_numpy()
    expected = plain_probabilities(draws, data, X, people)
    found = linear.compute_probabilities(conditional, **SERIAL)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)
    asked = linear.compute_probabilities(conditional, choice_data=data, **SERIAL)
    np.testing.assert_allclose(asked, found, rtol=1e-13)
    other = data.assign(prices=data["prices"] ** 2, quality=0.3 - data["quality"])
    X = other[["prices", "quality"]].to_numpy()
    expected = plain_probabilities(draws, other, X, people)
    found = linear.compute_probabilities(conditional, choice_data=other, **SERIAL)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_rows_can_be_in_any_order_and_fewer(
    data: pd.DataFrame, curved: ChoiceResults
) -> None:
    found = curved.compute_probabilities(True, choice_data=data, **SERIAL)
    order = np.random.default_rng(0).permutation(len(data))
    moved = data.iloc[order].drop(columns=["chosen", "weights"])
    again = curved.compute_probabilities(True, choice_data=moved, **SERIAL)
    np.testing.assert_allclose(again, found[order], rtol=1e-13)
    some = (data["person_ids"] % 5 == 1) & (data["availability"] == 1)
    fewer = curved.compute_probabilities(True, choice_data=data[some], **SERIAL)
    np.testing.assert_allclose(fewer, found[some], rtol=1e-13)


def test_a_table_that_changes_later_does_not_change_answers(data: pd.DataFrame) -> None:
    own = data.copy()
    results = estimate(own)
    before = results.compute_elasticities(**SERIAL)
    own["prices"] = 7.0
    pd.testing.assert_frame_equal(results.compute_elasticities(**SERIAL), before)


def test_taking_alternatives_away_is_availability(
    data: pd.DataFrame, linear: ChoiceResults
) -> None:
    without = data.assign(
        availability=data["availability"] * (data["alternative_ids"] != "car")
    )
    counts = without.groupby(["person_ids", "situation_ids"])["availability"]
    without = without[counts.transform("sum") > 0].reset_index(drop=True)
    masked = linear.compute_probabilities(choice_data=without, **SERIAL)
    assert (masked[without["availability"] == 0] == 0).all()
    rows = without["availability"] == 1
    dropped = linear.compute_probabilities(choice_data=without[rows], **SERIAL)
    np.testing.assert_array_equal(masked[rows], dropped)
    sums = pd.Series(masked).groupby([without["person_ids"], without["situation_ids"]])
    np.testing.assert_allclose(sums.sum(), 1.0, rtol=1e-12)


def test_people_without_a_choice_choose_what_there_is(data: pd.DataFrame) -> None:
    rows = (data["person_ids"] == 8) & (data["availability"] == 1)
    only = data[rows].groupby("situation_ids").head(1).index
    kept = data.drop(index=data.index[(data["person_ids"] == 8)].difference(only))
    kept = kept.assign(
        chosen=np.where(kept["person_ids"] == 8, 1, kept["chosen"])
    ).reset_index(drop=True)
    results = estimate(kept)
    assert 8 not in results.problem.table.person_ids
    found = results.compute_probabilities(**SERIAL)
    asked = results.compute_probabilities(choice_data=kept, **SERIAL)
    assert (found[kept["person_ids"] == 8] == 1).all()
    np.testing.assert_allclose(asked, found, rtol=1e-13)


def test_shares_are_weighted_averages(
    data: pd.DataFrame, linear: ChoiceResults
) -> None:
    found = linear.compute_shares(**SERIAL)
    P = linear.compute_probabilities(**SERIAL) * data["weights"]
    situations = data.groupby(["person_ids", "situation_ids"])["weights"].first()
    expected = P.groupby(data["alternative_ids"]).sum() / situations.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.index.tolist() == ["bus", "car", "train", "walk"]
    np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-13)


# Substitution


def moved_row(data: pd.DataFrame, row: int, step: float) -> pd.DataFrame:
    moved = data.copy()
    moved.loc[row, "prices"] += step
    return moved


@pytest.mark.parametrize("conditional", [False, True])
def test_elasticities_and_diversion_are_differences(
    data: pd.DataFrame, curved: ChoiceResults, conditional: bool
) -> None:
    table = curved.compute_elasticities(conditional=conditional, **SERIAL)
    ratios = curved.compute_diversion_ratios(conditional=conditional, **SERIAL)
    P = curved.compute_probabilities(conditional, **SERIAL)
    for row in present(data).sample(6, random_state=2).index:
        up, down = (
            curved.compute_probabilities(
                conditional, choice_data=moved_row(data, row, step), **SERIAL
            )
            for step in (1e-5, -1e-5)
        )
        slopes = (up - down) / 2e-5
        of = table[table["other_row"] == row]
        j = of["row"].to_numpy()
        expected = data.loc[row, "prices"] * slopes[j] / P[j]
        np.testing.assert_allclose(of["elasticities"], expected, atol=1e-8)
        lost = ratios[ratios["row"] == row]
        k = lost["other_row"].to_numpy()
        assert row not in k and k.size
        np.testing.assert_allclose(
            lost["diversion_ratios"], -slopes[k] / slopes[row], rtol=1e-6
        )


def test_tables_of_pairs_name_what_they_are_about(
    data: pd.DataFrame, curved: ChoiceResults
) -> None:
    table = curved.compute_elasticities(**SERIAL)
    for prefix, rows in (("", table["row"]), ("other_", table["other_row"])):
        own = data.loc[rows, IDS].reset_index(drop=True)
        np.testing.assert_array_equal(
            table[f"{prefix}alternative_ids"], own["alternative_ids"]
        )
        for name in IDS[:2]:
            np.testing.assert_array_equal(table[name], own[name])
    assert (
        table[["person_ids", "situation_ids"]]
        .apply(tuple, axis=1)
        .is_monotonic_increasing
    )
    sizes = data[data["availability"] == 1].groupby(IDS[:2]).size()
    assert len(table) == (sizes**2).sum()
    assert len(curved.compute_diversion_ratios(**SERIAL)) == (sizes**2 - sizes).sum()


def test_effects_of_a_price_sum_to_zero_and_diversion_to_one(
    curved: ChoiceResults,
) -> None:
    table = curved.compute_elasticities(**SERIAL)
    P = curved.compute_probabilities(**SERIAL)
    effects = (table["elasticities"] * P[table["row"]]).groupby(table["other_row"])
    np.testing.assert_allclose(effects.sum(), 0.0, atol=1e-13)
    ratios = curved.compute_diversion_ratios(**SERIAL).dropna()
    by_row = ratios.groupby("row")["diversion_ratios"].sum()
    np.testing.assert_allclose(by_row, 1.0, rtol=1e-9)
    matrix = curved.compute_diversion_ratios(by="alternatives", **SERIAL)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-12)
    assert (np.diag(matrix) == 0).all()
    for by in ("situations", "alternatives"):
        found = curved.compute_long_run_diversion_ratios(by, **SERIAL)
        if by == "situations":
            found = found.groupby("row")["diversion_ratios"].sum()
            np.testing.assert_allclose(found, 1.0, rtol=1e-12)
        else:
            np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)


def test_by_alternatives_they_are_differences_of_shares(
    data: pd.DataFrame, curved: ChoiceResults
) -> None:
    elasticities = curved.compute_elasticities(by="alternatives", **SERIAL)
    ratios = curved.compute_diversion_ratios(by="alternatives", **SERIAL)
    shares = curved.compute_shares(**SERIAL)
    for name in shares.index:
        own = (data["alternative_ids"] == name).to_numpy()
        by_factor, by_amount = (
            [
                curved.compute_shares(choice_data=data.assign(prices=prices), **SERIAL)
                for prices in moved
            ]
            for moved in (
                [data["prices"] * (1 + h * own) for h in (1e-5, -1e-5)],
                [data["prices"] + h * own for h in (1e-5, -1e-5)],
            )
        )
        slopes = (by_factor[0] - by_factor[1]) / 2e-5
        np.testing.assert_allclose(elasticities[name], slopes / shares, atol=1e-9)
        slopes = (by_amount[0] - by_amount[1]) / 2e-5
        expected = (-slopes / slopes[name]).drop(name)
        np.testing.assert_allclose(ratios.loc[name].drop(name), expected, rtol=1e-6)


@pytest.mark.parametrize("conditional", [False, True])
def test_long_run_diversion_is_a_removal(
    data: pd.DataFrame, curved: ChoiceResults, conditional: bool
) -> None:
    found = curved.compute_long_run_diversion_ratios(conditional=conditional, **SERIAL)
    P = curved.compute_probabilities(conditional, **SERIAL)
    for row in present(data).sample(5, random_state=4).index:
        without = data.copy()
        without.loc[row, "availability"] = 0
        left = curved.compute_probabilities(conditional, choice_data=without, **SERIAL)
        own = found[found["row"] == row]
        k = own["other_row"].to_numpy()
        np.testing.assert_allclose(
            own["diversion_ratios"], (left - P)[k] / P[row], rtol=1e-9
        )


def test_long_run_diversion_by_alternatives_is_a_removal(
    data: pd.DataFrame, linear: ChoiceResults
) -> None:
    found = linear.compute_long_run_diversion_ratios("alternatives", **SERIAL)
    P = linear.compute_probabilities(**SERIAL)
    some = present(data)
    for name in found.index:
        keys = some[some["alternative_ids"] == name].set_index(IDS[:2]).index
        rows = data.set_index(IDS[:2]).index.isin(keys)
        where = data[rows].reset_index(drop=True)
        without = where.assign(
            availability=where["availability"] * (where["alternative_ids"] != name)
        )
        gains = linear.compute_probabilities(choice_data=without, **SERIAL) - P[rows]
        gains = (gains * where["weights"]).groupby(where["alternative_ids"]).sum()
        np.testing.assert_allclose(
            found.loc[name].drop(name), -gains.drop(name) / gains[name], rtol=1e-10
        )


def test_the_logit_has_closed_forms(data: pd.DataFrame) -> None:
    with pytest.warns(DataWarning, match="single available"):
        logit = estimated("0 + prices + quality", None, [-1.5, 0.7], data)
    table = logit.compute_elasticities(**SERIAL)
    P = logit.compute_probabilities(**SERIAL)
    k = table["other_row"].to_numpy()
    own = (table["row"] == k).to_numpy()
    expected = -1.5 * data["prices"].to_numpy()[k] * (own - P[k])
    np.testing.assert_allclose(table["elasticities"], expected, rtol=1e-12, atol=1e-14)
    short = logit.compute_diversion_ratios("quality", **SERIAL)
    long = logit.compute_long_run_diversion_ratios(**SERIAL)
    expected = P[short["other_row"]] / (1 - P[short["row"]])
    np.testing.assert_allclose(short["diversion_ratios"], expected, rtol=1e-11)
    np.testing.assert_allclose(long["diversion_ratios"], expected, rtol=1e-11)
    V = data[["prices", "quality"]].to_numpy() @ [-1.5, 0.7]
    V = pd.Series(np.where(data["availability"] == 1, np.exp(V), 0.0))
    logs = np.log(V.groupby([data["person_ids"], data["situation_ids"]]).sum())
    found = logit.compute_consumer_surpluses(**SERIAL)
    np.testing.assert_allclose(
        found["consumer_surpluses"], logs / 1.5, rtol=1e-11, atol=1e-14
    )


# Welfare


@pytest.fixture(scope="module")
def lognormal(data: pd.DataFrame) -> ChoiceResults:
    formula = "0 + I(-prices) + quality + I(-prices):large"
    data = data.assign(large=data["person_ids"] % 2)
    random = {"I(-prices)": "lognormal", "quality": "normal"}
    with pytest.warns(DataWarning, match="single available"):
        return estimated(formula, random, [0.2, 0.5, 0.3, 0.4, 1.1], data)


@pytest.mark.parametrize("conditional", [False, True])
def test_surplus_falls_by_what_is_bought(
    data: pd.DataFrame, lognormal: ChoiceResults, conditional: bool
) -> None:
    data = data.assign(large=data["person_ids"] % 2)

    def surplus(prices: Any) -> Any:
        found = lognormal.compute_consumer_surpluses(
            "prices", conditional, choice_data=data.assign(prices=prices), **SERIAL
        )
        return found.set_index(IDS[:2])["consumer_surpluses"]

    P = lognormal.compute_probabilities(conditional, **SERIAL)
    base = surplus(data["prices"])
    np.testing.assert_allclose(base - surplus(data["prices"] + 2.0), 2.0, rtol=1e-11)
    for row in present(data).sample(5, random_state=3).index:
        step = np.where(data.index == row, 1e-5, 0.0)
        slopes = (
            surplus(data["prices"] + step) - surplus(data["prices"] - step)
        ) / 2e-5
        place = tuple(data.loc[row, IDS[:2]])
        np.testing.assert_allclose(slopes[place], -P[row], rtol=1e-7)
        np.testing.assert_allclose(slopes.drop(place), 0.0, atol=1e-10)


def test_a_counterfactual_is_two_tables(
    data: pd.DataFrame, lognormal: ChoiceResults
) -> None:
    data = data.assign(large=data["person_ids"] % 2)
    car = (data["alternative_ids"] == "car").to_numpy()
    prices = data["prices"] * np.where(car, 1.3, 1.0)
    found = lognormal.compute_counterfactual({"prices": prices}, "prices", **SERIAL)
    other = data.assign(prices=prices)
    for column, table in enumerate((data, other)):
        np.testing.assert_array_equal(
            found.probabilities[:, column],
            lognormal.compute_probabilities(choice_data=table, **SERIAL),
        )
        np.testing.assert_array_equal(
            found.shares.iloc[:, column],
            lognormal.compute_shares(choice_data=table, **SERIAL),
        )
    before, after = (
        lognormal.compute_consumer_surpluses(choice_data=table, **SERIAL)
        for table in (data, other)
    )
    change = (after - before)["consumer_surpluses"]
    np.testing.assert_array_equal(found.surpluses["change"], change)
    weights = data.groupby(IDS[:2])["weights"].first().to_numpy()
    np.testing.assert_allclose(
        found.surplus_change, np.average(change, weights=weights)
    )
    assert found.surplus_change < 0 and found.shares.loc["car", "change"] < 0
    assert "car" in str(found) and "Consumer Surplus" in str(found)
    row = present(data).index[0]
    gone = lognormal.compute_counterfactual(
        {"availability": data["availability"] * (data.index != row)}, **SERIAL
    )
    assert gone.surpluses is None and gone.surplus_change is None
    assert gone.probabilities[row, 0] > 0 == gone.probabilities[row, 1]
    np.testing.assert_allclose(gone.shares["change"].sum(), 0.0, atol=1e-14)
    one = lognormal.compute_counterfactual({"quality": 0.0}, **SERIAL)
    np.testing.assert_array_equal(
        one.probabilities[:, 1],
        lognormal.compute_probabilities(choice_data=data.assign(quality=0.0), **SERIAL),
    )


def test_surplus_of_a_coefficient_of_any_sign_is_told(data: pd.DataFrame) -> None:
    with pytest.warns(DataWarning, match="single available"):
        results = estimated(
            "0 + prices + quality", {"prices": "normal"}, [-1.0, 0.5, 0.8], data
        )
    with pytest.warns(NumericalWarning, match="NaN"):
        found = results.compute_consumer_surpluses(**SERIAL)
    assert found["consumer_surpluses"].isna().any()
    narrow = ChoiceResults(
        replace(results.estimates, theta=np.array([-5.0, 0.5, 0.1])),
        problem=results.problem,
    )
    with pytest.warns(NumericalWarning, match="depend on the draws"):
        found = narrow.compute_consumer_surpluses(**SERIAL)
    assert found["consumer_surpluses"].notna().all()


# Willingness to pay and posterior coefficients


def test_willingness_to_pay_of_fixed_coefficients(data: pd.DataFrame) -> None:
    with pytest.warns(DataWarning, match="single available"):
        logit = estimated("0 + prices + quality", None, [-1.5, 0.7], data)
    found = logit.compute_willingness_to_pay("quality", **SERIAL)
    np.testing.assert_allclose([found.mean, found.median], 0.7 / 1.5, rtol=1e-14)
    assert found.standard_deviation == 0.0 and found.has_moments
    slopes = np.array([0.7 / 1.5**2, 1 / 1.5])
    expected = np.sqrt(slopes @ logit.covariances @ slopes)
    np.testing.assert_allclose(found.mean_se, expected, rtol=1e-12)
    assert "quality" in str(found)
    assert found.to_frame()["statistic"].tolist()[:3] == [
        "mean",
        "standard deviation",
        "median",
    ]


def test_willingness_to_pay_knows_slopes_of_columns(data: pd.DataFrame) -> None:
    with pytest.warns(DataWarning, match="single available"):
        plain = estimated("0 + prices + quality", None, [-1.5, 0.7], data)
        logit = estimated(
            "0 + I(-prices / 4) + I(2 * quality)", None, [6.0, 0.35], data
        )
    slopes = np.diag([-4.0, 0.5])
    moved = replace(logit.estimates, covariances=slopes @ plain.covariances @ slopes)
    logit = ChoiceResults(moved, problem=logit.problem)
    expected, found = (
        results.compute_willingness_to_pay("quality", **SERIAL)
        for results in (plain, logit)
    )
    for name in ("mean", "median", "mean_se"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-12
        )
    column = logit.compute_willingness_to_pay("2*quality", "-prices/4", **SERIAL)
    np.testing.assert_allclose(column.mean, -0.35 / 6.0, rtol=1e-12)


def test_willingness_to_pay_varies_as_its_coefficients(data: pd.DataFrame) -> None:
    with pytest.warns(DataWarning, match="single available"):
        normal = estimated(
            "0 + prices + quality", {"quality": "normal"}, [-1.6, 0.5, 1.2], data, 1024
        )
    found = normal.compute_willingness_to_pay("quality", quantiles=[0.1, 0.9], **SERIAL)
    np.testing.assert_allclose(found.mean, 0.5 / 1.6, atol=2e-3)
    np.testing.assert_allclose(found.standard_deviation, 1.2 / 1.6, rtol=2e-3)
    np.testing.assert_allclose(
        found.quantiles,
        (0.5 + 1.2 * np.array([-1, 1]) * 1.2815515655446004) / 1.6,
        atol=4e-3,
    )
    assert np.isnan(found.mean_se) and found.has_moments


def test_willingness_to_pay_of_lognormals(data: pd.DataFrame) -> None:
    kinds = {"I(-prices)": "lognormal", "quality": "lognormal"}
    with pytest.warns(DataWarning, match="single available"):
        results = estimated(
            "0 + I(-prices) + quality", kinds, [0.1, 0.4, 0.3, -0.4], data, 1024
        )
    found = results.compute_willingness_to_pay("quality", **SERIAL)
    mean, spread = 0.3, 0.5
    quantiles = np.exp(mean + spread * np.array([-1.6448536269514722, 0.0]))
    np.testing.assert_allclose(found.quantiles[[0, 2]], quantiles, rtol=5e-3)
    np.testing.assert_allclose(found.mean, np.exp(mean + spread**2 / 2), rtol=2e-3)


def test_willingness_to_pay_without_moments_is_told(data: pd.DataFrame) -> None:
    with pytest.warns(DataWarning, match="single available"):
        results = estimated(
            "0 + prices + quality", {"prices": "normal"}, [-1.0, 0.5, 0.2], data
        )
    with pytest.warns(NumericalWarning, match="no mean"):
        found = results.compute_willingness_to_pay("quality", **SERIAL)
    assert not found.has_moments and np.isfinite(found.quantiles).all()


def test_posterior_coefficients_are_integrals(data: pd.DataFrame) -> None:
    """With points of the normal density for draws, they are what plain sums say."""
    results = estimate(data)
    z = np.linspace(-8.5, 8.5, 2001)[:, None]
    density = np.exp(-0.5 * z[:, 0] ** 2)
    logs = np.log(density / density.mean())[None]
    source = results.problem.source
    blocks = [source.load(b) for b in range(len(source))]
    results.problem.__dict__["source"] = HeldBlocks(
        [replace(block, draws=z[None], log_weights=logs) for block in blocks]
    )
    found = results.compute_posterior_coefficients(**SERIAL)
    assert found["person_ids"].tolist() == results.problem.table.person_ids.tolist()
    beta = linear_beta(z)[:, 1]
    for i, likelihoods in enumerate(plain_likelihoods(results, linear_beta(z))):
        weights = density * likelihoods / (density @ likelihoods)
        mean = weights @ beta
        spread = np.sqrt(weights @ (beta - mean) ** 2)
        np.testing.assert_allclose(found["quality"][i], mean, rtol=1e-9)
        np.testing.assert_allclose(found["sd.quality"][i], spread, rtol=1e-9)
        np.testing.assert_allclose(
            found["effective_draws"][i], 1 / (weights @ weights), rtol=1e-9
        )
    assert (found["prices"] == -1.1).all() and (found["sd.prices"] == 0).all()


def plain_likelihoods(results: ChoiceResults, beta: Any) -> list[Any]:
    """Compute p_i at each coefficient, of every person."""
    table, found = results.problem.table, []
    for i in range(table.person_ids.size):
        logs = 0.0
        for s in range(*table.person_offsets[i : i + 2]):
            rows = slice(*table.situation_offsets[s : s + 2])
            P = log_softmax(table.X[rows] @ beta.T, axis=0)
            logs = logs + P[table.chosen[s] - rows.start]
        found.append(np.exp(logs))
    return found


def test_posterior_means_are_the_populations_and_shrink() -> None:
    """Averages over people are b; those of people who chose little are close to b."""
    frame = many_choices(300, 8)
    mixed = estimated(
        "0 + prices + quality", {"quality": "normal"}, [-1.0, 0.8, 1.0], frame, 256
    )
    found = mixed.compute_posterior_coefficients(**SERIAL)["quality"]
    assert abs(found.mean() - 0.8) < 3 * found.std() / np.sqrt(300)
    few = estimated(
        "0 + prices + quality",
        {"quality": "normal"},
        [-1.0, 0.8, 1.0],
        frame[frame["situation_ids"] == 0],
        256,
    )
    little = few.compute_posterior_coefficients(**SERIAL)["quality"]
    assert abs(little.mean() - 0.8) < 4 * little.std() / np.sqrt(300)
    assert little.std() < 0.7 * found.std() < 0.7


def many_choices(n_people: int, T: int) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(n_people, T, 3, 2))
    beta = np.array([-1.0, 0.8]) + rng.normal(size=(n_people, 1)) * [0.0, 1.0]
    V = np.einsum("itjk,ik->itj", X, beta) + rng.gumbel(size=X.shape[:3])
    i, t, j = np.indices(V.shape)
    return pd.DataFrame(
        {
            "person_ids": i.ravel(),
            "situation_ids": t.ravel(),
            "chosen": (V.argmax(axis=2)[..., None] == j).ravel(),
            "prices": X[..., 0].ravel(),
            "quality": X[..., 1].ravel(),
        }
    )


# Willingness-to-pay space


def test_signs_in_willingness_to_pay_space(data: pd.DataFrame) -> None:
    """There X holds the negative of prices, and λ scales what others are worth."""
    with pytest.warns(DataWarning, match="single available"):
        plain = estimated("0 + I(-prices) + quality", None, [1.0, 1.0], data)
    problem = plain.problem
    problem.coefficients = replace(
        problem.coefficients, kinds=("lognormal", "normal"), scale="-prices"
    )
    problem._rule = blpdask.Integration("sobol", 256, {"seed": 1}).rule.seeded()
    problem.__dict__.pop("source", None)
    theta = np.array([0.1, 0.6, 0.3, 0.9])
    estimates = replace(
        plain.estimates,
        coefficients=problem.coefficients,
        theta=theta,
        covariances=np.eye(4),
    )
    results = ChoiceResults(estimates, problem=problem)
    found = results.compute_willingness_to_pay("quality", **SERIAL)
    np.testing.assert_allclose(found.mean, 0.6, atol=0.01)
    np.testing.assert_allclose(found.standard_deviation, 0.9, rtol=0.01)
    assert found.has_moments
    elasticities = results.compute_elasticities(**SERIAL)
    P = results.compute_probabilities(**SERIAL)
    np.testing.assert_allclose(
        results.compute_probabilities(choice_data=data, **SERIAL), P, rtol=1e-12
    )
    row = int(present(data).index[0])
    up, down = (
        results.compute_probabilities(choice_data=moved_row(data, row, h), **SERIAL)
        for h in (1e-5, -1e-5)
    )
    of = elasticities[elasticities["other_row"] == row]
    j = of["row"].to_numpy()
    slopes = data.loc[row, "prices"] * ((up - down) / 2e-5)[j] / P[j]
    np.testing.assert_allclose(of["elasticities"], slopes, atol=1e-8)
    assert of.set_index("row")["elasticities"][row] < 0
    surplus = results.compute_consumer_surpluses(**SERIAL)
    dearer = results.compute_consumer_surpluses(
        choice_data=data.assign(prices=data["prices"] + 1.0), **SERIAL
    )
    np.testing.assert_allclose(
        surplus["consumer_surpluses"] - dearer["consumer_surpluses"], 1.0, rtol=1e-11
    )


# Engines, and what cannot be asked


def test_engines_give_the_same_bits(curved: ChoiceResults) -> None:
    questions = (
        lambda **e: curved.compute_probabilities(True, **e),
        lambda **e: curved.compute_elasticities(by="alternatives", **e),
        lambda **e: curved.compute_long_run_diversion_ratios(**e)["diversion_ratios"],
        lambda **e: curved.compute_posterior_coefficients(**e),
    )
    for question in questions:
        expected = np.asarray(question(engine="serial"), np.float64)
        for threads in (1, 2):
            found = np.asarray(question(engine="threads", threads=threads), np.float64)
            np.testing.assert_array_equal(found, expected)


def test_without_a_problem_nothing_is_asked(linear: ChoiceResults) -> None:
    lost = pickle.loads(pickle.dumps(linear))
    for question in (
        lost.compute_elasticities,
        lost.compute_posterior_coefficients,
        lost.compute_consumer_surpluses,
    ):
        with pytest.raises(BlpdaskError, match="without their problem"):
            question()


def test_wrong_arguments_are_told_together(
    data: pd.DataFrame, linear: ChoiceResults
) -> None:
    with pytest.raises(InputError) as caught:
        linear.compute_elasticities("taste", by="rows", conditional=3)  # type: ignore[arg-type]
    for told in ("'taste'", "prices, quality", "by='rows'", "conditional=3"):
        assert told in str(caught.value)
    with pytest.raises(InputError) as caught:
        linear.compute_counterfactual({"taste": 1.0, "prices": [1.0, 2.0]})
    for told in ("'taste'", "availability, prices, quality", "(2,)", str(len(data))):
        assert told in str(caught.value)
    with pytest.raises(InputError, match="a mapping from columns"):
        linear.compute_counterfactual({})
    with pytest.raises(InputError, match=r"'prices' of shape \(0,\)"):
        linear.compute_counterfactual({"prices": [[1.0, 2.0], [3.0]]})
    with pytest.raises(InputError) as caught:
        linear.compute_willingness_to_pay("size", "cost", quantiles=[2.0])
    for told in ("name='size'", "price='cost'", "quantiles=[2.0]"):
        assert told in str(caught.value)
    with pytest.raises(InputError, match="which is the price"):
        linear.compute_willingness_to_pay("prices")
    with pytest.raises(InputError, match="engine='nowhere'"):
        linear.compute_shares(engine="nowhere")


def test_prices_that_cannot_measure_welfare(
    data: pd.DataFrame, curved: ChoiceResults
) -> None:
    with pytest.raises(InputError, match="not linear in 'prices'"):
        curved.compute_consumer_surpluses(**SERIAL)
    for price in ("log(prices)", "prices"):
        with pytest.raises(InputError, match=r"prices\*quality|quality\*prices"):
            curved.compute_willingness_to_pay("quality", price, **SERIAL)
    with pytest.warns(DataWarning, match="single available"):
        own = estimated("0 + prices + quality:prices", None, [-1.0, 0.2], data)
    with pytest.raises(InputError, match="worth more where one alternative"):
        own.compute_consumer_surpluses(**SERIAL)
    with pytest.raises(InputError, match="worth more where one alternative"):
        own.compute_counterfactual({"prices": 1.0}, "prices", **SERIAL)


def test_wrong_tables_are_told(data: pd.DataFrame, linear: ChoiceResults) -> None:
    def told(table: Any, *words: str) -> None:
        with pytest.raises(InputError) as caught:
            linear.compute_probabilities(choice_data=table, **SERIAL)
        for word in words:
            assert word in str(caught.value)

    told(data.drop(columns=["person_ids"]), "no column 'person_ids'")
    told(data.drop(columns=["prices"]), "no variable 'prices'")
    told(data.assign(person_ids=data["person_ids"] + 1), "1 people who are not", "24")
    told(data.assign(availability=0), "situations without an available alternative")
    told(data.assign(prices=np.nan), "not finite", "'prices'")
    told(data.assign(prices="dear"), "'prices' that is not numeric")
    told(pd.concat([data, data]), "several rows in one situation")
    told([1, 2], "of type list")
    with pytest.raises(InputError, match="no column 'alternative_ids'"):
        linear.compute_elasticities(
            by="alternatives", choice_data=data.drop(columns=["alternative_ids"])
        )


def test_any_kind_of_table_is_asked(data: pd.DataFrame, linear: ChoiceResults) -> None:
    columns = [*IDS, "availability", "prices", "quality"]
    expected = linear.compute_shares(choice_data=data, **SERIAL)
    names = data["alternative_ids"].to_numpy().astype("U5")
    records = data[columns].assign(alternative_ids=names).to_records(index=False)
    for table in (
        {name: data[name].to_numpy() for name in columns},
        np.asarray(records),
    ):
        found = linear.compute_shares(choice_data=table, **SERIAL)
        np.testing.assert_array_equal(found, expected)


def test_matrices_of_very_many_alternatives_are_refused(
    data: pd.DataFrame, linear: ChoiceResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blpdask.api.choice_questions.MOST_ALTERNATIVES", 3)
    with pytest.raises(InputError, match="4 alternatives, and so a matrix"):
        linear.compute_elasticities(by="alternatives", **SERIAL)
    assert linear.compute_shares(**SERIAL).size == 4
    monkeypatch.setattr("blpdask.api.choice_questions.MOST_PAIRS", 20)
    with pytest.raises(InputError, match="pairs of alternatives in all situations"):
        linear.compute_long_run_diversion_ratios(**SERIAL)
    assert linear.compute_probabilities(choice_data=data, **SERIAL).size == len(data)


@pytest.mark.parametrize("conditional", [False, True])
def test_sums_over_alternatives_are_made_some_people_at_a_time(
    linear: ChoiceResults, conditional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> Any:
        return linear.compute_elasticities(
            by="alternatives", conditional=conditional, **SERIAL
        )

    expected = ask()
    for held in (1, 30):
        monkeypatch.setattr("blpdask.analysis.choice_answers.PAIRS_HELD", held)
        np.testing.assert_allclose(ask(), expected, rtol=1e-12)


def test_levels_without_coefficients_are_told(data: pd.DataFrame) -> None:
    with pytest.warns(DataWarning, match="single available"):
        logit = estimated(
            "1 + C(alternative_ids) + prices", None, [0.1, 0.2, 0.3, -1.0], data
        )
    found = logit.compute_probabilities(choice_data=data, **SERIAL)
    np.testing.assert_allclose(found, logit.compute_probabilities(**SERIAL), rtol=1e-13)
    plane = data.replace({"alternative_ids": {"bus": "plane"}})
    with pytest.raises(InputError, match="values plane of 'alternative_ids'"):
        logit.compute_probabilities(choice_data=plane, **SERIAL)
    with pytest.raises(InputError, match="its values are categories"):
        logit.compute_elasticities("alternative_ids", **SERIAL)
