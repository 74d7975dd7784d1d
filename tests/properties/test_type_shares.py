"""Shares of types: what they are by hand, and derivatives.

Invariants: shares that are held give the numbers of weights made by hand; derivatives
by λ equal finite differences with and without supply, nests, availability, distances
and scales, on every backend; types that are alike leave the objective flat; the order
of agents, and the names of types, do not matter.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from blpdask.errors import DataWarning, NumericalWarning
from tests.references.drawn_nests import KINDS, draw_nests
from tests.references.drawn_types import (
    SEEDS,
    DrawnTypes,
    draw_types,
    weighted_by_hand,
)
from tests.references.specifications import build_here, distance, quietly, solve_here

STEP = 1e-4
NAMES = ("objective", "delta", "gradient", "beta", "moments", "xi", "rho", "W")
OF_SUPPLY = ("tilde_costs", "omega", "gamma")


@pytest.fixture(autouse=True)
def quiet():
    with quietly():
        yield


@cache
def built(seed: int) -> tuple[DrawnTypes, Any]:
    drawn = draw_types(seed)
    with quietly():
        return drawn, build_here(drawn.specification)


def places(results: Any) -> list[int]:
    labels = results.theta_labels
    return [p for p, label in enumerate(labels) if label.startswith("share of")]


def differentiate(solve: Any, shares: np.ndarray, row: int, read: Any) -> np.ndarray:
    """Differentiate by λ_row, the last share giving way; of fourth order."""
    move = np.zeros_like(shares)
    move[row], move[-1] = STEP, -STEP
    one, less, two, lesser = (read(solve(shares + k * move)) for k in (1, -1, 2, -2))
    return (8 * (one - less) - (two - lesser)) / (12 * STEP)


def test_the_seeds_cross_every_kind() -> None:
    crossed = frozenset().union(*(draw_nests(seed).features for seed in SEEDS))
    kinds = set(KINDS) - {"nested logit"}
    assert crossed >= kinds, kinds - crossed
    for kind in ("nests", "distances", "both"):
        flags = {f"{kind} and supply={flag}" for flag in (False, True)}
        assert crossed & flags
    assert any("supply=True" in name and "distances" in name for name in crossed)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("seed", SEEDS)
def test_derivatives_by_shares_are_differences(seed: int, backend: str) -> None:
    drawn, problem = built(seed)

    def solve(shares: np.ndarray) -> Any:
        return solve_here(
            problem, **drawn.solution, type_shares=shares, backend=backend
        )

    at = solve(drawn.shares)
    assert len(places(at)) == 2
    assert at.theta_labels.index("share of cities") == places(at)[0]
    for row, place in enumerate(places(at)):

        def delta_or_costs(results: Any) -> np.ndarray:
            sides = [results.delta]
            if results.omega.size:
                sides.append(results.tilde_costs)
            return np.hstack(sides)

        found = [at.xi_by_theta_jacobian[:, place]]
        if at.omega.size:
            found.append(at.omega_by_theta_jacobian[:, place])
        slopes = differentiate(solve, drawn.shares, row, delta_or_costs)
        assert distance(np.column_stack(found), slopes) <= 1e-6
        slope = differentiate(solve, drawn.shares, row, lambda r: r.objective)
        scale = max(abs(float(at.gradient[place, 0])), 1e-3 * float(at.objective))
        assert abs(float(at.gradient[place, 0]) - float(slope)) <= 1e-6 * scale


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_are_weights_by_hand(seed: int) -> None:
    drawn, problem = built(seed)
    held = (drawn.shares, drawn.shares)
    found = solve_here(
        problem,
        **drawn.solution,
        type_shares=drawn.shares,
        type_shares_bounds=held,
    )
    by_hand = build_here(weighted_by_hand(drawn, drawn.shares))
    expected = solve_here(by_hand, **drawn.solution)
    assert found.theta_labels == expected.theta_labels
    more = OF_SUPPLY if drawn.specification.cost is not None else ()
    for name in (*NAMES, *more):
        gap = distance(getattr(found, name), getattr(expected, name))
        assert gap <= 1e-12, (name, gap)
    assert np.isnan(found.type_shares_se).all()
    # Free or held, a point is a point.
    free = solve_here(problem, **drawn.solution, type_shares=drawn.shares)
    for name in ("objective", "delta", *more):
        assert distance(getattr(free, name), getattr(expected, name)) <= 1e-10, name
    kept = [p for p in range(free.theta.size) if p not in places(free)]
    assert distance(free.gradient[kept], expected.gradient) <= 1e-8


def test_one_type_has_its_weights_divided_by_their_sum() -> None:
    drawn = draw_types(3, n_types=1)
    found = solve_here(
        build_here(drawn.specification), **drawn.solution, type_shares=[1.0]
    )
    by_hand = build_here(weighted_by_hand(drawn, np.ones(1)))
    expected = solve_here(by_hand, **drawn.solution)
    assert distance(found.delta, expected.delta) <= 1e-12
    assert distance(found.objective, expected.objective) <= 1e-12
    assert not places(found) and found.type_shares.tolist() == [[1.0]]


def test_without_shares_types_change_nothing() -> None:
    drawn, problem = built(3)
    agents: Any = dict(drawn.specification.agents)
    del agents["type_ids"]
    expected = solve_here(
        build_here(replace(drawn.specification, agents=agents)), **drawn.solution
    )
    found = solve_here(problem, **drawn.solution)
    for name in ("objective", "delta", "gradient", "theta"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.type_shares.size == 0 and found.type_labels == []


@pytest.mark.parametrize("seed", [3, 5, 7])
def test_types_that_are_alike_leave_the_objective_flat(seed: int) -> None:
    drawn = draw_types(seed)
    agents: Any = {n: np.asarray(v) for n, v in drawn.specification.agents.items()}
    twice = {name: np.concatenate([v, v]) for name, v in agents.items()}
    twice["weights"] = twice["weights"] / 2
    twice["type_ids"] = np.repeat(["cities", "farms"], agents["weights"].size)
    problem = build_here(replace(drawn.specification, agents=twice))
    values, slopes = [], []
    for share in (0.05, 0.4, 0.95):
        # What the objective does not depend on is not identified.
        with pytest.warns(NumericalWarning, match="singular"):
            found = solve_here(
                problem, **drawn.solution, type_shares=[share, 1 - share]
            )
        values.append(float(found.objective))
        (place,) = places(found)
        slopes.append(float(found.gradient[place, 0]))
        assert np.abs(found.xi_by_theta_jacobian[:, place]).max() <= 1e-10
    assert np.ptp(values) <= 1e-10 * values[0]
    assert np.abs(slopes).max() <= 1e-8 * values[0]


def test_a_share_of_zero_leaves_a_type_out() -> None:
    drawn, problem = built(4)
    agents: Any = {n: np.asarray(v) for n, v in drawn.specification.agents.items()}
    some = {name: v[drawn.codes != 1] for name, v in agents.items()}
    with pytest.warns(DataWarning, match="with type_shares they are divided"):
        without = build_here(replace(drawn.specification, agents=some))
    expected = solve_here(without, **drawn.solution, type_shares=[0.3, 0.7])
    found = solve_here(problem, **drawn.solution, type_shares=[0.3, 0.0, 0.7])
    assert found.theta_labels == expected.theta_labels
    for name in ("objective", "delta", "gradient"):
        assert distance(getattr(found, name), getattr(expected, name)) <= 1e-10, name
    assert found.type_shares[:, 0].tolist() == [0.3, 0.0, 0.7]


def test_numbers_do_not_depend_on_rows_or_on_which_share_is_last() -> None:
    drawn, problem = built(7)
    expected = solve_here(problem, **drawn.solution, type_shares=drawn.shares)
    agents: Any = {n: np.asarray(v) for n, v in drawn.specification.agents.items()}
    order = np.random.default_rng(0).permutation(agents["weights"].size)
    renamed = {"cities": 9, "farms": 4, "towns": 11}
    moved = {name: values[order] for name, values in agents.items()}
    moved["type_ids"] = np.array([renamed[name] for name in moved["type_ids"]])
    cities, farms, towns = drawn.shares
    found = solve_here(
        build_here(replace(drawn.specification, agents=moved)),
        **drawn.solution,
        type_shares=[farms, cities, towns],
    )
    assert found.type_labels == ["4", "9", "11"]
    for name in ("objective", "delta", "omega", "parameter_covariances"):
        if name == "parameter_covariances":
            flip = np.arange(expected.parameters.size)
            flip[places(found)] = flip[places(found)[::-1]]
            a = found.parameter_covariances[np.ix_(flip, flip)]
            assert distance(a, expected.parameter_covariances) <= 1e-7
            continue
        assert distance(getattr(found, name), getattr(expected, name)) <= 1e-10, name
    again = {
        **moved,
        "type_ids": np.where(moved["type_ids"] == 11, 1, moved["type_ids"]),
    }
    other = solve_here(
        build_here(replace(drawn.specification, agents=again)),
        **drawn.solution,
        type_shares=[towns, farms, cities],
    )
    # Here it is cities that the others leave something to: errors are the same.
    first, second = (r.type_shares_se[:, 0] for r in (found, other))
    assert distance(first, second[[1, 2, 0]]) <= 1e-7


@pytest.mark.parametrize(
    ("seed", "how"),
    [(seed, how) for seed in (5, 7) for how in ("squarem", "simple", "differences")]
    + [(5, "hybr")],
)
def test_however_shares_are_inverted_derivatives_are_the_same(
    seed: int, how: str
) -> None:
    drawn, problem = built(seed)
    expected = solve_here(problem, **drawn.solution, type_shares=drawn.shares)
    options: dict[str, Any] = {"iteration": (how, {"atol": 1e-14})}
    if how == "differences":
        options = {"finite_differences": True}
    elif how == "hybr":
        options = {"iteration": (how, {"xtol": 1e-13})}
    found = solve_here(problem, **drawn.solution, type_shares=drawn.shares, **options)
    tolerance = 1e-5 if how == "differences" else 1e-8
    assert distance(found.moments_jacobian, expected.moments_jacobian) <= tolerance
    assert distance(found.gradient, expected.gradient) <= 10 * tolerance
