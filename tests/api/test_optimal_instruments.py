"""Optimal instruments as users meet them: problems made of them, what is refused."""

from __future__ import annotations

import pickle
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask import Formulation, Iteration
from blpdask.errors import BlpdaskError, InputError
from tests.references.specifications import distance, quietly

X1 = Formulation("1 + prices + x")
X2 = Formulation("0 + prices + x")
X3 = Formulation("1 + x + w")
FIXED = blpdask.Optimization("return")


@pytest.fixture(scope="module", autouse=True)
def quiet():
    with quietly():
        yield


@cache
def simulated(T: int = 30, J: int = 6, seed: int = 4) -> tuple[Any, Any]:
    """Simulate markets; give the simulation and its solution."""
    with quietly():
        simulation = blpdask.Simulation(
            (X1, X2, X3),
            blpdask.build_id_data(T, J, 3),
            beta=[1.0, -3.0, 1.0],
            sigma=np.diag([0.4, 1.2]),
            gamma=[1.0, 0.3, 0.5],
            integration=blpdask.Integration("product", 4),
            xi_variance=0.1,
            omega_variance=0.05,
            correlation=0.5,
            seed=seed,
        )
        return simulation, simulation.replace_endogenous(engine="serial")


@cache
def at_truth(supply: bool = True) -> blpdask.ProblemResults:
    """Evaluate at the true parameters."""
    simulation, solution = simulated()
    with quietly():
        problem = solution.to_problem() if supply else demand_alone(solution)
        return problem.solve(
            sigma=simulation.sigma,
            beta=[None, -3.0, None] if supply else None,
            method="1s",
            optimization=FIXED,
            check_optimality="gradient",
        )


def demand_alone(solution: Any) -> blpdask.Problem:
    """Make the problem of the demand side."""
    data = solution.to_problem().products
    columns = {n: data[n] for n in ("market_ids", "shares", "prices", "x")}
    MD = data["ZD"].shape[1] - 2  # X1 without prices comes last
    columns["demand_instruments"] = data["ZD"][:, :MD]
    return blpdask.Problem((X1, X2), columns, integration=simulated()[0].integration)


def test_a_problem_has_them_with_shifters_and_exogenous_characteristics() -> None:
    results = at_truth()
    found = results.compute_optimal_instruments()
    assert str(found.supply_shifter_formulation) == "w"
    assert found.demand_shifter_formulation is None
    problem = found.to_problem()
    # σ of prices and x, α; w; 1 and x. Supply: the same three; 1, x and w.
    assert (problem.MD, problem.MS) == (3 + 1 + 2, 3 + 3)
    data = results.problem.products
    expected = np.hstack([found.demand_instruments, data["w"], data["X1"][:, [0, 2]]])
    assert distance(problem.products.ZD, expected) < 1e-14
    expected = np.hstack([found.supply_instruments, data["X3"]])
    assert distance(problem.products.ZS, expected) < 1e-14
    assert results.problem.MD != problem.MD
    again = problem.solve(
        sigma=results.sigma,
        beta=[None, -3.0, None],
        method="1s",
        optimization=FIXED,
        check_optimality="gradient",
    )
    assert distance(again.delta, results.delta) < 1e-12
    assert np.isfinite(again.sigma_se[again.sigma != 0]).all()


def test_columns_and_shifters_can_be_chosen() -> None:
    found = at_truth().compute_optimal_instruments()
    data = at_truth().problem.products
    given = {name: data[name][:, 0] for name in ("x", "w")} | {
        "kind": np.arange(len(data)) % 3
    }
    problem = found.to_problem(
        supply_shifter_formulation=Formulation("1 + w + I(w ** 2)"),
        demand_shifter_formulation=Formulation("kind + C(kind):I(x ** 2)"),
        product_data=given,
        drop_indices=[1],
    )
    Z = problem.products.ZD
    assert distance(Z[:, :2], found.demand_instruments[:, [0, 2]]) < 1e-14
    assert distance(Z[:, 2:4], np.column_stack([given["w"], given["w"] ** 2])) < 1e-14
    kinds = (given["kind"][:, None] == np.arange(3)) * data["x"] ** 2
    built = np.column_stack([given["kind"], kinds])
    assert distance(problem.products.ZS[:, 2:6], built) < 1e-14
    none = found.to_problem(supply_shifter_formulation=Formulation("1"))
    assert none.MD == 3 + 2


