"""What carries no information changes no estimate.

1. The cut of markets into blocks; the order of markets, of products and of agents.
2. An agent split in halves; markets that are there twice.
3. How δ is iterated to its fixed point, and where each inversion starts.
4. Two steps at once, or one after the other with the weights and δ of the first.
5. In which units the objective is, and how columns are handed over.

At one θ to 1e-11 in norm; optima to what the optimiser's tolerance allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from blpdask.errors import NumericalWarning
from tests.references.drawn import Drawn, draw
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    distance,
    needs_nevo_data,
    nevo,
    solve_here,
)

TOLERANCE = 1e-11
#: With agents from data (a rule builds nodes in the order of markets).
FROM_DATA = tuple(s for s in range(24) if "rule=False" in draw(s).features)[:4]
SEEDS = range(6)
#: Well identified: one basin around the start.
IDENTIFIED = (1, 6, 12)
COMPARED = ("objective", "gradient", "delta", "xi", "beta", "sigma_se", "beta_se")
SCALARS = tuple(name for name in COMPARED if name not in ("delta", "xi"))

#: SciPy's own first guess of the Jacobian lets Broyden's and Anderson's methods
#: diverge, here and in PyBLP; the identity makes their first step a contraction. They
#: start near the solution: from afar they may diverge all the same.
FIRST_CONTRACT = {"jac_options": {"alpha": -1.0}}
ITERATIONS: dict[str, tuple[Any, ...]] = {
    "squarem": ("squarem", {"atol": 1e-14}),
    "squarem scheme 1": ("squarem", {"scheme": 1}),
    "simple": ("simple", {"atol": 1e-14}),
    "simple in another norm": ("simple", {"norm": np.linalg.norm, "atol": 1e-14}),
    "hybr": ("hybr", {"xtol": 1e-12}),
    "lm": ("lm", {"xtol": 1e-14, "ftol": 1e-14}),
    "anderson": ("anderson", {"fatol": 1e-13, **FIRST_CONTRACT}),
    "broyden1": ("broyden1", {"fatol": 1e-13, **FIRST_CONTRACT}),
    "broyden2": ("broyden2", {"fatol": 1e-13, **FIRST_CONTRACT}),
    "df-sane": ("df-sane", {"ftol": 0.0, "fatol": 1e-13}),
}


NEAR = ("anderson", "broyden1", "broyden2", "df-sane")


def fixed(drawn: Drawn) -> dict[str, Any]:
    """Give a drawn problem's arguments at one θ."""
    return {**drawn.solution, **FIXED}


@cache
def reference(seed: int) -> tuple[Drawn, Any, Any]:
    """Build and evaluate a drawn problem once."""
    drawn = draw(seed)
    problem = build_here(drawn.specification)
    return drawn, problem, solve_here(problem, **fixed(drawn), blocks=1)


def assert_same(found: Any, expected: Any, names: Any = COMPARED) -> None:
    """Compare results in norm."""
    gaps = {n: distance(getattr(found, n), getattr(expected, n)) for n in names}
    wrong = {name: gap for name, gap in gaps.items() if not gap <= TOLERANCE}
    assert not wrong


# 1: cuts and orders


@pytest.mark.parametrize("n_blocks", [1, 2, 7, 1000])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_cut_into_blocks(seed: int, n_blocks: int) -> None:
    drawn, problem, expected = reference(seed)
    assert_same(solve_here(problem, **fixed(drawn), blocks=n_blocks), expected)


