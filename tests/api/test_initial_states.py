"""Likelihoods with first states in them, from tables, beside plain loops over weeks.

What must hold:

1. LL is that of a loop over people, draws, weeks and states, at any number of weeks
   before the burn-in; so is LL of alternatives all alike.
2. Rows in any order give the same estimates, engines the same bits; cuts into blocks
   change nothing but the last of them.
3. Faults of tables and arguments are told.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import InputError
from blpdask.problem import choice_blocks

OUTSIDE = ["none"]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


@pytest.fixture(scope="module")
def panel() -> Any:
    return blpdask.simulate_panel(
        12, 6, seed=3, design=blpdask.PanelDesign(habit_deviation=0.5)
    )


def problem_of(panel: Any, table: pd.DataFrame, kept: Any) -> Any:
    return blpdask.ChoiceProblem(
        blpdask.Formulation(panel.formula),
        table[kept],
        panel.random,
        blpdask.Integration("mlhs", 5, {"seed": 0}),
    )


def solve(panel: Any, table: pd.DataFrame, **options: Any) -> Any:
    lags = blpdask.build_lagged_choices(table, outside=OUTSIDE, burn_in=2)
    given = {"before": 3, "outside": OUTSIDE, "kept": lags.kept}
    given |= {name: options.pop(name) for name in list(options) if name in given}
    return problem_of(panel, table, lags.kept).solve(
        panel.theta,
        initial_states=blpdask.InitialStates(table, **given),
        **{
            "optimization": blpdask.Optimization("return"),
            "engine": "serial",
            "backend": "numpy",
        }
        | options,
    )


def plain_log_likelihood(panel: Any, problem: Any, before: int) -> float:
    """Add up logarithms of what people's draws have on average."""
    return float(np.log(plain_chances(panel, problem, before).mean(axis=1)).sum())


def plain_chances(panel: Any, problem: Any, before: int) -> np.ndarray[Any, Any]:
    """Multiply chances of first states and of choices, one week after another."""
    table = panel.to_frame()
    names = [name.strip() for name in panel.formula.split("+")[1:]]
    draws = np.concatenate(
        [problem.source.load(b).draws for b in range(len(problem.source))]
    )
    spread = [names.index(name) for name in panel.random]
    found = []
    for i, (_, person) in enumerate(table.groupby("person_ids")):
        weeks = [rows for _, rows in person.groupby("period_ids")]
        chances = []
        for z in draws[i]:
            beta = panel.theta[: len(names)].copy()
            beta[spread] += panel.theta[len(names) :] * z
            states = {"none": 1.0}
            for at in [*(np.arange(-before, 0) % 6), 0, 1]:
                rows, moved = weeks[at], dict.fromkeys(person["alternative_ids"], 0.0)
                for state, chance in states.items():
                    own = (rows["alternative_ids"] == state) & (state != "none")
                    odds = np.exp(rows.assign(lag=own * 1.0)[names] @ beta)
                    for j, p in zip(rows["alternative_ids"], odds, strict=True):
                        moved[j] += chance * p / odds.sum()
                states = moved
            first = weeks[1].loc[weeks[1]["chosen"] == 1, "alternative_ids"].iloc[0]
            chance = states[first]
            for rows in weeks[2:]:
                odds = np.exp(rows[names] @ beta)
                chance *= odds[rows["chosen"] == 1].sum() / odds.sum()
            chances.append(chance)
        found.append(chances)
    return np.array(found)


@pytest.mark.parametrize("before", [0, 3, 14])
def test_likelihood_is_that_of_a_plain_loop(panel: Any, before: int) -> None:
    found = solve(panel, panel.to_frame(), before=before)
    expected = plain_log_likelihood(panel, found.problem, before)
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-11)
    # Four weeks' choices of three, and a first state of one of three.
    np.testing.assert_allclose(
        found.log_likelihood_at_zero, -12 * 5 * np.log(3), rtol=1e-12
    )


