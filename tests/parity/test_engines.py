"""Every engine gives the same bits: serial, and threads however many.

Blocks and the order of their sums depend on the data alone, an evaluation on θ and a
named earlier one: no number may change with the engine, not even in its last bit.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.references.drawn import draw
from tests.references.specifications import (
    NEVO_START,
    build_here,
    needs_nevo_data,
    nevo,
    solve_here,
)

ENGINES: list[dict[str, Any]] = [
    {"engine": "threads", "threads": 1},
    {"engine": "threads", "threads": 2},
    {"engine": "threads", "threads": 3},
    {},
]
NAMES = ["one thread", "two threads", "three threads", "default"]
TWO_STEPS: dict[str, Any] = {"method": "2s", "blocks": 7}
TIMES = {"optimization_time", "total_time"}


@cache
def nevo_problem() -> Any:
    """Build Nevo's model once."""
    return build_here(nevo())


@cache
def serial_nevo() -> Any:
    """Estimate Nevo's model in two steps, serially, in seven blocks."""
    return solve_here(nevo_problem(), **NEVO_START, **TWO_STEPS, engine="serial")


@cache
def simulated() -> tuple[Any, dict[str, Any], Any]:
    """Draw a problem and estimate it in two steps, serially, in seven blocks."""
    drawn = draw(14)
    problem = build_here(drawn.specification)
    arguments = {**drawn.solution, "method": "2s", "blocks": 7}
    arguments["check_optimality"] = "both"
    return problem, arguments, solve_here(problem, **arguments, engine="serial")


def assert_same_bits(found: Any, expected: Any) -> None:
    """Compare everything but times, in every step."""
    while expected is not None:
        for field in fields(expected.estimates):
            if field.name in TIMES:
                continue
            pair = (getattr(r.estimates, field.name) for r in (found, expected))
            assert _same(*pair), (expected.step, field.name)
        found, expected = found.last_results, expected.last_results
    assert found is None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(
            a, b, equal_nan=a.dtype.kind == "f"
        )
    return bool(a == b) or (a != a and b != b)


@needs_nevo_data
@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_nevo_in_two_steps(engine: dict[str, Any]) -> None:
    found = solve_here(nevo_problem(), **NEVO_START, **TWO_STEPS, **engine)
    assert_same_bits(found, serial_nevo())


@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_simulated_markets_in_two_steps(engine: dict[str, Any]) -> None:
    problem, arguments, expected = simulated()
    assert_same_bits(solve_here(problem, **arguments, **engine), expected)


def test_again_is_the_same() -> None:
    problem, arguments, expected = simulated()
    found = solve_here(problem, **arguments, engine="threads", threads=2)
    again = solve_here(problem, **arguments, engine="threads", threads=2)
    assert_same_bits(again, found)
    assert_same_bits(again, expected)


def test_a_second_problem_of_the_same_data_is_the_same() -> None:
    _, arguments, expected = simulated()
    specification = draw(14).specification
    copied = replace(specification, products=dict(specification.products))
    assert_same_bits(solve_here(build_here(copied), **arguments), expected)


@pytest.mark.parametrize("behavior", ["first", "last", "logit"])
def test_other_starts_of_inversions(behavior: str) -> None:
    problem, arguments, _ = simulated()
    arguments = {**arguments, "delta_behavior": behavior, "method": "1s"}
    serial = solve_here(problem, **arguments, engine="serial")
    threads = solve_here(problem, **arguments, engine="threads", threads=3)
    assert_same_bits(threads, serial)


def test_many_starting_points() -> None:
    problem, arguments, _ = simulated()
    arguments = {**arguments, "starts": 3, "seed": 1, "method": "1s"}
    serial = solve_here(problem, **arguments, engine="serial")
    threads = solve_here(problem, **arguments, engine="threads", threads=3)
    assert_same_bits(threads, serial)
