"""Covariance moments in the public classes: what is refused, counted, kept, printed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import blpdask
from blpdask.errors import DataWarning, InputError, NumericalError
from blpdask.jobs.run import prepare_job, run_job
from tests.references.specifications import distance, quietly

BETA = [None, -1.7, None]


def table(**changed: Any) -> dict[str, Any]:
    """Make thirty markets of six products, with two covariance instruments."""
    rng = np.random.default_rng(2)
    J, T = 6, 30
    N = J * T
    data = {
        "market_ids": np.repeat(np.arange(T), J),
        "firm_ids": np.tile(np.arange(J) // 2, T),
        "shares": rng.uniform(0.02, 0.12, N),
        "prices": rng.uniform(2.0, 4.0, N),
        "x": rng.normal(size=N),
        "demand_instruments0": rng.normal(size=N),
        "supply_instruments0": rng.normal(size=N),
        "covariance_instruments0": np.ones(N),
        "covariance_instruments1": rng.normal(size=N),
    }
    data.update(changed)
    return {name: values for name, values in data.items() if values is not None}


def build(**changed: Any) -> Any:
    """Build the plain logit with supply."""
    formulas = (
        blpdask.Formulation("1 + prices + x"),
        None,
        blpdask.Formulation("1 + x"),
    )
    with quietly():
        return blpdask.Problem(formulas, table(**changed))


def solve(problem: Any, **arguments: Any) -> Any:
    """Solve from one starting value, one step unless said otherwise."""
    with quietly():
        return problem.solve(**{"beta": BETA, "method": "1s", **arguments})


@pytest.fixture(scope="module")
def results() -> Any:
    return solve(build(), covariance_moments_mean=0.1, method="2s")


def test_moments_are_counted_and_printed(results: Any) -> None:
    problem = results.problem
    assert (problem.MD, problem.MS, problem.MC) == (3, 3, 2)
    lines = str(problem).splitlines()
    header = next(line for line in lines if "MC" in line).split()
    values = lines[lines.index(next(x for x in lines if "MC" in x)) + 2].split()
    assert dict(zip(header, values, strict=True))["MC"] == "2"
    assert results.moments.shape == (8, 1)
    assert results.W.shape == results.updated_W.shape == (8, 8)
    assert results.moments_jacobian.shape == (8, 5)
    assert results.parameter_sensitivity.shape == (5, 8)
    assert problem.products.ZC.shape == (problem.N, 2)
    assert results.hansen_degrees == 3
    none = {f"covariance_instruments{m}": None for m in range(2)}
    assert "MC" not in str(build(**none))


def test_saved_results_are_the_same(results: Any, tmp_path: Any) -> None:
    results.save(tmp_path / "r")
    again = blpdask.read_results(tmp_path / "r")
    assert again.estimates.n_covariance_moments == 2
    assert again.estimates.covariance_moments_mean == 0.1
    assert float(again.run_hansen_test()) == float(results.run_hansen_test())


def test_without_a_supply_side_they_are_left_out_as_supply_instruments_are() -> None:
    with quietly():
        problem = blpdask.Problem(blpdask.Formulation("1 + prices + x"), table())
    assert problem.MC == problem.MS == 0
    with pytest.raises(InputError, match=r"mean=0\.2 without"):
        solve(problem, beta=None, covariance_moments_mean=0.2)


@pytest.mark.parametrize("mean", ["one", np.nan, True, [0.0]])
def test_a_mean_that_is_no_number(mean: Any) -> None:
    with pytest.raises(InputError, match="covariance_moments_mean"):
        solve(build(), covariance_moments_mean=mean)


def test_all_that_cannot_be_combined_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        solve(
            build(),
            finite_differences=True,
            resample_agent_data=lambda _: None,
            W=np.eye(6),
        )
    said = str(caught.value)
    assert "finite_differences=True with covariance instruments" in said
    assert "resample_agent_data with covariance instruments" in said
    assert "8 by 8" in said


def test_instruments_that_are_not_finite_or_too_short() -> None:
    wrong = np.ones(180)
    wrong[3] = np.nan
    with pytest.raises(InputError, match="covariance_instruments"):
        build(covariance_instruments1=wrong)
    with pytest.raises(InputError, match="170 rows of covariance_instruments"):
        build(
            covariance_instruments0=None,
            covariance_instruments1=None,
            covariance_instruments=np.ones((170, 2)),
        )


def test_collinear_instruments_are_named() -> None:
    with pytest.warns(DataWarning, match=r"ZC: \[covariance_instruments1\]"):
        build(covariance_instruments1=np.full(180, 2.0))


def test_concentrated_parameters_need_instruments_of_their_own() -> None:
    changed = {"demand_instruments0": None, "supply_instruments0": None}
    problem = build(**changed)
    assert problem.MD + problem.MS == 4
    found = solve(problem)
    assert found.moments.size == 6 and found.parameters.size == 5
    assert np.isfinite(found.beta_se).all()


def test_concentrated_parameters_that_linear_moments_do_not_identify() -> None:
    """Three linear instruments for four parameters, of moments that are enough."""
    data = table(
        demand_instruments0=np.ones(180),
        supply_instruments0=np.ones(180),
        supply_instruments1=np.arange(180.0),
    )
    formulas = (
        blpdask.Formulation("1 + prices + x"),
        None,
        blpdask.Formulation("1 + x"),
    )
    with quietly():
        problem = blpdask.Problem(formulas, data, add_exogenous=False)
    assert problem.MD + problem.MS + problem.MC == 5
    with pytest.raises(InputError, match="3 instruments of demand and supply for 4"):
        solve(problem)


def test_tests_that_need_an_objective_minimal_over_everything(results: Any) -> None:
    for test in (lambda: results.run_distance_test(results), results.run_lm_test):
        with pytest.raises(InputError, match="run_wald_test"):
            test()
    R = np.eye(1, 5)
    wald = results.run_wald_test(results.parameters[0] - 1.0, R)
    t = (results.parameters[0, 0] - 1) / results.beta_se[1, 0]
    assert float(wald) == pytest.approx(t**2, rel=1e-10)


def test_everything_in_theta_ignores_nothing() -> None:
    """Standard errors and J are the usual ones where no parameter is concentrated."""
    problem = build()
    start = solve(problem)
    found = solve(problem, beta=start.beta[:, 0], gamma=start.gamma[:, 0], method="2s")
    assert found.theta.size == 5
    G, S = found.moments_jacobian, found.moments_covariances
    A = np.linalg.inv(G.T @ found.W @ G) @ G.T @ found.W
    assert distance(found.parameter_covariances, A @ S @ A.T) < 1e-9
    assert float(found.run_hansen_test()) == float(found.objective)
    concentrated = solve(problem, method="2s")
    assert found.objective < concentrated.objective


def test_continuously_updated_weights(results: Any) -> None:
    """S(ψ̂)⁻¹ weighs, and the minimum is below q of other estimates with their own S."""
    found = solve(build(), covariance_moments_mean=0.1, method="cue")
    assert found.converged
    S = found.moments_covariances
    assert distance(found.W @ S, np.eye(8)) < 1e-8
    g, N = found.moments[:, 0], found.problem.N
    assert float(found.objective) == pytest.approx(
        N * g @ np.linalg.solve(S, g), rel=1e-8
    )
    other, S_other = results.moments[:, 0], results.moments_covariances
    assert float(found.objective) < N * other @ np.linalg.solve(S_other, other)
    assert float(found.run_hansen_test()) == float(found.objective)


def test_optimal_instruments_keep_covariance_instruments(results: Any) -> None:
    with quietly(), pytest.warns(DataWarning, match="demand and supply alone"):
        found = results.compute_optimal_instruments()
    with quietly():
        problem = found.to_problem()
    assert problem.MC == 2
    assert np.array_equal(problem.products.ZC, results.problem.products.ZC)


def test_other_rules_are_compared_at_the_same_mean() -> None:
    """The same nodes give the same objective, which m is part of."""
    formulas = (
        blpdask.Formulation("1 + prices + x"),
        blpdask.Formulation("0 + x"),
        blpdask.Formulation("1 + x"),
    )
    rule = blpdask.Integration("product", 5)
    with quietly():
        problem = blpdask.Problem(formulas, table(), integration=rule)
        found = problem.solve(
            [[0.5]],
            beta=BETA,
            method="1s",
            covariance_moments_mean=0.4,
            optimization=blpdask.Optimization("return"),
        )
        frame = found.compute_integration_error(rule)
    assert abs(frame["change"].iloc[0]) < 1e-8 * float(found.objective)


def test_a_failed_evaluation_says_so() -> None:
    """Costs that are negative have no logarithm: nothing to take effects out of."""
    formulas = (
        blpdask.Formulation("0 + prices", "C(firm_ids)"),
        None,
        blpdask.Formulation("0 + x", "C(firm_ids)"),
    )
    with quietly():
        problem = blpdask.Problem(formulas, table(), costs_type="log")
        with pytest.raises(NumericalError, match="costs"):
            problem.solve(beta=[-0.05], method="1s", error_behavior="raise")


def test_simulations_leave_them_out_and_problems_of_them_take_them() -> None:
    """As in PyBLP, a simulation keeps what its formulas name."""
    data = table()
    with quietly():
        simulation = blpdask.Simulation(
            (
                blpdask.Formulation("1 + prices + x"),
                None,
                blpdask.Formulation("1 + x"),
            ),
            data,
            beta=[1, -1.5, 1],
            gamma=[2, 0.3],
            seed=1,
        )
        solved = simulation.replace_endogenous()
        assert solved.to_problem().MC == 0
        rows = blpdask.data_to_dict(solved.to_problem().products)
        rows |= {"prices": solved.product_data["prices"]}
        rows["covariance_instruments"] = np.ones((180, 1))
        rows["x"] = data["x"]
        assert solved.to_problem(product_data=rows).MC == 1


def test_a_job_file_says_what_python_says(results: Any, tmp_path: Any) -> None:
    pd.DataFrame(table()).to_csv(tmp_path / "products.csv", index=False)
    job = {
        "name": "covariances",
        "data": {"products": {"source": "products.csv"}},
        "formulations": {"linear": "1 + prices + x", "supply": "1 + x"},
        "beta": [None, -1.7, None],
        "solve": {"method": "2s", "covariance_moments_mean": 0.1},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    estimates = run_job(prepare_job(path), output=tmp_path / "out").results.estimates
    assert distance(estimates.theta, results.theta) < 1e-9
    assert distance(estimates.gamma_se, results.gamma_se) < 1e-7
