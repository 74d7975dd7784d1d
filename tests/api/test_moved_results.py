"""Answers have the errors of the parameters and of the δ that explains the data.

References: closed forms of the logit model; differences of results that are solved for
at moved parameters; answers that do not depend on parameters, as observed shares do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.errors import BlpdaskError
from blpdask.results.parameter_places import parameter_places
from tests.api import nevo
from tests.references.specifications import quietly

STEP = 1e-4


@pytest.fixture(scope="module")
def logit() -> blpdask.ProblemResults:
    with quietly():
        return blpdask.Problem(
            blpdask.Formulation("1 + prices + sugar"), nevo.tables()[0]
        ).solve(method="2s")


def solve_at(sigma: Any, pi: Any, beta: Any) -> blpdask.ProblemResults:
    with quietly():
        return nevo.problem(blpdask, 8).solve(
            sigma,
            pi,
            beta=beta,
            method="1s",
            optimization=blpdask.Optimization("return"),
            check_optimality="gradient",
        )


@pytest.fixture(scope="module")
def results() -> blpdask.ProblemResults:
    return solve_at(nevo.SIGMA, nevo.PI, None)


def test_elasticities_of_the_logit_model(logit: blpdask.ProblemResults) -> None:
    """e_jj = α p_j (1 - s_j), and e_jk = -α p_k s_k."""
    market = logit.problem.products.market_ids[0, 0]
    found = logit.delta_method(lambda at: at.compute_elasticities(market_id=market))
    rows = logit.problem.products.market_ids[:, 0] == market
    p, s = (logit.problem.products[n][rows, 0] for n in ("prices", "shares"))
    per_alpha = -np.tile(p * s, (p.size, 1)) + np.diag(p)
    np.testing.assert_allclose(found.value, logit.beta[1, 0] * per_alpha, rtol=1e-12)
    np.testing.assert_allclose(
        found.standard_errors, logit.beta_se[1, 0] * np.abs(per_alpha), rtol=1e-8
    )


def test_markups_of_the_logit_model(logit: blpdask.ProblemResults) -> None:
    """Owners of one product each mark up by 1 / (-α (1 - s_j))."""
    market = logit.problem.products.market_ids[0, 0]
    rows = logit.problem.products.market_ids[:, 0] == market
    s = logit.problem.products.shares[rows, 0]
    firms = np.arange(s.size)

    def markups(at: Any) -> Any:
        costs = at.compute_costs(firm_ids=firms, market_id=market)
        return logit.problem.products.prices[rows, 0] - costs[:, 0]

    found = logit.delta_method(markups)
    alpha = logit.beta[1, 0]
    np.testing.assert_allclose(found.value, 1 / (-alpha * (1 - s)), rtol=1e-12)
    np.testing.assert_allclose(
        found.standard_errors, found.value / -alpha * logit.beta_se[1, 0], rtol=1e-8
    )


def test_answers_move_with_delta(results: blpdask.ProblemResults) -> None:
    """The Jacobian is that of results that are solved for at moved parameters."""

    def ask(at: Any) -> Any:
        own = at.extract_diagonals(at.compute_elasticities())
        return [own.mean(), at.compute_consumer_surpluses().mean()]

    found = results.delta_method(ask)
    places = parameter_places(results.estimates)
    for column in (0, 4, -1):
        name, k, c = places[column].matrix, places[column].row, places[column].column
        ends = []
        for sign in (1, -1):
            at = {n: np.array(getattr(results, n)) for n in ("sigma", "pi", "beta")}
            step = sign * STEP * abs(at[name][k, c])
            at[name][k, c] += step
            moved = solve_at(**at)
            assert getattr(moved, name)[k, c] == at[name][k, c]
            ends.append((np.array(ask(moved)), step))
        slope = (ends[0][0] - ends[1][0]) / (ends[0][1] - ends[1][1])
        np.testing.assert_allclose(found.jacobian[:, column], slope, rtol=1e-5)


def test_what_the_data_fix_has_no_error(results: blpdask.ProblemResults) -> None:
    """Shares at observed prices, and prices without any change, are the data's."""
    market = results.problem.products.market_ids[0, 0]
    rows = results.problem.products.market_ids[:, 0] == market
    observed = results.problem.products

    def ask(at: Any) -> Any:
        shares = at.compute_shares(market_id=market)[:, 0]
        return np.r_[shares, at.compute_prices(market_id=market)[:, 0]]

    found = results.delta_method(ask)
    expected = np.r_[observed.shares[rows, 0], observed.prices[rows, 0]]
    np.testing.assert_allclose(found.value, expected, rtol=1e-9)
    scale = np.abs(results.parameters[:, 0])
    np.testing.assert_allclose(found.jacobian * scale, 0, atol=1e-8)


def test_questions_need_the_problem(results: blpdask.ProblemResults, tmp_path) -> None:
    results.save(tmp_path / "kept")
    kept = blpdask.read_results(tmp_path / "kept")
    ours = kept.delta_method(lambda at: at.sigma_squared)
    theirs = results.delta_method(lambda at: at.sigma_squared)
    np.testing.assert_array_equal(ours.standard_errors, theirs.standard_errors)
    with pytest.raises(BlpdaskError, match="problem"):
        kept.delta_method(lambda at: at.compute_markups().mean())
