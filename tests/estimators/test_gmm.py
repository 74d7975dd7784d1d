"""GMM where something goes wrong: failed starts, collinear columns, unused nodes.

A failed inversion never wins, is never called converged, and is never hidden; a linear
parameter that is not identified leaves the objective and its gradient right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.errors import DataWarning, NumericalError, NumericalWarning
from blpdask.simulation.markets import MarketDesign, simulate_markets

pytestmark = pytest.mark.filterwarnings("ignore::blpdask.errors.NumericalWarning")


@pytest.fixture(scope="module", autouse=True)
def quiet():
    kept = blpdask.options.verbose
    blpdask.options.verbose = False
    yield
    blpdask.options.verbose = kept


@pytest.fixture(scope="module")
def data():
    design = MarketDesign(n_markets=30, n_products=6, n_agents=60, pi=())
    return simulate_markets(design, seed=2)


@pytest.fixture(scope="module")
def problem(data):
    return build(data)


def build(data, linear: str | None = None, **products: Any):
    formulas = data.formulations()
    return blpdask.Problem(
        (
            blpdask.Formulation(linear or formulas.linear),
            blpdask.Formulation(formulas.nonlinear),
        ),
        data.product_data.assign(**products),
        agent_data=data.agent_data,
    )


WRECK = np.array([[4000.0, 9000.0]])


@pytest.mark.parametrize("behavior", ["punish", "revert"])
@pytest.mark.parametrize("method", ["structured", "l-bfgs-b"])
def test_a_failed_start_never_wins(problem, data, behavior, method):
    settings: dict[str, Any] = {
        "method": "1s",
        "optimization": blpdask.Optimization(method),
        "error_behavior": behavior,
        "check_optimality": "gradient",
    }
    alone = problem.solve(data.truth.sigma, **settings)
    both = problem.solve(data.truth.sigma, starts=WRECK, **settings)
    np.testing.assert_allclose(both.objective, alone.objective, rtol=1e-9)
    table = both.starts_frame()
    assert table["converged"].tolist()[0]
    assert both.converged


def test_a_search_that_ends_in_failure_is_not_converged(problem):
    results = problem.solve(
        np.diag([4000.0, 9000.0]),
        method="1s",
        optimization=blpdask.Optimization("return"),
        iteration=blpdask.Iteration("simple", {"max_evaluations": 3}),
        check_optimality="gradient",
    )
    assert not results.converged
    assert (results.fp_converged == 0).any()
    assert "did not reach the tolerance" in str(results)


def test_raising_names_the_markets(problem, data):
    with pytest.raises(NumericalError, match="did not reach the tolerance"):
        problem.solve(
            data.truth.sigma,
            iteration=blpdask.Iteration("simple", {"max_evaluations": 3}),
            error_behavior="raise",
        )


def test_counts_cover_every_start(problem, data):
    counted: list[Any] = []
    results = problem.solve(
        data.truth.sigma,
        method="1s",
        starts=4,
        check_optimality="gradient",
        progress=counted.append,
    )
    evaluations = [event for event in counted if hasattr(event, "objective")]
    assert results.objective_evaluations >= len(evaluations)
    assert results.fp_iterations.shape == (30, results.objective_evaluations)
    assert {event.start for event in evaluations} == {0, 1, 2, 3}


def test_collinear_linear_columns_leave_the_estimates_right(problem, data):
    x1 = data.product_data["x1"]
    with pytest.warns(DataWarning, match="again"):
        doubled = build(data, "1 + prices + x1 + x2 + again", again=2 * x1)
    sigma = 0.5 * data.truth.sigma
    plain = problem.solve(sigma, method="1s")
    found = doubled.solve(sigma, method="1s", W=None)
    np.testing.assert_allclose(found.sigma, plain.sigma, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.objective, plain.objective, rtol=1e-9)


def test_node_columns_between_those_in_use_and_k2(data):
    """Σ uses one column, agents have two, and X2 has three: the second is unused."""
    formulas = data.formulations()
    agents = data.agent_data.assign(income=np.linspace(-1, 1, len(data.agent_data)))
    both = [
        blpdask.Problem(
            (blpdask.Formulation(formulas.linear), blpdask.Formulation("prices + x1")),
            data.product_data,
            blpdask.Formulation("0 + income"),
            table,
        )
        for table in (agents, agents.drop(columns="nodes1"))
    ]
    solved = [
        one.solve(
            np.diag([0.0, 0.7, 0.0]),
            [[0.0], [0.3], [0.2]],
            method="1s",
            optimization=blpdask.Optimization("return"),
            backend=backend,
        )
        for one in both
        for backend in ("numba", "numpy")
    ]
    for other in solved[1:]:
        np.testing.assert_allclose(other.delta, solved[0].delta, rtol=1e-11)
        np.testing.assert_allclose(other.gradient, solved[0].gradient, rtol=1e-8)


def test_the_singular_is_said_once(data):
    with pytest.warns(DataWarning):
        doubled = build(
            data, "1 + prices + x1 + x2 + again", again=data.product_data["x1"]
        )
    with pytest.warns(NumericalWarning) as caught:
        doubled.solve(data.truth.sigma, method="1s", check_optimality="gradient")
    said = [str(w.message) for w in caught if "of the parameters" in str(w.message)]
    assert len(said) == 1
