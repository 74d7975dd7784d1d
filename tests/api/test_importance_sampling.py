"""Agents who were sampled integrate as many candidates do, with few draws."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.analysis.estimated_markets import choices_in_parts
from blpdask.api.estimated_errors import estimated_layout
from blpdask.errors import InputError
from tests.references.specifications import FIXED, quietly, solve_here

T, J, CANDIDATES = 6, 4, 20_000


@cache
def solved() -> Any:
    """Solve a problem with demographics on a fine rule, outside shares large."""
    rng = np.random.default_rng(5)
    products = pd.DataFrame(
        {
            "market_ids": np.repeat([f"m{t}" for t in range(T)], J),
            "shares": rng.dirichlet(np.ones(J), T).ravel() * 0.1,
            "prices": rng.uniform(1, 2, T * J),
            "demand_instruments0": rng.normal(size=T * J),
            "demand_instruments1": rng.normal(size=T * J),
            "demand_instruments2": rng.normal(size=T * J),
            "demand_instruments3": rng.normal(size=T * J),
        }
    )
    people = candidates(300, seed=1)
    with quietly():
        problem = blpdask.Problem(
            (blpdask.Formulation("1 + prices"), blpdask.Formulation("1 + prices")),
            products,
            blpdask.Formulation("0 + income"),
            people,
        )
    return solve_here(
        problem, sigma=np.diag([2.0, 0.5]), pi=[[1.0], [0.0]], method="1s", **FIXED
    )


def candidates(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "market_ids": np.repeat([f"m{t}" for t in range(T)], n),
            "weights": 1 / n,
            "nodes0": rng.normal(size=T * n),
            "nodes1": rng.normal(size=T * n),
            "income": rng.normal(size=T * n),
        }
    )


def shares_of(results: Any, problem: Any, delta: Any) -> tuple[Any, Any]:
    """Give shares with a problem's agents, and their standard errors."""
    economy = replace(
        results.estimated_economy("test"),
        demand=problem.demand,
        parameters=estimated_layout(results.estimates, problem.outline),
    )
    markets, shares, errors = economy.markets(delta), [], []
    for t in range(T):
        block = markets.block(t)
        ((_, first),) = choices_in_parts(
            block,
            markets.tastes,
            markets.delta_of(t),
            np.empty((J, 0)),
            cells_per_agent=J,
        )
        weighted = block.weights[:, None] * first.P[:, 1:]
        shares.append(weighted.sum(axis=0))
        errors.append(weighted.std(axis=0) * np.sqrt(len(weighted)))
    return np.concatenate(shares), np.concatenate(errors)


def test_sampled_agents_integrate_as_all_candidates_do() -> None:
    """Shares of 1,000 draws of 20,000 are those of all within four standard errors.

    δ is the one that makes shares of the candidates right.
    """
    results = solved()
    people = candidates(CANDIDATES, seed=2)
    with quietly():
        fine = results.problem.with_agents(people)
        again = solve_here(
            fine, sigma=results.sigma, pi=results.pi, method="1s", **FIXED
        )
    found = results.importance_sampling(
        1000, seed=3, agent_data=people.drop(columns="weights"), delta=again.delta
    )
    brute, _ = shares_of(results, fine, again.delta[:, 0])
    sampled, errors = shares_of(results, found.to_problem(), again.delta[:, 0])
    np.testing.assert_allclose(brute, results.problem.products.shares[:, 0], rtol=1e-9)
    assert (np.abs(sampled - brute) <= 4 * errors).all()
    plain = results.problem.with_agents(candidates(1000, seed=4))
    _, without = shares_of(results, plain, again.delta[:, 0])
    assert (errors < 0.6 * without).all()
    assert (np.abs(found.weight_sums - 1) < 0.25).all()


def test_inside_shares_are_right_by_construction() -> None:
    """Each weight times the probability to buy is one draw's part of 1 - s_0."""
    results = solved()
    found = results.importance_sampling(10, seed=3)
    shares, _ = shares_of(results, found.to_problem(), results.delta[:, 0])
    inside = results.problem.products.shares.reshape(T, J).sum(axis=1)
    np.testing.assert_allclose(shares.reshape(T, J).sum(axis=1), inside, rtol=1e-12)


def test_diagnostics_are_sums_of_powers() -> None:
    found = solved().importance_sampling(10, 1.2, seed=3)
    w = found.sampled_agents.weights.reshape(T, 10)
    sums = {p: (w**p).sum(axis=1, keepdims=True) for p in (1, 2, 3, 4)}
    for name, expected in {
        "weight_sums": sums[1],
        "effective_draws": sums[1] ** 2 / sums[2],
        "effective_draws_for_variance": sums[2] ** 2 / sums[4],
        "effective_draws_for_skewness": sums[2] ** 3 / sums[3] ** 2,
    }.items():
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-13)
    assert "Importance Sampling" in str(found)
    assert set(found.to_dict()) >= {"draws", "sampled_agents"}


def test_the_new_problem_solves_and_has_no_rule() -> None:
    results = solved()
    again = results.importance_sampling(20, seed=3).to_problem()
    assert again.I == 20 * T and again.integration_rule is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = solve_here(
            again, sigma=results.sigma, pi=results.pi, method="1s", **FIXED
        )
    assert bool(found.fp_converged.all())


def test_bad_arguments_are_refused_in_one_message() -> None:
    results = solved()
    with pytest.raises(InputError) as caught:
        results.importance_sampling(0, 0.5, seed=-1, integration="halton")
    for part in ("draws=0", "ar_constant=0.5", "seed", "an Integration or None"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=r"accepted agents in 6 markets \(m0: "):
        results.importance_sampling(250, seed=0)
    alone = pickle.loads(pickle.dumps(results))
    with pytest.raises(blpdask.exceptions.BlpdaskError, match="without their problem"):
        alone.importance_sampling(5)
