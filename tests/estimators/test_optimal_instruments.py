"""Expected derivatives are derivatives, and optimal instruments are optimal.

Derivatives are checked against central differences of δ(θ) and c̃(θ), which invert the
shares of the realization anew; what follows from them against plain NumPy.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.api.estimated_errors import estimated_errors, estimated_layout
from blpdask.driver.serial import SerialEngine
from blpdask.estimators.drawn_markets import Expectation, predicted_prices
from blpdask.estimators.optimal_instruments import draw_errors, optimal_instruments
from blpdask.results.parameter_places import parameter_places
from tests.driver.clusters import cluster
from tests.references.drawn import draw
from tests.references.drawn_nests import draw_nests
from tests.references.drawn_supply import draw_supply
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    distance,
    quietly,
    solve_here,
)

#: With supply all have equilibria, but for the last, whose prices are predicted.
PROBLEMS: dict[str, tuple[Any, int]] = {
    "demand": (draw, 2),
    "supply": (draw_supply, 22),
    "supply, costs in logs": (draw_supply, 23),
    "nests": (draw_nests, 40),
    "scale": (draw_nests, 5),
}
NONLINEAR = ("sigma", "pi", "rho")
#: Weights of values at these distances in a first derivative.
STEP = 1e-4
FOURTH_ORDER = {
    STEP: 8 / (12 * STEP),
    -STEP: -8 / (12 * STEP),
    2 * STEP: -1 / (12 * STEP),
    -2 * STEP: 1 / (12 * STEP),
}


@cache
def solved(name: str) -> tuple[Specification, dict[str, Any], blpdask.ProblemResults]:
    """Evaluate a problem at one θ."""
    kind, seed = PROBLEMS[name]
    drawn = kind(seed)
    arguments = {**drawn.solution, **FIXED, "method": "1s", "initial_update": False}
    arguments |= {"check_optimality": "gradient"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = solve_here(build_here(drawn.specification), **arguments)
    return drawn.specification, arguments, results


def compute(results: blpdask.ProblemResults, *given: Any, **named: Any) -> Any:
    """Compute optimal instruments and print nothing."""
    with quietly():
        return results.compute_optimal_instruments(*given, **named)


@pytest.mark.parametrize("name", PROBLEMS)
def test_derivatives_are_central_differences(name: str) -> None:
    specification, arguments, results = solved(name)
    found = compute(results)
    assert found.fp_converged.all()
    products = dict(specification.products)
    products["prices"] = found.expected_prices[:, 0]
    products["shares"] = found.expected_shares[:, 0]
    realized = build_here(replace(specification, products=products))
    places = parameter_places(results.estimates)[: results.theta.size]
    for p, place in enumerate(places):
        moves_costs = place.matrix == "beta" and "prices" in place.label
        if place.matrix not in NONLINEAR and not moves_costs:
            continue
        matrix = np.array(getattr(results, place.matrix))
        if place.matrix == "beta":
            matrix[results.estimates.concentrated[: len(matrix)]] = np.nan
        delta, costs = 0.0, 0.0
        for move, weight in FOURTH_ORDER.items():
            moved = matrix.copy()
            moved[place.row, place.column] += move
            found_there = solve_at(realized, {**arguments, place.matrix: moved})
            delta = delta + weight * found_there.delta[:, 0]
            costs = costs + weight * found_there.tilde_costs
        if place.matrix in NONLINEAR:
            ours = found.expected_xi_by_theta_jacobian[:, p]
            assert distance(ours, delta) < 1e-7, place
        if results.omega.size:
            ours = found.expected_omega_by_theta_jacobian[:, [p]]
            assert distance(ours, costs) < 1e-7, place


def solve_at(problem: blpdask.Problem, arguments: dict[str, Any]) -> Any:
    """Evaluate without bounds, neither of parameters nor of costs."""
    names = ("sigma_bounds", "rho_bounds", "costs_bounds")
    free = {**arguments, **dict.fromkeys(names)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(problem, **free)


@pytest.mark.parametrize("name", ["demand", "supply, costs in logs"])
def test_instruments_are_weighted_derivatives(name: str) -> None:
    _, _, results = solved(name)
    found = compute(results)
    slopes = [found.expected_xi_by_theta_jacobian]
    instruments = [found.demand_instruments]
    errors = [results.xi[:, 0] - results.xi.mean()]
    if results.omega.size:
        slopes.append(found.expected_omega_by_theta_jacobian)
        instruments.append(found.supply_instruments)
        errors.append(results.omega[:, 0] - results.omega.mean())
        u = np.stack(errors)
        weights = np.linalg.inv(u @ u.T / (u.shape[1] - 1))
    else:
        weights = np.array([[1 / np.mean(errors[0] ** 2)]])
        assert found.supply_instruments.shape == (results.xi.size, 0)
        assert np.isnan(found.expected_omega_by_theta_jacobian).all()
    for row, Z in zip(weights, instruments, strict=True):
        expected = sum(w * slope for w, slope in zip(row, slopes, strict=True))
        assert distance(Z, expected) < 1e-12
    assert distance(found.inverse_covariance_matrix, weights) < 1e-10


def test_predicted_prices_are_a_projection() -> None:
    specification, _, results = solved("demand")
    products = results.problem.demand.products
    dummies = [products.ZD_absorbed]
    for codes in products.effects:
        dummies.append(np.eye(codes.max() + 1)[codes])
    controls = np.hstack(dummies)
    prices = np.asarray(specification.products["prices"])
    fitted = controls @ np.linalg.lstsq(controls, prices, rcond=None)[0]
    assert distance(predicted_prices(results.problem.demand), fitted) < 1e-9


@pytest.mark.parametrize("method", ["normal", "empirical"])
def test_expectations_are_means_over_draws(method: str) -> None:
    """Each draw by itself, at prices of its own, then the mean."""
    _, _, results = solved("supply")
    found = compute(results, method, draws=3, seed=7)
    estimated = estimated_errors(results.estimates, results.problem.outline)
    slopes = np.zeros_like(found.expected_xi_by_theta_jacobian)
    prices = np.zeros(results.xi.size)
    for draw_ in draw_errors(estimated, method, 3, 7):
        assert draw_ is not None and draw_.omega is not None
        # With these errors among the estimates, no draw is needed.
        moved = replace(
            estimated,
            xi=estimated.xi - draw_.xi,
            omega=estimated.omega - draw_.omega,
        )
        alone = optimal_instruments(
            results.problem.demand,
            moved,
            Expectation("approximate", 1, None),
            SerialEngine(),
        )
        slopes += alone.xi_by_theta / 3
        prices += alone.prices / 3
    assert distance(found.expected_xi_by_theta_jacobian, slopes) < 1e-10
    assert distance(found.expected_prices[:, 0], prices) < 1e-10
    assert found.fp_converged.shape == (results.problem.T, 3)


def test_draws_have_the_distribution_of_the_estimates() -> None:
    _, _, results = solved("supply")
    estimated = estimated_errors(results.estimates, results.problem.outline)
    expected = np.cov(estimated.xi, estimated.omega)
    for method in ("normal", "empirical"):
        drawn = [(d.xi, d.omega) for d in draw_errors(estimated, method, 400, 0) if d]
        both = np.hstack([np.stack(pair) for pair in drawn])
        assert distance(np.cov(both), expected) < 0.02
    one = solved("demand")[2]
    alone = estimated_errors(one.estimates, one.problem.outline)
    drawn_xi = [d.xi for d in draw_errors(alone, "normal", 400, 0) if d]
    assert abs(np.std(drawn_xi) / np.std(alone.xi) - 1) < 0.01


@pytest.mark.parametrize("name", ["demand", "supply", "nests"])
def test_engines_blocks_and_backends_agree(name: str) -> None:
    _, _, results = solved(name)
    how = {"method": "normal", "draws": 2, "seed": 1}
    serial = compute(results, **how, engine="serial")
    for other in (
        compute(results, **how, engine="threads", threads=2),
        compute(results, **how, engine="serial", blocks=3),
        compute(results, **how, engine="serial", backend="numpy"),
    ):
        for attribute in ("demand_instruments", "supply_instruments"):
            mine, same = getattr(other, attribute), getattr(serial, attribute)
            assert distance(mine, same) < 1e-10
    threads = compute(results, **how, engine="threads", threads=2)
    for attribute in ("demand_instruments", "expected_prices", "fp_iterations"):
        assert np.array_equal(getattr(threads, attribute), getattr(serial, attribute))


@pytest.mark.slow
def test_workers_give_the_same_bits() -> None:
    _, _, results = solved("supply")
    serial = compute(results, "normal", 2, 1, engine="serial")
    with cluster(2) as client:
        found = compute(results, "normal", 2, 1, engine=client)
    assert np.array_equal(found.demand_instruments, serial.demand_instruments)
    assert np.array_equal(found.supply_instruments, serial.supply_instruments)


def test_what_is_held_has_no_instrument_and_what_ended_at_zero_has() -> None:
    _, _, results = solved("demand")
    places = parameter_places(results.estimates)
    free = [place for place in places if place.matrix == "sigma"]
    last = free[-1]
    sigma = np.array(results.sigma)
    sigma[last.row, last.column] = 0.0
    values = results.parameters.copy()
    values[places.index(last)] = 0.0
    at_zero = replace(
        results.estimates,
        sigma=sigma,
        parameters=values,
        theta=values[: results.theta.size, 0],
    )
    layout = estimated_layout(at_zero, results.problem.outline)
    assert layout.labels == tuple(results.theta_labels)
    assert layout.size == results.theta.size
    problem, held = results.problem, np.array(results.sigma)
    arguments = {
        **solved("demand")[1],
        "sigma": held,
        "sigma_bounds": (held, np.where(np.arange(held.shape[1]) == 0, held, np.inf)),
    }
    assert held[0, 0] != 0
    fewer = solve_here(problem, **arguments)
    assert compute(fewer).demand_instruments.shape[1] == fewer.theta.size


def test_markets_without_an_equilibrium_are_named() -> None:
    _, _, results = solved("supply")
    stopped = blpdask.Iteration("simple", {"atol": 1e-12, "max_evaluations": 2})
    with pytest.warns(
        blpdask.exceptions.NumericalWarning, match="markets.*evaluations"
    ):
        found = compute(results, iteration=stopped)
    assert not found.fp_converged.any()
    assert (found.contraction_evaluations == 2).all()
