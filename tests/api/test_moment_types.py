"""Moments of innovations at the door, and what is asked of their results.

Invariants: what cannot be is refused, all of it at once; results print φ, are saved and
read with it, go on after a kill, and can be asked what results of levels can be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.errors import DataWarning, InputError
from tests.api.test_resume import bits
from tests.references.drawn_lags import draw_chains
from tests.references.specifications import distance

STACKED = [("levels", 3), ("innovations", 4)]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(blpdask.options, "verbose", False)


def table(N: int = 300, **changed: Any) -> dict[str, Any]:
    """Draw products of 60 markets, in chains of rows."""
    rng = np.random.default_rng(6)
    z, x = rng.normal(size=(N, 5)), rng.normal(size=N)
    columns = {
        "market_ids": np.repeat(np.arange(N // 5), 5),
        "firm_ids": np.tile(np.arange(5), N // 5),
        "prices": 2 + z.sum(axis=1) / 5 + 0.3 * rng.normal(size=N),
        "x": x,
        "w": rng.normal(size=N),
        "shares": rng.uniform(0.02, 0.15, N),
        "lag_indices": draw_chains(rng, N),
        **{f"demand_instruments{m}": z[:, m] for m in range(5)},
        **{f"supply_instruments{m}": z[:, m] for m in range(5)},
    }
    both = {**columns, **changed}
    return {name: column for name, column in both.items() if column is not None}


def logit(linear: str = "1 + prices + x", absorb: str | None = None, **changed: Any):
    return blpdask.Problem(blpdask.Formulation(linear, absorb), table(**changed))


def supply():
    formulas = "1 + prices + x", None, "1 + x + w"
    return blpdask.Problem(
        [None if f is None else blpdask.Formulation(f) for f in formulas], table()
    )


def drawn():
    """Build a problem with a random coefficient and draws of equal weights."""
    return blpdask.Problem(
        (blpdask.Formulation("1 + prices + x"), blpdask.Formulation("0 + x")),
        table(),
        integration=blpdask.Integration("monte_carlo", 20, {"seed": 0}),
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "no phi"),
        ({"phi": np.eye(2)}, r"phi of shape \(2, 2\)"),
        ({"phi": np.nan}, "NaN or infinite values in phi"),
        ({"phi": 0.5}, "phi free in 'Xi on Xi', and no moments but of demand's levels"),
        ({"demand_moment_types": "growth"}, "demand_moment_types='growth'"),
        ({"demand_moment_types": 3}, "demand_moment_types=3"),
        ({"demand_moment_types": [("levels", 3)]}, "that sum to 7"),
        ({"demand_moment_types": [("levels", 3.0), ("innovations", 4)]}, "sum to 7"),
        ({"demand_moment_types": [("levels", 3), ("levels", 4)]}, "different ones"),
        ({"demand_moment_types": [("levels", 8), ("innovations", -1)]}, "sum to 7"),
        ({"supply_moment_types": "innovations"}, "without a supply side"),
        ({"demand_moment_types": [("innovations", 0), ("levels", 7)]}, "free in"),
        (
            {"demand_moment_types": "innovations", "method": "cue"},
            "method='cue' with moments of innovations",
        ),
        (
            {
                "demand_moment_types": "innovations",
                "resample_agent_data": lambda index: None,
            },
            "resample_agent_data with moments of innovations",
        ),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], said: str) -> None:
    given = {"phi": 0.5, **arguments} if arguments else {}
    with pytest.raises(InputError, match=said):
        logit().solve(**given)


def test_without_lags_and_with_effects() -> None:
    types = {"demand_moment_types": "innovations"}
    with pytest.raises(InputError, match="innovations without lag_indices") as caught:
        logit(lag_indices=None).solve(phi=0.5, **types)
    assert "phi of shape (1, 1)" in str(caught.value)
    with pytest.raises(InputError, match="innovations with absorbed effects"):
        logit("0 + prices + x", "C(firm_ids)").solve(phi=0.5, **types)


def test_phi_of_supply_needs_moments_of_supply() -> None:
    phi = np.array([[0.5, 0.2], [0.3, 0.4]])
    with pytest.raises(InputError) as caught:
        supply().solve(beta=[None, -2, None], phi=phi, demand_moment_types=STACKED)
    said = str(caught.value)
    assert "'Omega on Xi'" in said and "'Omega on Omega'" in said
    assert "'Xi on" not in said


def test_lags_beside_products_that_are_not_as_many() -> None:
    with pytest.raises(InputError, match="2 rows of lag_indices but 300"):
        logit(lag_indices=np.array([0, 0]))


def test_a_store_has_no_lags(tmp_path) -> None:
    store = blpdask.build_store(tmp_path / "store", table())
    problem = blpdask.Problem(blpdask.Formulation("1 + prices + x"), store)
    with pytest.raises(InputError, match="data in memory"):
        problem.solve(phi=0.5, demand_moment_types="innovations")


# Results


def test_phi_is_printed_and_listed() -> None:
    results = logit().solve(phi=0.5, demand_moment_types=STACKED)
    assert "Phi Estimates" in str(results) and results.theta_labels == ["Xi on Xi"]
    frame = results.to_frame()
    row = frame[frame["matrix"] == "phi"].iloc[0]
    assert row["estimate"] == results.phi[0, 0]
    assert row["std_error"] == results.phi_se[0, 0] > 0
    assert results.phi_labels == ["Xi"]
    assert "Xi" in results.to_latex()
    squared = results.delta_method(lambda at: at.phi[0, 0] ** 2)
    expected = 2 * results.phi[0, 0] * results.phi_se[0, 0]
    np.testing.assert_allclose(squared.standard_errors, abs(expected), rtol=1e-8)


def test_a_matrix_of_phi_is_printed() -> None:
    phi = np.array([[0.5, 0.0], [0.3, 0.4]])
    results = supply().solve(
        beta=[None, -2, None],
        phi=phi,
        phi_bounds=(phi - 0.8 * (phi != 0), phi + 0.8 * (phi != 0)),
        demand_moment_types=STACKED,
        supply_moment_types="innovations",
        method="1s",
        optimization=blpdask.Optimization("return"),
    )
    lines = str(results).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Phi Estimates"))
    assert "Omega" in lines[first + 2] and "+5.000000E-01" in lines[first + 4]
    assert results.phi_se.shape == (2, 2) and np.isnan(results.phi_se[0, 1])
    assert results.theta_labels[:3] == ["Xi on Xi", "Omega on Xi", "Omega on Omega"]


def test_results_without_lags_have_an_empty_phi() -> None:
    results = logit(lag_indices=None).solve()
    assert results.phi.shape == results.phi_se.shape == (1, 0)
    assert results.phi_labels == ["Xi"] and "Phi" not in str(results)


def test_saved_results_are_read(tmp_path) -> None:
    results = logit().solve(phi=0.5, demand_moment_types=STACKED)
    results.save(tmp_path / "results")
    found = blpdask.read_results(tmp_path / "results")
    assert bits(found) == bits(results)
    assert found.estimates.moment_types == ("levels",) * 3 + ("innovations",) * 4


def test_a_solve_that_is_made_again_replays(tmp_path) -> None:
    problem = logit()
    given = {"phi": 0.5, "demand_moment_types": STACKED, "resume": tmp_path / "run"}
    first, again = problem.solve(**given), problem.solve(**given)
    assert bits(again) == bits(first)
    with pytest.raises(Exception, match="moments and lags"):
        problem.solve(**{**given, "demand_moment_types": [*reversed(STACKED)]})


def test_iterated_steps_settle() -> None:
    results = logit().solve(phi=0.5, demand_moment_types=STACKED, method="iterated")
    assert results.converged
    before = results.last_results
    assert distance(results.theta, before.theta) <= 1e-5
    assert distance(results.W, before.updated_W) == 0


# What is asked of results


def test_other_rules_evaluate_the_same_moments() -> None:
    problem = drawn()
    results = problem.solve(
        sigma=0.5, phi=0.4, demand_moment_types=STACKED, method="1s"
    )
    same = blpdask.Integration("monte_carlo", 20, {"seed": 0})
    frame = results.compute_integration_error([same])
    assert abs(frame["change"].iloc[0]) <= 1e-8 * results.objective


def test_halves_of_the_draws_are_solved_with_the_same_moments() -> None:
    problem = drawn()
    arguments = {"phi": 0.4, "demand_moment_types": STACKED, "method": "1s"}
    results = problem.solve(sigma=0.5, **arguments)
    found = results.draw_jackknife()
    assert found.parts.shape == (2, results.parameters.size)
    assert "Xi on Xi" in found.labels
    place = found.labels.index("Xi on Xi")
    assert found.jackknifed.phi[0, 0] == pytest.approx(
        2 * results.phi[0, 0] - found.parts[:, place].mean()
    )


def test_optimal_instruments_say_what_they_are_not() -> None:
    results = supply().solve(
        beta=[None, -2, None],
        phi=0.4 * np.eye(2),
        demand_moment_types=STACKED,
        supply_moment_types="innovations",
        method="1s",
        optimization=blpdask.Optimization("return"),
    )
    with pytest.warns(DataWarning, match="in levels"):
        found = results.compute_optimal_instruments("approximate")
    places = [i for i, name in enumerate(results.theta_labels) if " on " in name]
    assert (found.demand_instruments[:, places] == 0).all()
    problem = found.to_problem()
    kept = results.theta.size - len(places)
    # the supply shifter w, one; then exogenous characteristics
    assert kept + 1 + 2 == problem.MD
    again = problem.solve(
        beta=[None, -2, None],
        phi=0.4 * np.eye(2),
        phi_bounds=(0.4 * np.eye(2), 0.4 * np.eye(2)),
        demand_moment_types="innovations",
        supply_moment_types="innovations",
        method="1s",
    )
    assert np.isfinite(again.parameter_covariances).all()


def test_the_table_of_products_has_lags() -> None:
    problem = logit()
    np.testing.assert_array_equal(
        problem.products.lag_indices[:, 0], table()["lag_indices"]
    )
    assert logit(lag_indices=None).products.lag_indices.shape[1] == 0


def test_other_instruments_keep_lags() -> None:
    problem = logit()
    Z = np.column_stack([table()[f"demand_instruments{m}"] for m in range(5)])
    other = problem.with_instruments(Z)
    given = {"phi": 0.5, "demand_moment_types": STACKED, "method": "1s"}
    expected, found = problem.solve(**given), other.solve(**given)
    np.testing.assert_array_equal(found.parameters, expected.parameters)
