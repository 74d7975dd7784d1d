"""NumPy arrays and Numba loops give the same numbers, to 1e-11 in norm.

Also the same optima: the objective to 1e-9 and, where one basin surrounds the start, θ
to 1e-6.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.references.drawn import Drawn, draw
from tests.references.specifications import (
    FIXED,
    NEVO_START,
    build_here,
    distance,
    needs_nevo_data,
    nevo,
    solve_here,
)

pytest.importorskip("blpdask.kernels.array_backend", exc_type=ImportError)

TOLERANCE = 1e-11
SEEDS = range(12)
COMPARED = (
    "objective",
    "gradient",
    "delta",
    "xi",
    "beta",
    "moments",
    "moments_jacobian",
    "moments_covariances",
    "xi_by_theta_jacobian",
    "sigma_se",
    "pi_se",
    "beta_se",
)


@cache
def built(seed: int) -> tuple[Drawn, Any]:
    """Build a drawn problem once."""
    drawn = draw(seed)
    return drawn, build_here(drawn.specification)


def gaps(problem: Any, arguments: dict[str, Any]) -> dict[str, float]:
    """Measure what misses the tolerance at one θ."""
    arguments = {**arguments, **FIXED, "check_optimality": "gradient"}
    loops = solve_here(problem, **arguments, backend="numba")
    arrays = solve_here(problem, **arguments, backend="numpy")
    assert arrays.fp_converged.all()
    found = {n: distance(getattr(arrays, n), getattr(loops, n)) for n in COMPARED}
    return {name: gap for name, gap in found.items() if not gap <= TOLERANCE}


@pytest.mark.parametrize("seed", SEEDS)
def test_one_theta(seed: int) -> None:
    drawn, problem = built(seed)
    assert not gaps(problem, drawn.solution)


@pytest.mark.parametrize("method", ["newton", "squarem", "simple"])
def test_every_method(method: str) -> None:
    drawn, problem = built(2)
    assert not gaps(problem, {**drawn.solution, "iteration": (method,)})


def test_a_routine_of_scipys() -> None:
    drawn, problem = built(2)
    iteration = ("lm", {"xtol": 1e-14, "ftol": 1e-14})
    assert not gaps(problem, {**drawn.solution, "iteration": iteration})


@needs_nevo_data
def test_nevo() -> None:
    assert not gaps(build_here(nevo()), {**NEVO_START, "method": "1s"})


@pytest.mark.parametrize("seed", [1, 6, 12])
def test_optima(seed: int) -> None:
    drawn, problem = built(seed)
    arguments = {**drawn.solution, "method": "2s"}
    loops = solve_here(problem, **arguments, backend="numba")
    arrays = solve_here(problem, **arguments, backend="numpy")
    assert distance(arrays.objective, loops.objective) <= 1e-9
    assert distance(arrays.parameters, loops.parameters) <= 1e-6
