"""The integration-error diagnostic: zero for the rule that was used, smaller for finer.

Shares under another rule equal a plain sum over its agents; the change of the objective
equals what solving the other problem at the same parameters gives.
"""

from __future__ import annotations

import numpy as np
import pytest

import blpdask
from blpdask.errors import BlpdaskError
from blpdask.simulation.markets import MarketDesign, simulate_markets


@pytest.fixture(scope="module")
def results():
    design = MarketDesign(n_markets=20, n_products=6, n_agents=100, pi=())
    data = simulate_markets(design, seed=1)
    formulas = data.formulations()
    blpdask.options.verbose = False
    problem = blpdask.Problem(
        (
            blpdask.Formulation(formulas.linear),
            blpdask.Formulation(formulas.nonlinear),
        ),
        data.product_data,
        integration=blpdask.Integration("monte_carlo", 100, {"seed": 3}),
    )
    return problem.solve(data.truth.sigma, method="1s")


def rule(size, seed):
    return blpdask.Integration("monte_carlo", size, {"seed": seed})


def test_the_rule_that_was_used_has_no_error(results):
    (row,) = results.compute_integration_error(rule(100, 3)).to_dict("records")
    assert row["largest_share_error"] < 1e-13
    assert row["change"] == pytest.approx(0.0, abs=1e-11)
    assert row["agents"] == 100


def test_errors_fall_with_the_size_of_the_rule(results):
    sizes = (20, 500, 12500)
    table = results.compute_integration_error([rule(size, 9) for size in sizes])
    between = table["share_error"].to_numpy()
    against_used = between[0] / between[1]
    assert against_used > 1.5
    # The last two compare the 100 draws that were used with ever better integrals.
    assert between[1] == pytest.approx(between[2], rel=0.5)


def test_shares_equal_a_plain_sum_over_agents(results):
    other = results.problem.with_agents(integration=rule(50, 4))
    X2, nodes = other.products["X2"], other.agents["nodes"]
    errors = []
    for market in other.unique_market_ids:
        at = other.products["market_ids"][:, 0] == market
        people = other.agents["market_ids"][:, 0] == market
        mu = X2[at] @ (nodes[people] @ results.sigma.T).T
        odds = np.exp(results.delta[at] + mu)
        shares = (odds / (1 + odds.sum(axis=0))).mean(axis=1)
        errors.append(shares / other.products["shares"][at, 0] - 1)
    stacked = np.concatenate(errors)
    (row,) = results.compute_integration_error(rule(50, 4)).to_dict("records")
    assert row["largest_share_error"] == pytest.approx(np.abs(stacked).max(), rel=1e-10)
    rms = np.sqrt(np.mean(stacked**2))
    assert row["share_error"] == pytest.approx(rms, rel=1e-10)


def test_the_objective_is_the_other_problems(results):
    other = results.problem.with_agents(integration=rule(50, 4))
    again = other.solve(
        results.sigma,
        method="1s",
        W=results.W,
        optimization=blpdask.Optimization("return"),
    )
    (row,) = results.compute_integration_error(rule(50, 4)).to_dict("records")
    assert row["objective"] == pytest.approx(float(again.objective), rel=1e-12)
    assert row["change"] == pytest.approx(row["objective"] - float(results.objective))


def test_results_from_disk_say_what_they_miss(results, tmp_path):
    results.save(tmp_path / "saved")
    with pytest.raises(BlpdaskError, match="without a problem"):
        blpdask.read_results(tmp_path / "saved").compute_integration_error(rule(5, 0))