def _take(table: Any, rows: np.ndarray) -> dict[str, Any]:
    return {name: np.asarray(column)[rows] for name, column in table.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_of_products(seed: int) -> None:
    drawn, _, expected = reference(seed)
    specification = drawn.specification
    n = expected.delta.size
    rows = np.random.default_rng(seed).permutation(n)
    moved = replace(specification, products=_take(specification.products, rows))
    found = solve_here(build_here(moved), **fixed(drawn))
    assert_same(found, expected, SCALARS)
    for name in ("delta", "xi", "xi_fe", "xi_by_theta_jacobian"):
        gap = distance(getattr(found, name), getattr(expected, name)[rows])
        assert gap <= TOLERANCE, name


@pytest.mark.parametrize("seed", FROM_DATA)
def test_any_order_of_agents(seed: int) -> None:
    drawn, _, expected = reference(seed)
    specification = drawn.specification
    assert specification.agents is not None
    n = len(specification.agents["market_ids"])
    rows = np.random.default_rng(seed).permutation(n)
    moved = replace(specification, agents=_take(specification.agents, rows))
    assert_same(solve_here(build_here(moved), **fixed(drawn)), expected)


@pytest.mark.parametrize("seed", FROM_DATA)
def test_any_order_of_markets(seed: int) -> None:
    """Markets are sorted by name: other names, another order and other blocks."""
    drawn, problem, expected = reference(seed)
    names = problem.unique_market_ids
    others = np.random.default_rng(seed).permutation(names)

    def rename(table: Any) -> dict[str, Any]:
        codes = np.searchsorted(names, table["market_ids"])
        return {**table, "market_ids": others[codes]}

    specification = drawn.specification
    moved = replace(
        specification,
        products=rename(specification.products),
        agents=rename(specification.agents),
    )
    found = solve_here(build_here(moved), **fixed(drawn), blocks=3)
    assert_same(found, expected)


# 2: duplicates


@pytest.mark.parametrize("seed", FROM_DATA)
def test_an_agent_split_in_halves(seed: int) -> None:
    drawn, _, expected = reference(seed)
    specification = drawn.specification
    assert specification.agents is not None
    n = len(specification.agents["market_ids"])
    agents = _take(specification.agents, np.r_[0:n, 0 : n // 2])
    agents["weights"] = agents["weights"].copy()
    agents["weights"][: n // 2] /= 2
    agents["weights"][n:] /= 2
    split = replace(specification, agents=agents)
    assert_same(solve_here(build_here(split), **fixed(drawn)), expected)


def doubled(specification: Specification) -> Specification:
    """Put every market there twice, the second under another name."""

    def twice(table: Any) -> dict[str, Any]:
        n = len(table["market_ids"])
        both = _take(table, np.r_[0:n, 0:n])
        both["market_ids"] = np.r_[
            table["market_ids"],
            np.char.add(np.asarray(table["market_ids"], str), " again"),
        ]
        if "clustering_ids" in both:
            both["clustering_ids"] = both["clustering_ids"].astype(float)
            both["clustering_ids"][n:] += 0.5
        return both

    agents = twice(specification.agents)
    return replace(specification, products=twice(specification.products), agents=agents)


@pytest.mark.parametrize("kind", ["robust", "unadjusted", "clustered"])
@pytest.mark.parametrize("seed", FROM_DATA)
def test_markets_that_are_there_twice(seed: int, kind: str) -> None:
    """Same W, same estimates; twice the objective, errors smaller by √2."""
    drawn, problem, _ = reference(seed)
    arguments = {**fixed(drawn), "method": "1s", "initial_update": False}
    arguments |= {"scale_objective": True, "se_type": kind, "W_type": kind}
    once = solve_here(problem, **arguments)
    twice = solve_here(build_here(doubled(drawn.specification)), **arguments)
    n = once.delta.size
    for half in (slice(0, n), slice(n, None)):
        assert distance(twice.delta[half], once.delta) <= TOLERANCE
        assert distance(twice.xi[half], once.xi) <= TOLERANCE
    assert distance(twice.W, once.W) <= TOLERANCE
    assert distance(twice.moments_covariances, once.moments_covariances) <= TOLERANCE
    assert distance(twice.beta, once.beta) <= TOLERANCE
    assert distance(twice.objective, 2 * once.objective) <= TOLERANCE
    assert distance(twice.gradient, 2 * once.gradient) <= TOLERANCE
    for name in ("sigma_se", "pi_se", "beta_se"):
        gap = distance(np.sqrt(2) * getattr(twice, name), getattr(once, name))
        assert gap <= 1e-10, name


def test_the_optimum_of_markets_that_are_there_twice() -> None:
    seed = next(s for s in IDENTIFIED if "rule=False" in draw(s).features)
    drawn, problem, _ = reference(seed)
    arguments = {**drawn.solution, "method": "1s", "initial_update": False}
    once = solve_here(problem, **arguments)
    twice = solve_here(build_here(doubled(drawn.specification)), **arguments)
    assert once.converged and twice.converged
    assert distance(twice.parameters, once.parameters) <= 1e-7


# 3: iterations and starts


@pytest.mark.filterwarnings("ignore:An ill-conditioned matrix")  # of Anderson's method
@pytest.mark.parametrize("name", list(ITERATIONS))
@pytest.mark.parametrize("seed", [1, 2])
def test_every_iteration_gives_the_same_delta(seed: int, name: str) -> None:
    drawn, problem, expected = reference(seed)
    noise = np.random.default_rng(seed).normal(size=expected.delta.shape)
    start = expected.delta + 0.01 * noise if name in NEAR else None
    arguments = {**fixed(drawn), "iteration": ITERATIONS[name], "delta": start}
    found = solve_here(problem, **arguments)
    assert found.fp_converged.all()
    assert np.abs(found.delta - expected.delta).max() <= 1e-10
    assert distance(found.gradient, expected.gradient) <= 1e-8


@pytest.mark.parametrize("seed", [1, 5])
def test_an_iteration_that_diverges_says_so(seed: int) -> None:
    """Broyden's method from afar: a status and a warning, not success, no crash."""
    drawn, problem, expected = reference(seed)
    with pytest.warns(NumericalWarning, match="in .* markets"):
        found = solve_here(
            problem, **fixed(drawn), iteration=("broyden1", {"fatol": 1e-12})
        )
    last = found.fp_converged[:, -1].astype(bool)
    far = np.abs(found.delta - expected.delta)[:, 0] > 1e-8
    products = drawn.specification.products["market_ids"]
    wrong = np.isin(problem.unique_market_ids, np.unique(products[far]))
    assert wrong.any()
    assert not (last & wrong).any()


def test_a_users_iteration() -> None:
    """A function by PyBLP's convention, here one contraction after the other."""

    def iterate(
        initial: np.ndarray,
        contraction: Callable[[np.ndarray], tuple[np.ndarray, Any, Any]],
        callback: Callable[[], None],
        limit: int,
    ) -> tuple[np.ndarray, bool]:
        x = initial
        for _ in range(limit):
            callback()
            moved = contraction(x)[0]
            if np.abs(moved - x).max() < 1e-14:
                return moved, True
            x = moved
        return x, False

    drawn, problem, expected = reference(1)
    iteration = (iterate, {"limit": 3000})
    found = solve_here(problem, **fixed(drawn), iteration=iteration)
    assert found.fp_converged.all()
    assert np.abs(found.delta - expected.delta).max() <= 1e-10
    assert found.fp_iterations.max() > 1


@pytest.mark.parametrize("behavior", ["first", "last", "logit"])
@pytest.mark.parametrize("seed", IDENTIFIED)
def test_where_inversions_start(seed: int, behavior: str) -> None:
    """At one θ and at the optimum, whatever δ each inversion starts from."""
    drawn, problem, expected = reference(seed)
    found = solve_here(problem, **fixed(drawn), delta_behavior=behavior)
    assert_same(found, expected)
    arguments = {**drawn.solution, "method": "1s", "initial_update": False}
    anchored = solve_here(problem, **arguments)
    other = solve_here(problem, **arguments, delta_behavior=behavior)
    assert distance(other.objective, anchored.objective) <= 1e-9
    assert distance(other.parameters, anchored.parameters) <= 1e-6
    assert distance(other.delta, anchored.delta) <= 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_any_starting_delta(seed: int) -> None:
    drawn, problem, expected = reference(seed)
    shift = np.random.default_rng(seed).normal(size=expected.delta.shape)
    found = solve_here(problem, **fixed(drawn), delta=expected.delta + shift)
    assert_same(found, expected)


def test_return_keeps_the_starting_delta() -> None:
    drawn, problem, expected = reference(1)
    shifted = expected.delta + 0.1
    found = solve_here(problem, **fixed(drawn), delta=shifted, iteration=("return",))
    np.testing.assert_array_equal(found.delta, shifted)


# 4: steps


@pytest.mark.parametrize("optimised", [False, True], ids=["one theta", "optimum"])
@pytest.mark.parametrize("seed", IDENTIFIED)
def test_two_steps_are_one_and_one(seed: int, optimised: bool) -> None:
    drawn, problem, _ = reference(seed)
    arguments = dict(drawn.solution) if optimised else fixed(drawn)
    arguments |= {"initial_update": False}
    both = solve_here(problem, **{**arguments, "method": "2s"})
    one = {**arguments, "method": "1s"}
    first = solve_here(problem, **one)
    again = {**one, "sigma": first.sigma, "W": first.updated_W, "delta": first.delta}
    if "pi" in one:
        again["pi"] = first.pi
    if "beta" in one:
        held = [b is not None for b in one["beta"]]
        values = zip(held, first.beta[:, 0].tolist(), strict=True)
        again["beta"] = [value if h else None for h, value in values]
    second = solve_here(problem, **again)
    tolerance = 1e-6 if optimised else TOLERANCE
    assert distance(both.last_results.parameters, first.parameters) == 0.0
    assert distance(second.objective, both.objective) <= TOLERANCE * 100
    for name in ("parameters", "xi", "delta", "updated_W"):
        gap = distance(getattr(second, name), getattr(both, name))
        assert gap <= tolerance, (name, gap)


def test_an_initial_update_is_a_step_without_moving() -> None:
    drawn, problem, _ = reference(1)
    arguments = {**fixed(drawn), "method": "1s"}
    at_once = solve_here(problem, **{**arguments, "initial_update": True})
    before = solve_here(problem, **{**arguments, "initial_update": False})
    after = solve_here(
        problem, **{**arguments, "initial_update": False, "W": before.updated_W}
    )
    assert_same(at_once, after)


# 5: units and columns


@pytest.mark.parametrize("seed", SEEDS)
def test_unscaled_objective_is_the_objective_by_n(seed: int) -> None:
    drawn, problem, _ = reference(seed)
    arguments = {**fixed(drawn), "method": "1s", "initial_update": False}
    scaled = solve_here(problem, **{**arguments, "scale_objective": True})
    plain = solve_here(problem, **{**arguments, "scale_objective": False})
    n = scaled.delta.size
    assert distance(n * plain.objective, scaled.objective) <= 1e-14
    assert distance(n * plain.gradient, scaled.gradient) <= 1e-14
    assert distance(plain.beta_se, scaled.beta_se) == 0.0


def test_columns_of_fields_side_by_side_or_as_a_matrix() -> None:
    drawn, _, expected = reference(1)
    specification = drawn.specification
    products = dict(specification.products)
    names = sorted(
        (n for n in products if n.startswith("demand_instruments")),
        key=lambda n: int(n.removeprefix("demand_instruments")),
    )
    products["demand_instruments"] = np.column_stack([products.pop(n) for n in names])
    found = build_here(replace(specification, products=products))
    assert_same(solve_here(found, **fixed(drawn), blocks=1), expected)


@needs_nevo_data
@pytest.mark.parametrize("n_blocks", [2, 7, 94])
def test_any_cut_of_nevos_markets(n_blocks: int) -> None:
    problem = build_here(nevo())
    sigma = np.diag([0.3302, 2.4526, 0.0163, 0.2441])
    pi = np.zeros((4, 4))
    pi[0, 0], pi[1, 0], pi[1, 3] = 5.4819, 15.8935, 2.6342
    arguments = {"sigma": sigma, "pi": pi, "method": "1s", **FIXED}
    arguments["check_optimality"] = "gradient"
    one = solve_here(problem, **arguments, blocks=1)
    assert_same(solve_here(problem, **arguments, blocks=n_blocks), one)
