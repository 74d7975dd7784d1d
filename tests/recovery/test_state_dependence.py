"""Habit is told from liking: known truths, placebos, and what first states do.

What must hold:

1. Habit is recovered, the same for all or random, where tastes differ.
2. Liking alone looks like habit to a logit, and not to a mixed logit.
3. Weeks of a person in another order have no habit in them.
4. In short panels first states taken as given make habit too large; they do not where
   means of tastes move with them (Wooldridge 2005), nor where the model makes them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import blpdask

TRUTH = blpdask.PanelDesign()
DIFFERENT = blpdask.PanelDesign(deviations=(2.0, 2.0))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def solve(
    panel: Any,
    table: pd.DataFrame,
    *,
    size: int = 128,
    formula: str = "",
    mixed: bool = True,
    **options: Any,
) -> Any:
    problem = blpdask.ChoiceProblem(
        blpdask.Formulation(panel.formula + formula),
        table,
        panel.random if mixed else None,
        blpdask.Integration("sobol", size, {"seed": 0}) if mixed else None,
    )
    found = problem.solve(engine="threads", **options)
    assert found.converged
    return found


def habit(found: Any) -> tuple[float, float]:
    """Give the coefficient of the lag and its standard error."""
    place = found.labels.index("lag")
    return float(found.theta[place]), float(found.standard_errors[place])


def standardised(panel: Any, found: Any) -> Any:
    """Give distances from the truth in standard errors, ``(P,)``."""
    shown = found.to_frame()["estimate"].to_numpy()
    return (shown - panel.theta) / found.standard_errors


@pytest.mark.parametrize("deviation", [0.0, 0.7])
def test_habit_is_recovered(deviation: float) -> None:
    panel = blpdask.simulate_panel(
        300, 40, seed=1, design=replace(TRUTH, habit_deviation=deviation)
    )
    found = solve(panel, panel.to_frame())
    assert found.labels == panel.labels
    assert np.abs(standardised(panel, found)).max() < 3
    assert habit(found)[1] < 0.08
    if deviation:
        assert found.labels[-1] == "sd.lag"


def test_liking_looks_like_habit_to_a_logit_only() -> None:
    panel = blpdask.simulate_panel(300, 30, seed=2, design=replace(TRUTH, habit=0.0))
    table = panel.to_frame()
    plain, error = habit(solve(panel, table, mixed=False))
    assert plain > 0.8 and plain > 10 * error
    gamma, error = habit(solve(panel, table))
    assert abs(gamma) < 3 * error and error < 0.08


def test_weeks_in_another_order_have_no_habit() -> None:
    panel = blpdask.simulate_panel(300, 30, seed=3)
    table = panel.to_frame()
    order = np.argsort(np.random.default_rng(0).uniform(size=(300, 30)), axis=1)
    weeks = table[["person_ids", "period_ids"]].to_numpy()
    mixed_up = table.assign(period_ids=order[weeks[:, 0], weeks[:, 1]])
    gammas = []
    for data in (table, mixed_up):
        lags = blpdask.build_lagged_choices(data, outside=["none"], burn_in=1)
        found = solve(panel, data.assign(lag=lags.values)[lags.kept])
        gammas.append(habit(found))
    assert abs(gammas[0][0] - 1.0) < 3 * gammas[0][1]
    assert abs(gammas[1][0]) < 3 * gammas[1][1]
    assert gammas[1][1] < 0.08


def three_ways(seed: int, n_households: int) -> dict[str, Any]:
    """Estimate from five weeks, of which the first shows the first state."""
    panel = blpdask.simulate_panel(n_households, 5, seed=seed, design=DIFFERENT)
    table = panel.to_frame()
    lags = blpdask.build_lagged_choices(table, outside=["none"], burn_in=1)
    kept = table[lags.kept]
    first = blpdask.build_initial_conditions(kept)
    shifts = "".join(f" + {good}:{name}" for good in DIFFERENT.goods for name in first)
    given = blpdask.InitialStates(table, lags.kept, before=15, outside=["none"])
    return {
        "panel": panel,
        "given": solve(panel, kept, size=64),
        "shifted": solve(panel, kept.assign(**first), size=64, formula=shifts),
        "model": solve(panel, kept, size=64, initial_states=given),
    }


def test_first_states_matter_in_short_panels() -> None:
    found = three_ways(0, 400)
    gamma, error = habit(found["given"])
    assert gamma - 1.0 > 5 * error
    for way in ("shifted", "model"):
        gamma, error = habit(found[way])
        assert abs(gamma - 1.0) < 3 * error and error < 0.2, way
    assert np.abs(standardised(found["panel"], found["model"])).max() < 3
    assert found["given"].standard_deviations.max() < 1.5


@pytest.mark.slow
def test_habit_of_short_panels_over_and_over() -> None:
    """Over twelve panels: bias where first states are given, else none."""
    found = [three_ways(seed, 250) for seed in range(1, 13)]
    gammas = {
        way: np.array([habit(each[way]) for each in found])
        for way in ("given", "shifted", "model")
    }
    assert gammas["given"][:, 0].mean() > 1.8
    for way in ("shifted", "model"):
        gamma, error = gammas[way].T
        off = (gamma - 1.0) / error
        assert abs(gamma.mean() - 1.0) < 3 * gamma.std(ddof=1) / 12**0.5 + 0.05, way
        assert (np.abs(off) < 1.96).sum() >= 9, way
    distances = [standardised(each["panel"], each["model"]) for each in found]
    covered = (np.abs(distances) < scipy.stats.norm.ppf(0.975)).mean()
    assert 0.88 < covered <= 1.0