def test_tastes_given_choices_are_given_first_states_too(panel: Any) -> None:
    found = solve(panel, panel.to_frame(), backend="numba")
    chances = plain_chances(panel, found.problem, 3)
    weights = chances / chances.sum(axis=1, keepdims=True)
    draws = np.concatenate(
        [found.problem.source.load(b).draws for b in range(len(found.problem.source))]
    )
    name = next(iter(panel.random))
    mean = panel.theta[found.labels.index(name)]
    deviation = panel.theta[found.labels.index(f"sd.{name}")]
    expected = (weights * (mean + deviation * draws[:, :, 0])).sum(axis=1)
    table = found.compute_posterior_coefficients(engine="serial")
    np.testing.assert_allclose(table[name], expected, rtol=1e-12)
    np.testing.assert_allclose(
        table["effective_draws"], 1 / (weights**2).sum(axis=1), rtol=1e-12
    )
    np.testing.assert_allclose(found.effective_draws, table["effective_draws"])
    own = found.problem.given
    np.testing.assert_allclose(
        found.compute_probabilities(True, engine="serial"),
        found.compute_probabilities(True, own, engine="threads"),
        rtol=1e-12,
    )


def test_money_may_be_what_others_are_paid_with(panel: Any) -> None:
    """The same utility in another space has the same paths and first states."""
    table = panel.to_frame()
    lags = blpdask.build_lagged_choices(table, outside=OUTSIDE, burn_in=2)
    formula = blpdask.Formulation(panel.formula)
    given = blpdask.InitialStates(table, lags.kept, before=3, outside=OUTSIDE)
    options: dict[str, Any] = {
        "optimization": blpdask.Optimization("return"),
        "engine": "serial",
        "backend": "numpy",
    }
    plain, paid = (
        blpdask.ChoiceProblem(formula, table[lags.kept], wtp=wtp)
        for wtp in (None, "prices")
    )
    place = plain.coefficients.labels.index("prices")
    theta = np.linspace(0.2, 0.9, plain.K)
    theta[place] = -0.7
    other = theta / 0.7
    other[place] = 0.7
    one = plain.solve(theta, initial_states=given, **options)
    two = paid.solve(other, initial_states=given, **options)
    np.testing.assert_allclose(two.log_likelihood, one.log_likelihood, rtol=1e-12)
    paths = [
        found.compute_path_probabilities(table, outside=OUTSIDE, engine="serial")
        for found in (one, two)
    ]
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-12)
    assert paths[0].min() > 0.0


def test_draws_of_panels_with_first_states_do_not_look_at_choices(panel: Any) -> None:
    table = panel.to_frame()
    lags = blpdask.build_lagged_choices(table, outside=OUTSIDE, burn_in=2)
    given = blpdask.InitialStates(table, lags.kept, before=3, outside=OUTSIDE)
    problem = blpdask.ChoiceProblem(
        blpdask.Formulation(panel.formula), table[lags.kept], panel.random
    )
    assert problem.is_centred
    found = problem.solve(
        panel.theta,
        initial_states=given,
        optimization=blpdask.Optimization("return"),
        engine="serial",
    )
    assert found.R == 512 and problem.R == 64
    assert found.effective_draws.max() > 64
    tastes = found.compute_posterior_coefficients(engine="serial")
    np.testing.assert_allclose(tastes["effective_draws"], found.effective_draws)
    with pytest.raises(InputError, match="with first states in it"):
        found.compute_fresh_log_likelihood(engine="serial")