def test_demand_alone_has_expected_prices_for_coefficients_not_in_theta() -> None:
    found = at_truth(supply=False).compute_optimal_instruments()
    problem = found.to_problem()
    assert problem.MD == 2 + 1 + 2
    assert distance(problem.products.ZD[:, [2]], found.expected_prices) < 1e-14
    assert found.supply_shifter_formulation is None
    assert not found.fp_iterations.any() and found.fp_converged.all()


def test_plain_logit_by_predicted_prices_is_two_stage_least_squares() -> None:
    """Instruments that predict prices, or the prediction: one estimate."""
    _, solution = simulated()
    columns = {
        n: demand_alone(solution).products[n] for n in ("market_ids", "shares", "x")
    }
    columns["prices"] = solution.product_data["prices"]
    columns["demand_instruments"] = blpdask.build_blp_instruments(
        Formulation("0 + x"), solution.product_data
    )
    problem = blpdask.Problem(X1, columns)
    results = problem.solve(method="1s")
    again = results.compute_optimal_instruments().to_problem().solve(method="1s")
    assert again.problem.MD == 3 and results.theta.size == 0
    assert distance(again.beta, results.beta) < 1e-9
    assert float(again.objective) < 1e-12


def test_shares_among_cost_characteristics_are_instrumented() -> None:
    """Expected prices are predicted, and the column has expected shares."""
    _, solution = simulated()
    data = solution.to_problem().products
    columns = {
        n: data[n] for n in ("market_ids", "firm_ids", "shares", "prices", "x", "w")
    }
    columns["demand_instruments"] = data["ZD"][:, :-2]
    columns["supply_instruments"] = data["ZS"][:, :-3]
    cost = Formulation("1 + x + w + shares")
    problem = blpdask.Problem(
        (X1, X2, cost), columns, integration=simulated()[0].integration
    )
    results = problem.solve(
        sigma=np.diag([0.4, 1.2]),
        beta=[None, -3.0, None],
        method="1s",
        optimization=FIXED,
        check_optimality="gradient",
    )
    found = results.compute_optimal_instruments()
    assert not found.fp_iterations.any()
    Z = found.to_problem().products.ZS
    assert distance(Z[:, [3]], found.expected_shares) < 1e-14
    assert np.abs(Z - columns["shares"]).max(axis=0).min() > 1e-6
    searched = results.compute_optimal_instruments(
        iteration=Iteration("simple", {"atol": 1e-12}), constant_costs=False
    )
    assert searched.fp_iterations.any() and searched.fp_converged.all()
    constant = results.compute_optimal_instruments(
        iteration=Iteration("simple", {"atol": 1e-12})
    )
    assert distance(constant.expected_prices, searched.expected_prices) > 1e-8


def test_results_as_a_dictionary_a_pickle_and_in_print(tmp_path: Any) -> None:
    found = at_truth().compute_optimal_instruments("normal", draws=2, seed=0)
    assert found.to_dict()["draws"] == 2
    assert found.to_dict()["fp_converged"].shape == (30, 2)
    assert "Error Term" in str(found) and "Contraction" in repr(found)
    found.to_pickle(tmp_path / "found")
    again = blpdask.read_pickle(tmp_path / "found")
    assert np.array_equal(again.demand_instruments, found.demand_instruments)
    with pytest.raises(BlpdaskError, match="without their problem"):
        again.to_problem()
    with pytest.raises(BlpdaskError, match="without their problem"):
        pickle.loads(pickle.dumps(at_truth())).compute_optimal_instruments()


def test_progress_is_told_of_draws() -> None:
    told: list[Any] = []
    at_truth().compute_optimal_instruments(
        "empirical", draws=25, seed=0, progress=told.append, engine="serial"
    )
    messages = [event.message for event in told if hasattr(event, "message")]
    assert messages[0] == "Errors, draw 1 of 25" and 10 <= len(messages) <= 13


def test_prices_may_be_given() -> None:
    results = at_truth()
    observed = results.problem.products.prices
    found = results.compute_optimal_instruments(expected_prices=1.1 * observed)
    assert np.array_equal(found.expected_prices, 1.1 * observed)
    assert not found.fp_iterations.any()


