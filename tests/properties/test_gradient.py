"""Analytic derivatives equal finite differences, one parameter at a time.

Differences are of fourth order, f'(x) ≈ (8 (f₁ - f₋₁) - (f₂ - f₋₂)) / 12h, so that
neither the step nor rounding hides an error of 1e-6. Problems are drawn (see
:mod:`tests.references.drawn`): together they have every kind of parameter (diagonal and
other entries of Σ, Π, β) and every type of coefficient (linear, log, logit).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.references.drawn import Drawn, draw
from tests.references.specifications import FIXED, build_here, distance, solve_here

TOLERANCE = 1e-6
STEP = 1e-3
SEEDS = range(12)


class Entry(NamedTuple):
    """A free parameter: the argument that holds it, its row and its column."""

    name: str
    row: int
    column: int


@cache
def built(seed: int) -> tuple[Drawn, Any]:
    """Build a drawn problem once."""
    drawn = draw(seed)
    return drawn, build_here(drawn.specification)


def base(drawn: Drawn) -> dict[str, Any]:
    """Give a drawn problem's arguments with every entry free."""
    arguments = {**drawn.solution, **FIXED, "method": "1s", "initial_update": False}
    arguments.pop("sigma_bounds", None)
    arguments["check_optimality"] = "gradient"
    return arguments


def entries(arguments: dict[str, Any]) -> list[Entry]:
    """List the free parameters in the order of θ."""
    found = []
    for name in ("sigma", "pi"):
        if name in arguments:
            places = np.argwhere(np.asarray(arguments[name]) != 0)
            found += [Entry(name, int(r), int(c)) for r, c in places]
    for name in ("beta", "gamma"):
        given = arguments.get(name, [])
        found += [Entry(name, k, 0) for k, b in enumerate(given) if b is not None]
    return found


def moved(arguments: dict[str, Any], entry: Entry, by: float) -> dict[str, Any]:
    """Move one parameter."""
    if entry.name in ("beta", "gamma"):
        linear = list(arguments[entry.name])
        linear[entry.row] += by
        return {**arguments, entry.name: linear}
    matrix = np.array(arguments[entry.name])
    matrix[entry.row, entry.column] += by
    return {**arguments, entry.name: matrix}


def differentiate(
    problem: Any,
    arguments: dict[str, Any],
    read: Callable[[Any], np.ndarray],
    step: float = STEP,
) -> np.ndarray:
    """Differentiate what is read from results, one column a parameter."""
    columns = []
    for entry in entries(arguments):
        ends = [
            read(solve_here(problem, **moved(arguments, entry, k * step)))
            for k in (1, -1, 2, -2)
        ]
        near, far = ends[0] - ends[1], ends[2] - ends[3]
        columns.append((8 * near - far) / (12 * step))
    return np.stack(columns, axis=-1)


def kinds(seed: int) -> set[str]:
    """Name the kinds of parameters that a drawn problem has."""
    drawn, problem = built(seed)
    found = set()
    for entry in entries(base(drawn)):
        if entry.name == "beta":
            found.add("beta")
            continue
        off = entry.name == "sigma" and entry.row != entry.column
        label = "sigma below" if off else entry.name
        found.add(f"{label} {problem.rc_types[entry.row]}")
    return found


def test_the_draws_have_every_kind() -> None:
    types = ("linear", "log", "logit")
    wanted = {f"{n} {t}" for n in ("sigma", "sigma below", "pi") for t in types}
    found = set().union(*(kinds(seed) for seed in SEEDS))
    assert found >= wanted | {"beta"}, (wanted | {"beta"}) - found


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient(seed: int) -> None:
    """Every entry, to 1e-6 of itself and 1e-9 of the whole gradient."""
    drawn, problem = built(seed)
    arguments = base(drawn)
    gradient = solve_here(problem, **arguments).gradient[:, 0]
    expected = differentiate(problem, arguments, lambda r: r.objective)
    slack = TOLERANCE * np.abs(expected) + 1e-9 * np.linalg.norm(expected)
    assert (np.abs(gradient - expected) <= slack).all(), gradient / expected - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_jacobian_of_mean_utilities(seed: int) -> None:
    drawn, problem = built(seed)
    arguments = base(drawn)
    arguments.pop("beta", None)
    jacobian = solve_here(problem, **arguments).xi_by_theta_jacobian
    expected = differentiate(problem, arguments, lambda r: r.delta[:, 0])
    for p in range(expected.shape[1]):
        assert distance(jacobian[:, p], expected[:, p]) <= 1e-8


@pytest.mark.parametrize("seed", SEEDS)
def test_jacobian_of_moments(seed: int) -> None:
    """∂ḡ/∂θ given β: β is held at its estimate while θ moves."""
    drawn, problem = built(seed)
    arguments = base(drawn)
    found = solve_here(problem, **arguments)
    arguments["beta"] = found.beta[:, 0].tolist()
    expected = differentiate(problem, arguments, lambda r: r.moments[:, 0])
    jacobian = solve_here(problem, **arguments).moments_jacobian
    assert distance(jacobian, expected) <= 1e-8


@pytest.mark.parametrize("seed", SEEDS)
def test_finite_differences_option(seed: int) -> None:
    drawn, problem = built(seed)
    arguments = base(drawn)
    analytic = solve_here(problem, **arguments)
    numeric = solve_here(problem, **arguments, finite_differences=True)
    for name in ("gradient", "moments_jacobian"):
        gap = distance(getattr(numeric, name), getattr(analytic, name))
        assert gap <= TOLERANCE, (name, gap)
    for name in ("sigma_se", "pi_se", "beta_se"):
        # errors invert G'WG, which multiplies the noise of differences in G
        gap = distance(getattr(numeric, name), getattr(analytic, name))
        assert gap <= 10 * TOLERANCE, (name, gap)


@pytest.mark.parametrize("seed", (0, 1, 6))
def test_hessian_is_the_derivative_of_the_gradient(seed: int) -> None:
    drawn, problem = built(seed)
    arguments = base(drawn)
    expected = differentiate(problem, arguments, lambda r: r.gradient[:, 0])
    arguments["check_optimality"] = "both"
    hessian = solve_here(problem, **arguments).hessian
    # PyBLP's step of 1.5e-8 leaves 1e-6 of rounding in the package's own Hessian
    assert distance(hessian, expected) <= 1e-5