def test_states_may_be_groups_and_people_weigh(panel: Any) -> None:
    """Both goods are one habit; their first state is twice as likely as none."""
    design = blpdask.PanelDesign(groups=("nicotine", "nicotine"))
    made = blpdask.simulate_panel(12, 6, seed=3, design=design)
    table = made.to_frame().assign(weights=2.0)
    lags = blpdask.build_lagged_choices(
        table, same="group_ids", outside=OUTSIDE, burn_in=1
    )
    given = blpdask.InitialStates(
        table, lags.kept, same="group_ids", outside=OUTSIDE, before=0
    )
    found = problem_of(made, table, lags.kept).solve(
        made.theta,
        initial_states=given,
        optimization=blpdask.Optimization("return"),
        engine="serial",
        backend="numpy",
    )
    first = table[(table["period_ids"] == 0) & (table["chosen"] == 1)]
    some = int((first["group_ids"] == "nicotine").sum())
    expected = 2 * (some * np.log(2 / 3) - (12 - some) * np.log(3) - 60 * np.log(3))
    np.testing.assert_allclose(found.log_likelihood_at_zero, expected, rtol=1e-12)


def test_order_of_rows_and_engines(panel: Any) -> None:
    table = panel.to_frame()
    one = solve(panel, table, optimization=None, backend="numba", engine="serial")
    other = solve(
        panel,
        table.sample(frac=1.0, random_state=0),
        optimization=None,
        backend="numba",
        engine="threads",
    )
    assert one.converged
    np.testing.assert_array_equal(one.theta, other.theta)
    np.testing.assert_array_equal(one.covariances, other.covariances)


def test_cuts_into_blocks_change_last_bits_at_most(
    panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = panel.to_frame()
    stocks = {"kind": "stock", "decay": 0.5, "size": 20, "outside": OUTSIDE}
    whole = solve(panel, table)
    answers = [
        whole.compute_path_probabilities(table, engine="serial", **options)
        for options in ({"outside": OUTSIDE}, stocks)
    ]
    monkeypatch.setattr(choice_blocks, "BLOCK_COST", 1e3)
    cut = solve(panel, table)
    assert len(cut.problem.source) > 3 and len(whole.problem.source) == 1
    np.testing.assert_allclose(cut.log_likelihood, whole.log_likelihood, rtol=1e-13)
    np.testing.assert_allclose(cut.gradient, whole.gradient, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        cut.log_likelihood_at_zero, whole.log_likelihood_at_zero, rtol=1e-13
    )
    mixed_up = table.sample(frac=1.0, random_state=0)
    for options, answer in zip(({"outside": OUTSIDE}, stocks), answers, strict=True):
        found = cut.compute_path_probabilities(mixed_up, engine="threads", **options)
        np.testing.assert_allclose(
            pd.Series(found, mixed_up.index).loc[table.index], answer, rtol=1e-12
        )


def test_faults_of_tables(panel: Any) -> None:
    table = panel.to_frame()
    lags = blpdask.build_lagged_choices(table, outside=OUTSIDE, burn_in=2)
    problem = problem_of(panel, table, lags.kept)

    def ask(
        data: Any = table, kept: Any = lags.kept, other: Any = None, **options: Any
    ) -> Any:
        given = blpdask.InitialStates(data, kept, outside=OUTSIDE, before=1)
        given = dataclasses.replace(given, **options)
        return (other or problem).solve(initial_states=given, engine="serial")

    with pytest.raises(InputError, match="initial_states of type DataFrame"):
        problem.solve(initial_states=table)
    with pytest.raises(InputError, match="before=-1"):
        ask(before=-1)
    with pytest.raises(InputError, match="'kept' of 3 rows in a table of 216"):
        ask(kept=lags.kept[:3])
    with pytest.raises(InputError, match=r"12 people \(0, 1, .* are kept"):
        ask(kept=np.ones(len(table), bool))
    parts = lags.kept.copy()
    parts[-1] = False
    with pytest.raises(InputError, match="1 situations of which some rows"):
        ask(kept=parts)
    with pytest.raises(InputError, match="no column 'period_ids'"):
        ask(table.drop(columns="period_ids"))
    with pytest.raises(InputError, match="no column 'chosen'"):
        ask(table.drop(columns="chosen"))
    with pytest.raises(InputError, match="no 'lagged' in the formulation"):
        ask(lag="lagged")
    some = (table["person_ids"] < 5).to_numpy()
    with pytest.raises(InputError, match="7 people of the problem without"):
        ask(table[some], lags.kept[some])
