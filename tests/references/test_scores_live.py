"""Samples, scores and sampled agents are what the installed PyBLP gives.

Scores to 1e-8 in norm, over all markets at once: where a parameter moves nothing in a
market both give rounding. Samples and accepted agents are the same one by one, for both
take the same uniform numbers. PyBLP's samples of several markets depend on the hash
seed, and are not compared.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.references.drawn_scores import (
    MARKETS,
    SHAPES,
    draw_observations,
    draw_survey,
    table,
)
from tests.references.specifications import (
    FIXED,
    build_here,
    build_there,
    distance,
    quietly,
    solve_here,
    solve_there,
)

pyblp = pytest.importorskip("pyblp")

import blpdask  # noqa: E402

SEEDS = tuple(range(24))
TOLERANCE = 1e-8
FEATURES = frozenset(
    {
        *(f"shape={shape}" for shape in SHAPES),
        *(f"markets={where}" for where in MARKETS),
        *(f"of agents={flag}" for flag in (False, True)),
        *(f"grouped={flag}" for flag in (False, True)),
        *("nests", "distances", "availability", "both", "scale"),
        *("rho zero", "rho one", "rho each", "rho fixed"),
    }
)


@cache
def solved(seed: int) -> tuple[Any, Any]:
    """Evaluate the problem of a seed in both packages."""
    drawn = draw_survey(seed)
    arguments = {**drawn.solution, **FIXED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here, there = build_here(drawn.specification), build_there(drawn.specification)
        return solve_here(here, **arguments), solve_there(there, **arguments)


def there(call: Any, *arguments: Any, **named: Any) -> Any:
    """Call PyBLP, printing nothing."""
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **named)


def joined(scores: dict[Any, Any]) -> Any:
    return np.concatenate([scores[t].ravel() for t in sorted(scores)])


def gap(found: Any, expected: Any) -> float:
    """Measure distance; zero and rounding are the same."""
    if np.nanmax(np.abs(expected), initial=0) < 1e-12:
        return float(np.nanmax(np.abs(found), initial=0))
    return distance(found, expected)


def same(found: Any, expected: Any) -> bool:
    assert found.dtype == expected.dtype
    return all((found[name] == expected[name]).all() for name in found.dtype.names)


def test_the_draws_cross_every_feature() -> None:
    crossed = frozenset().union(*(draw_survey(seed).features for seed in SEEDS))
    assert crossed >= FEATURES, FEATURES - crossed


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_of_agents(seed: int) -> None:
    drawn = draw_survey(seed)
    ours, theirs = solved(seed)
    found = ours.compute_agent_scores(drawn.dataset(blpdask))
    expected = there(theirs.compute_agent_scores, drawn.dataset(pyblp))
    assert len(found) == len(expected) == theirs.theta.size
    for a, b in zip(found, expected, strict=True):
        assert {t: s.shape for t, s in a.items()} == {t: s.shape for t, s in b.items()}
        assert gap(joined(a), joined(b)) < TOLERANCE


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_of_observations(seed: int) -> None:
    drawn = draw_survey(seed)
    ours, theirs = solved(seed)
    data = draw_observations(drawn, theirs.problem, 40)
    found = ours.compute_micro_scores(drawn.dataset(blpdask), table(data))
    expected = there(
        theirs.compute_micro_scores, drawn.dataset(pyblp), micro_data=table(data)
    )
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert gap(a, b) < TOLERANCE


@pytest.mark.parametrize("seed", [0, 3, 10, 11])
def test_observations_integrated_by_a_rule(seed: int) -> None:
    drawn = draw_survey(seed)
    ours, theirs = solved(seed)
    data = draw_observations(drawn, theirs.problem, 30, rows=1)
    for rule in (("product", 3), ("monte_carlo", 5, {"seed": 4})):
        one, other = blpdask.Integration(*rule), pyblp.Integration(*rule)
        found = ours.compute_micro_scores(drawn.dataset(blpdask), table(data), one)
        expected = there(
            theirs.compute_micro_scores, drawn.dataset(pyblp), table(data), other
        )
        for a, b in zip(found, expected, strict=True):
            assert gap(a, b) < TOLERANCE


@pytest.mark.parametrize(
    "seed", [s for s in SEEDS if "markets=all but one" not in draw_survey(s).features]
)
def test_simulated_observations(seed: int) -> None:
    drawn = draw_survey(seed)
    ours, theirs = solved(seed)
    found = ours.simulate_micro_data(drawn.dataset(blpdask, 2000), seed=seed)
    expected = there(theirs.simulate_micro_data, drawn.dataset(pyblp, 2000), seed=seed)
    assert same(found, expected)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 9])
def test_sampled_agents_and_their_problem(seed: int) -> None:
    drawn = draw_survey(seed)
    ours, theirs = solved(seed)
    arguments: dict[str, Any] = {"draws": 8, "seed": 5}
    others = dict(arguments)
    if drawn.specification.demographics is None:
        rule = ("monte_carlo", 400, {"seed": 1})
        arguments |= {"ar_constant": 1.5, "integration": blpdask.Integration(*rule)}
        others |= {"ar_constant": 1.5, "integration": pyblp.Integration(*rule)}
    found = ours.importance_sampling(**arguments)
    expected = there(theirs.importance_sampling, **others)
    assert (found.diagnostic_market_ids == expected.diagnostic_market_ids).all()
    for name in (
        "weight_sums",
        "effective_draws",
        "effective_draws_for_variance",
        "effective_draws_for_skewness",
    ):
        assert distance(getattr(found, name), getattr(expected, name)) < 1e-12
    sampled, wanted = found.sampled_agents, expected.sampled_agents
    assert (sampled.market_ids == wanted.market_ids).all()
    assert np.array_equal(sampled.nodes, wanted.nodes)
    assert distance(sampled.weights, wanted.weights) < 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = solve_here(found.to_problem(), **drawn.solution, **FIXED)
        other = there(expected.to_problem)
        wished = solve_there(other, **drawn.solution, **FIXED)
    assert distance(again.delta, wished.delta) < 1e-10
    assert distance(again.objective, wished.objective) < TOLERANCE


def simulated(package: Any) -> Any:
    """Solve a simulation with demographics and supply."""
    ids = pyblp.build_id_data(T=6, J=5, F=2)
    rng = np.random.default_rng(0)
    agents = {
        "market_ids": np.repeat(np.unique(ids.market_ids), 20),
        "weights": np.full(120, 1 / 20),
        "nodes": rng.normal(size=(120, 3)),
        "y": rng.normal(size=120),
    }
    with quietly():
        return package.Simulation(
            tuple(map(package.Formulation, ("1 + prices + x", "1 + prices + x", "z"))),
            ids,
            beta=[1, -2, 1],
            sigma=np.diag([0.5, 0.3, 0]),
            pi=[[0.2], [0], [0.3]],
            gamma=[1, 0.5],
            agent_formulation=package.Formulation("0 + y"),
            agent_data=agents,
            seed=3,
        ).replace_endogenous()


def test_results_of_a_simulation() -> None:
    ours, theirs = simulated(blpdask), simulated(pyblp)
    shapes: Any = [
        lambda t, p, a: np.ones((a.size, 1 + p.size)),
        lambda t, p, a: np.ones((a.size, p.size, 1 + p.size)) * p.prices,
    ]
    for shape in shapes:
        one = blpdask.MicroDataset("d", 500, shape)
        other = pyblp.MicroDataset("d", 500, shape)
        assert same(
            ours.simulate_micro_data(one, 1),
            there(theirs.simulate_micro_data, other, seed=1),
        )
        found = ours.compute_agent_scores(one)
        expected = there(theirs.compute_agent_scores, other)
        for a, b in zip(found, expected, strict=True):
            assert gap(joined(a), joined(b)) < TOLERANCE


def moments(package: Any) -> list[Any]:
    """Compare a mean, and a ratio of means, with nothing."""
    survey = package.MicroDataset(
        "survey", 500, lambda t, p, a: np.ones((a.size, 1 + p.size))
    )
    buyers = package.MicroDataset(
        "buyers", 500, lambda t, p, a: np.ones((a.size, p.size))
    )
    price = package.MicroPart(
        "price",
        survey,
        lambda t, p, a: np.tile(np.r_[0, p.prices[:, 0]], (a.size, 1)),
    )
    y = package.MicroPart(
        "y",
        buyers,
        lambda t, p, a: np.tile(a.demographics[:, [0]], (1, p.size)),
    )
    return [
        package.MicroMoment("price", 0, price),
        package.MicroMoment(
            "both", 0, [price, y], lambda v: v[0] / v[1], lambda v: [1 / v[1], 0]
        ),
    ]


def test_micro_values() -> None:
    found = simulated(blpdask).compute_micro_values(moments(blpdask))
    expected = there(simulated(pyblp).compute_micro_values, moments(pyblp))
    assert found.shape == expected.shape
    assert distance(found, expected) < 1e-10
