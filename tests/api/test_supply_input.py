"""What a supply side is given: faults named all at once, and what comes back."""

from __future__ import annotations

import numpy as np
import pytest

import blpdask
from blpdask.errors import InputError

N, J = 60, 3
X1 = blpdask.Formulation("1 + prices + x")
X3 = blpdask.Formulation("1 + x")


def table(**changed):
    rng = np.random.default_rng(4)
    data = {
        "market_ids": np.repeat(np.arange(N // J), J),
        "firm_ids": np.tile([0, 0, 1], N // J),
        "shares": rng.uniform(0.05, 0.2, N),
        "prices": rng.uniform(2.0, 4.0, N),
        "x": rng.normal(size=N),
        "demand_instruments0": rng.normal(size=N),
        "supply_instruments0": rng.normal(size=N),
        **changed,
    }
    return {name: values for name, values in data.items() if values is not None}


def build(data, X3=X3, **options):
    return blpdask.Problem((X1, None, X3), data, **options)


@pytest.fixture
def problem():
    return build(table())


def test_every_fault_of_the_data_at_once():
    with pytest.raises(InputError) as caught:
        build(
            table(
                firm_ids=None,
                supply_instruments0=np.where(np.arange(N) == 7, np.nan, 1.0),
            ),
            X3=blpdask.Formulation("1 + prices"),
        )
    message = str(caught.value)
    assert "a supply side without 'firm_ids' or 'ownership'" in message
    assert "prices in the formula of X3" in message
    assert "supply_instruments" in message
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    ("ownership", "found"),
    [
        (np.ones((N, 2)), "2 columns of ownership"),
        (np.full((N, 3), np.nan), "60 rows of ownership with missing weights"),
        (np.array([["a"] * 3] * N), "'ownership' that is not numeric"),
        (np.ones((N - 1, 3)), "59 rows of ownership"),
    ],
)
def test_ownership_that_does_not_fit(ownership, found):
    with pytest.raises(InputError, match=found):
        build(table(ownership=ownership))


def test_every_fault_of_a_solve_at_once(problem):
    with pytest.raises(InputError) as caught:
        problem.solve(gamma=[1.0, 2.0, 3.0], costs_bounds=(2.0, 1.0))
    message = str(caught.value)
    assert "no starting values in beta for prices" in message
    assert "gamma of shape (3, 1)" in message
    assert "costs_bounds=(2.0, 1.0)" in message
    with pytest.raises(InputError, match=r"costs_bounds='low'"):
        problem.solve(beta=[None, -1, None], costs_bounds="low")


def test_gamma_without_a_supply_side_is_refused():
    problem = blpdask.Problem(X1, table())
    with pytest.raises(InputError, match="none, unless X3 is formulated"):
        problem.solve(gamma=[1.0])


def test_costs_without_logarithms_are_reported():
    problem = build(table(), costs_type="log")
    with pytest.warns(Warning, match="marginal costs are not positive"):
        results = problem.solve(
            beta=[None, -0.05, None],
            optimization=blpdask.Optimization("return"),
            method="1s",
            progress=lambda event: None,
        )
    assert not results.converged
    assert any("costs_bounds" in note for note in results.estimates.warnings)


def test_costs_at_their_bounds_are_flagged(problem):
    results = problem.solve(
        beta=[None, -1.0, None],
        costs_bounds=(1.5, None),
        method="1s",
        optimization=blpdask.Optimization("return"),
        progress=lambda event: None,
    )
    clipped = results.clipped_costs[:, 0]
    assert 0 < clipped.sum() < N
    assert (results.tilde_costs[clipped, 0] == 1.5).all()
    assert (results.tilde_costs[~clipped, 0] > 1.5).all()
    assert not results.omega_by_theta_jacobian[clipped].any()


def test_results_are_saved_with_their_costs(problem, tmp_path):
    results = problem.solve(
        beta=[None, -1.0, None], method="1s", progress=lambda event: None
    )
    results.save(tmp_path / "saved")
    read = blpdask.read_results(tmp_path / "saved")
    for name in ("gamma", "gamma_se", "omega", "tilde_costs", "clipped_costs"):
        np.testing.assert_array_equal(getattr(read, name), getattr(results, name))
    assert "Gamma Estimates" in str(read)


def test_a_recorded_solve_replays_its_costs(problem, tmp_path):
    arguments = {"beta": [None, -1.0, None], "progress": lambda event: None}
    first = problem.solve(**arguments, resume=tmp_path / "run")
    again = problem.solve(**arguments, resume=tmp_path / "run")
    plain = problem.solve(**arguments)
    for results in (again, plain):
        assert results.omega.tobytes() == first.omega.tobytes()
        assert results.parameter_covariances.tobytes() == (
            first.parameter_covariances.tobytes()
        )