def test_every_fault_is_reported_at_once() -> None:
    results, alone = at_truth(), at_truth(supply=False)
    with pytest.raises(InputError) as caught:
        results.compute_optimal_instruments(
            "median",
            draws=0,
            seed=-1,
            expected_prices=[1.0, np.nan],
            iteration=Iteration("newton"),
            backend="fortran",
            blocks=0,
        )
    text = str(caught.value)
    for part in ("method='median'", "draws=0", "seed=-1", "expected_prices of size 2"):
        assert part in text
    for part in ("Iteration('newton') for prices", "backend='fortran'", "blocks=0"):
        assert part in text
    assert caught.value.subject == "compute_optimal_instruments"
    with pytest.raises(InputError, match="iteration without a supply side"):
        alone.compute_optimal_instruments(iteration=Iteration("simple"))
    with pytest.raises(InputError, match=r"draws=1\.5"):
        alone.compute_optimal_instruments("normal", draws=1.5)
    found = results.compute_optimal_instruments()
    with pytest.raises(InputError) as caught:
        found.to_problem(
            supply_shifter_formulation=Formulation("0 + unknown"),
            demand_shifter_formulation="x",
            drop_indices=[7],
        )
    text = str(caught.value)
    for part in ("no variable 'unknown'", "of type str", "drop_indices=[7]"):
        assert part in text
    with pytest.raises(InputError, match="of 2 rows"):
        found.to_problem(
            supply_shifter_formulation=Formulation("0 + z"),
            product_data={"z": [1.0, 2.0]},
        )
    with pytest.raises(InputError, match="without a supply side"):
        alone.compute_optimal_instruments().to_problem(
            supply_shifter_formulation=Formulation("0 + x")
        )


def test_other_instruments_are_checked() -> None:
    problem = at_truth().problem
    with pytest.raises(InputError, match=r"shape \(2, 1\)"):
        problem.with_instruments([1.0, 2.0])
    with pytest.raises(InputError, match="without a supply side"):
        at_truth(supply=False).problem.with_instruments(
            np.ones(problem.N), np.ones(problem.N)
        )
    found = problem.with_instruments(problem.products.w)
    assert (found.MD, found.MS) == (3, problem.MS)
    assert distance(found.products.ZS, problem.products.ZS) < 1e-14


def test_rows_in_a_store_are_refused(tmp_path: Any) -> None:
    data = at_truth().problem.products
    names = ("market_ids", "firm_ids", "shares", "prices", "x", "w")
    columns = {name: np.ravel(data[name]) for name in names}
    columns |= {
        f"demand_instruments{m}": data["ZD"][:, m] for m in range(data.ZD.shape[1] - 2)
    }
    store = blpdask.build_store(tmp_path / "store", columns)
    problem = blpdask.Problem(X1, store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = problem.solve(method="1s")
    with pytest.raises(BlpdaskError, match="whose data are in the store"):
        results.compute_optimal_instruments()


def test_estimates_are_less_dispersed() -> None:
    """Small Monte Carlo: root mean square errors of σ and α over 30 samples.

    Sums of rivals' characteristics say little of σ; costs say the same of α in both.
    """
    errors: dict[str, list[list[float]]] = {"sums": [], "optimal": []}
    for seed in range(30):
        simulation = blpdask.Simulation(
            (X1, Formulation("0 + x"), X3),
            blpdask.build_id_data(25, 10, 3),
            beta=[1.0, -3.0, 1.0],
            sigma=3.0,
            gamma=[1.0, 0.3, 0.5],
            integration=blpdask.Integration("product", 5),
            xi_variance=0.1,
            omega_variance=0.05,
            correlation=0.5,
            seed=seed,
        )
        how = {"beta": [None, -3.0, None], "method": "1s", "sigma": 3.0}
        problem = simulation.replace_endogenous().to_problem()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first = problem.solve(**how, check_optimality="gradient")
            optimal = first.compute_optimal_instruments().to_problem()
            second = optimal.solve(**how, check_optimality="gradient")
        for name, results in (("sums", first), ("optimal", second)):
            sigma, alpha = abs(results.sigma[0, 0]), results.beta[1, 0]
            errors[name].append([sigma - 3.0, alpha + 3.0])
    rmse = {n: np.sqrt(np.mean(np.square(e), axis=0)) for n, e in errors.items()}
    sigma, alpha = rmse["optimal"] / rmse["sums"]
    assert sigma < 0.8 and alpha < 1.05, rmse
