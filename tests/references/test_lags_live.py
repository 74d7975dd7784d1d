"""Autocorrelated errors give what the installed PyBLP gives.

At one θ and one W, to 1e-8 in norm: moments of every type and stacked, φ of ξ alone or
of ξ and ω, with nests and without; and draws of simulations.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from tests.properties.test_gradient import base
from tests.references.drawn_lags import (
    SHAPES,
    TYPES,
    draw_chains,
    draw_lags,
    moment_types,
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
from tests.references.test_drawn_problems_live import ATTRIBUTES, TOLERANCE
from tests.references.test_nests_live import name_common_rho
from tests.references.test_supply_live import BY_GAMMA, SUPPLY

pyblp = pytest.importorskip("pyblp")

SEEDS = range(36)
FEATURES = frozenset(
    {
        *(f"phi {shape}" for shape in ("scalar", *SHAPES)),
        *(f"demand {'+'.join(parts)}" for parts in TYPES),
        *(f"supply {'+'.join(parts)}" for parts in TYPES if len(parts) != 2),
        *("demand levels", "supply levels", "supply differenced_innovations"),
        *("rho one", "rho each", "rho fixed"),
    }
)


@cache
def solved(seed: int) -> tuple[Any, Any]:
    """Evaluate the problem of a seed in both packages."""
    drawn = draw_lags(seed)
    here, there = build_here(drawn.specification), build_there(drawn.specification)
    types = moment_types(drawn.types, here)
    arguments = {**drawn.solution, **FIXED, **types}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(here, **arguments), solve_there(there, **arguments)


def test_the_draws_cross_every_feature() -> None:
    crossed = frozenset().union(*(draw_lags(seed).features for seed in SEEDS))
    assert crossed >= FEATURES, FEATURES - crossed
    solutions = [draw_lags(seed).solution for seed in SEEDS]
    for name in ("W_type", "se_type"):
        kinds = {solution[name] for solution in solutions}
        assert kinds >= {"robust", "unadjusted", "clustered"}
    assert {solution["method"] for solution in solutions} == {"1s", "2s"}


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_at_one_theta(seed: int) -> None:
    here, there = solved(seed)
    drawn = draw_lags(seed)
    names = (*ATTRIBUTES, "rho", "rho_se", "phi", "phi_se")
    if drawn.specification.cost is not None:
        names = (*names, *SUPPLY)
    clipped = "gamma" in drawn.solution and bool(here.clipped_costs.any())
    by_gamma = {*BY_GAMMA, "rho_se", "phi_se"} if clipped else set()
    gaps = {
        name: distance(getattr(here, name), getattr(there, name))
        for name in names
        if name not in by_gamma
    }
    wrong = {name: gap for name, gap in gaps.items() if not gap <= TOLERANCE}
    assert not wrong
    assert here.theta_labels == name_common_rho(there.theta_labels, here.rho)
    assert here.phi_labels == there.phi_labels
    for mine, theirs in zip(here.phi_bounds, there.phi_bounds, strict=True):
        fixed = there.phi_bounds[0] == there.phi_bounds[1]
        np.testing.assert_array_equal(mine[fixed], theirs[fixed])


@pytest.mark.parametrize("seed", (0, 3))
def test_pyblp_holds_part_of_the_hessian(seed: int) -> None:
    """Gradients about θ̂, each from the start, say who is right."""
    drawn = draw_lags(seed)
    here, there = build_here(drawn.specification), build_there(drawn.specification)
    arguments = {**base_of(drawn, here), "check_optimality": "both"}
    mine, theirs = solve_here(here, **arguments), solve_there(there, **arguments)
    place = mine.theta_labels.index("Xi on Xi")
    arguments["check_optimality"] = "gradient"
    step, ends = 1e-5, []
    for by in (step, -step):
        phi = np.atleast_2d(drawn.solution["phi"]).copy()
        phi[0, 0] += by
        found = solve_there(there, **{**arguments, "phi": phi})
        ends.append(found.gradient[:, 0])
    expected = (ends[0] - ends[1]) / (2 * step)
    assert distance(mine.hessian[:, place], expected) <= 1e-6
    assert distance(theirs.hessian[:, place], expected) >= 0.1


def base_of(drawn: Any, problem: Any) -> dict[str, Any]:
    """Give a drawn problem's arguments in one step, with its moments' types."""
    return {**base(drawn), **moment_types(drawn.types, problem)}


@pytest.mark.parametrize("seed", range(6))
def test_simulations_draw_the_same_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phi = rng.uniform(-0.4, 0.4, (2, 2)) + 0.3 * np.eye(2)
    ids = blpdask.build_id_data(T=12, J=9, F=3)
    data = {name: ids[name][:, 0] for name in ids.dtype.names}
    data["lag_indices"] = draw_chains(rng, 108)
    found = []
    for package in (blpdask, pyblp):
        formulations = [
            package.Formulation("1 + prices + x"),
            None,
            package.Formulation("1 + x + w"),
        ]
        with quietly():
            simulation = package.Simulation(
                tuple(formulations),
                data,
                beta=[1, -2, 1],
                gamma=[2, 1, 0.5],
                phi=phi,
                xi_variance=0.3,
                omega_variance=0.2,
                correlation=0.6,
                seed=seed,
            )
            found.append((simulation, simulation.replace_endogenous()))
    (mine, solved_here), (theirs, solved_there) = found
    assert distance(mine.xi, theirs.xi) <= 1e-14
    assert distance(mine.omega, theirs.omega) <= 1e-14
    np.testing.assert_array_equal(mine.phi, theirs.phi)
    gap = distance(solved_here.product_data.prices, solved_there.product_data.prices)
    assert gap <= 1e-9
    with quietly():
        problems = solved_here.to_problem(), solved_there.to_problem()
        given = {
            **{"beta": [None, -2, None], "phi": phi, "method": "1s"},
            "demand_moment_types": "innovations",
            "supply_moment_types": "innovations",
        }
        ends = [
            problem.solve(**given, optimization=package.Optimization("return"))
            for problem, package in zip(problems, (blpdask, pyblp), strict=True)
        ]
    for name in ("objective", "gradient", "beta", "gamma", "phi_se"):
        # prices of the two simulations differ by their tolerances
        assert distance(getattr(ends[0], name), getattr(ends[1], name)) <= 1e-7, name
