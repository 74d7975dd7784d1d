"""Simulations: what is drawn, what comes back, what is refused and reported."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import blpdask
from blpdask import Formulation
from blpdask.errors import DataWarning, InputError, NumericalError, NumericalWarning

X1 = Formulation("1 + prices + x")
X2 = Formulation("1 + prices")
X3 = Formulation("1 + x + w")
T, J = 30, 6


def simulate(formulations=(X1, X2, X3), **changed):
    arguments = {
        "product_data": blpdask.build_id_data(T, J, 3),
        "beta": [1.0, -3.0, 0.5],
        "sigma": np.diag([0.5, 0.3]),
        "gamma": [1.0, 0.3, 0.5],
        "integration": blpdask.Integration("product", 4),
        "xi_variance": 0.1,
        "omega_variance": 0.05,
        "seed": 4,
        **changed,
    }
    given = {name: value for name, value in arguments.items() if value is not None}
    return blpdask.Simulation(formulations, **given)


@pytest.fixture(scope="module", autouse=True)
def quiet():
    blpdask.options.verbose, verbose = False, blpdask.options.verbose
    yield
    blpdask.options.verbose = verbose


@pytest.fixture(scope="module")
def simulation(quiet):
    return simulate()


@pytest.fixture(scope="module")
def results(simulation):
    return simulation.replace_endogenous(engine="serial")


def test_first_and_second_order_conditions_hold(simulation, results):
    assert results.fp_converged.all() and results.fp_converged.shape == (T,)
    norms = [n for of in results.profit_gradient_norms.values() for n in of.values()]
    assert len(norms) == 3 * T and max(norms) < 1e-12
    eigenvalues = results.profit_hessian_eigenvalues
    assert all((e < 0).all() for of in eigenvalues.values() for e in of.values())
    assert (results.product_data.prices > results.costs).all()
    np.testing.assert_allclose(
        results.costs,
        simulation.products.X3 @ simulation.gamma + simulation.omega,
        rtol=1e-14,
    )


def nested_data(n_nests=3):
    """Give ids with nests."""
    ids = blpdask.build_id_data(T, J, 3)
    data = {name: ids[name][:, 0] for name in ("market_ids", "firm_ids")}
    return data | {"nesting_ids": np.arange(T * J) % n_nests}


def agents_who_lack_products():
    """Give agents to whom products are there, half there, or not at all."""
    rng = np.random.default_rng(8)
    return {
        "market_ids": np.repeat(np.arange(T), 20),
        "weights": np.full(20 * T, 0.05),
        "nodes": rng.normal(size=(20 * T, 2)),
        "availability": rng.choice([0.0, 0.5, 1.0], (20 * T, J)),
    }


ALIKE = {
    "plain": lambda: {},
    "nests": lambda: {"product_data": nested_data(), "rho": [0.3, 0.0, 0.6]},
    "one rho": lambda: {"product_data": nested_data(2), "rho": 0.4},
    "availability": lambda: {
        "agent_data": agents_who_lack_products(),
        "integration": None,
    },
    "both": lambda: {
        "product_data": nested_data(),
        "rho": 0.4,
        "agent_data": agents_who_lack_products(),
        "integration": None,
    },
    "nested logit": lambda: {
        "formulations": (X1, None, X3),
        "product_data": nested_data(),
        "rho": [0.2, 0.4, 0.5],
        "sigma": None,
        "integration": None,
    },
    "scale": lambda: {"epsilon_scale": 1.7},
}


@pytest.mark.parametrize("kind", ALIKE)
def test_a_problem_of_it_has_the_true_errors_at_the_truth(kind):
    """Inversion and markups undo what equilibrium did."""
    simulation = simulate(**ALIKE[kind]())
    results = simulation.replace_endogenous(engine="serial")
    norms = [n for of in results.profit_gradient_norms.values() for n in of.values()]
    assert max(norms) < 1e-12
    problem = results.to_problem()
    assert (problem.T, problem.N, problem.K3) == (T, T * J, 3)
    at_truth = problem.solve(
        sigma=simulation.sigma if simulation.sigma.size else None,
        rho=simulation.rho if simulation.rho.size else None,
        beta=simulation.beta[:, 0],
        gamma=simulation.gamma[:, 0],
        optimization=blpdask.Optimization("return"),
        method="1s",
        check_optimality="gradient",
    )
    np.testing.assert_allclose(at_truth.xi, simulation.xi, atol=1e-10)
    np.testing.assert_allclose(at_truth.omega, simulation.omega, atol=1e-10)
    np.testing.assert_allclose(at_truth.delta, results.delta, atol=1e-10)


def test_estimates_are_near_the_truth():
    many = simulate(product_data=blpdask.build_id_data(200, J, 3))
    problem = many.replace_endogenous().to_problem()
    found = problem.solve(
        sigma=many.sigma,
        sigma_bounds=(many.sigma, many.sigma),
        beta=[None, -2.5, None],
        method="1s",
    )
    for name in ("beta", "gamma"):
        off = getattr(found, name) - getattr(many, name)
        assert (np.abs(off) < 4 * getattr(found, f"{name}_se")).all(), name


@pytest.mark.parametrize("kind", ["nests", "both", "scale"])
def test_cuts_of_nested_markets_give_the_same_bits(kind):
    simulation = simulate(**ALIKE[kind]())
    one, two = (
        simulation.replace_endogenous(engine=engine, blocks=blocks)
        for engine, blocks in (("serial", 1), ("threads", 7))
    )
    np.testing.assert_array_equal(two.product_data.prices, one.product_data.prices)
    for market, firms in one.profit_hessians.items():
        for firm, hessian in firms.items():
            np.testing.assert_array_equal(two.profit_hessians[market][firm], hessian)


def test_availability_beside_a_rule_is_said_to_be_ignored():
    with pytest.warns(DataWarning, match="availability in agent_data is ignored"):
        simulate(agent_data=agents_who_lack_products())


@pytest.mark.parametrize(
    "how",
    [
        {"engine": "threads", "threads": 2},
        {"engine": "serial", "blocks": 7},
        {"engine": "threads", "threads": 2, "blocks": 7},
    ],
    ids=str,
)
def test_engines_and_cuts_give_the_same_bits(simulation, results, how):
    found = simulation.replace_endogenous(**how)
    for name in ("prices", "shares"):
        np.testing.assert_array_equal(
            found.product_data[name], results.product_data[name]
        )
    np.testing.assert_array_equal(found.delta, results.delta)


def test_a_cluster_gives_the_same_bits(simulation, results):
    with blpdask.parallel(2):
        found = simulation.replace_endogenous(engine="dask", blocks=4)
    np.testing.assert_array_equal(
        found.product_data.prices, results.product_data.prices
    )
    assert found.profit_hessians[0].keys() == {0, 1, 2}


def test_backends_agree(simulation, results):
    found = simulation.replace_endogenous(backend="numpy")
    np.testing.assert_allclose(
        found.product_data.prices, results.product_data.prices, rtol=1e-12
    )


def test_squarem_takes_fewer_evaluations(simulation, results):
    found = simulation.replace_endogenous(
        iteration=blpdask.Iteration("squarem", {"atol": 1e-13})
    )
    np.testing.assert_allclose(
        found.product_data.prices, results.product_data.prices, rtol=1e-9
    )
    plain = simulation.replace_endogenous(
        iteration=blpdask.Iteration("simple", {"atol": 1e-12})
    )
    assert found.contraction_evaluations.sum() < plain.contraction_evaluations.sum()
    # Nobody who says nothing waits longer.
    assert results.contraction_evaluations.sum() < found.contraction_evaluations.sum()
    np.testing.assert_allclose(
        plain.product_data.prices, results.product_data.prices, rtol=1e-11
    )


def test_return_gives_perfect_competition(simulation):
    found = simulation.replace_endogenous(iteration=blpdask.Iteration("return"))
    np.testing.assert_array_equal(found.product_data.prices, found.costs)


def test_a_plain_logit_needs_no_agents():
    plain = simulate((X1, None, X3), sigma=None, integration=None)
    found = plain.replace_endogenous()
    prices, shares = found.product_data.prices[:, 0], found.product_data.shares[:, 0]
    markets, firms = plain.product_data.market_ids[:, 0], plain.product_data.firm_ids
    pairs = np.array([f"{m} {f}" for m, f in zip(markets, firms[:, 0], strict=True)])
    _, codes = np.unique(pairs, return_inverse=True)
    owned = np.bincount(codes, shares)[codes]
    np.testing.assert_allclose(
        prices - found.costs[:, 0], 1 / (3 * (1 - owned)), rtol=1e-10
    )
    assert plain.agent_data is None and found.to_problem().K2 == 0


def test_costs_can_be_given_without_X3():
    given = simulate((X1, X2), gamma=None, xi=np.zeros(T * J))
    found = given.replace_endogenous(costs=np.full(T * J, 1.5))
    np.testing.assert_array_equal(found.costs, np.full((T * J, 1), 1.5))
    with pytest.raises(InputError, match="no costs"):
        given.replace_endogenous()
    assert found.to_problem().K3 == 0


def test_replacing_characteristics_makes_prices_optimal(simulation, results):
    """Equilibrium at the characteristics found gives the prices back."""
    X = (Formulation("1 + prices + x"), X2, Formulation("1 + w"))
    data = {
        name: results.product_data[name][:, 0]
        for name in ("market_ids", "firm_ids", "prices", "shares")
    }
    before = simulate(X, product_data=data, gamma=[1.0, 0.5])
    found = before.replace_exogenous("x", "w")
    assert found.profit_gradients is None and found.fp_converged.all()
    data |= {name: found.product_data[name][:, 0] for name in ("x", "w")}
    after = simulate(
        X, product_data=data, gamma=[1.0, 0.5], xi=before.xi, omega=before.omega
    )
    again = after.replace_endogenous(prices=data["prices"])
    np.testing.assert_allclose(again.delta, found.delta, atol=1e-9)
    np.testing.assert_allclose(again.costs, found.costs, atol=1e-12)
    np.testing.assert_allclose(
        again.product_data.prices[:, 0], data["prices"], rtol=1e-9
    )
    np.testing.assert_allclose(
        again.product_data.shares[:, 0], data["shares"], rtol=1e-9
    )


def test_starting_values_do_not_matter(simulation):
    X = (X1, X2, Formulation("1 + w"))
    plain = simulate(X, gamma=[1.0, 0.5])
    one = plain.replace_exogenous("x", "w", error_behavior="warn")
    other = plain.replace_exogenous(
        "x", "w", delta=one.delta + 0.1, error_behavior="warn", blocks=4
    )
    np.testing.assert_allclose(other.delta, one.delta, atol=1e-12)
    for iteration in ("squarem", "hybr"):
        found = plain.replace_exogenous(
            "x",
            "w",
            iteration=blpdask.Iteration(iteration),
            error_behavior="warn",
        )
        np.testing.assert_allclose(found.delta, one.delta, atol=1e-7)


def test_markets_that_do_not_converge_are_named(simulation):
    few = blpdask.Iteration("simple", {"atol": 1e-12, "max_evaluations": 3})
    with pytest.raises(NumericalError, match=r"in 30 markets \(0, 1, .* not reach"):
        simulation.replace_endogenous(iteration=few)
    with pytest.warns(NumericalWarning, match="within the allowed evaluations"):
        found = simulation.replace_endogenous(iteration=few, error_behavior="warn")
    assert not found.fp_converged.any()
    assert (found.contraction_evaluations == 3).all()


def test_costs_that_cannot_be_are_named():
    X = (X1, X2, Formulation("1 + w"))
    bad = simulate(X, gamma=[1.0, 0.5], beta=[1.0, -0.4, 0.5], costs_type="log")
    with pytest.raises(NumericalError, match="marginal costs are not positive"):
        bad.replace_exogenous("x", "w")
    with pytest.warns(NumericalWarning):
        found = bad.replace_exogenous("x", "w", error_behavior="warn")
    missing = np.isnan(found.product_data.w)
    assert missing.any() and np.isfinite(found.product_data.x).all()


def test_seeds():
    assert np.array_equal(simulate().xi, simulate().xi)
    assert not np.array_equal(simulate().xi, simulate(seed=5).xi)


def test_what_is_printed_and_kept(simulation, results, tmp_path):
    assert "True Π" not in str(simulation) and "True γ" in str(simulation)
    assert "-3.000000E+00" in str(simulation)
    assert "Profit Gradients" in str(results)
    assert set(results.to_dict()) >= {"product_data", "costs", "fp_converged"}
    results.to_pickle(tmp_path / "results.pickle")
    read = blpdask.read_pickle(tmp_path / "results.pickle")
    np.testing.assert_array_equal(read.delta, results.delta)
    assert pickle.loads(pickle.dumps(simulation)).N == simulation.N
    bare = simulation.replace_endogenous(
        compute_gradients=False, compute_hessians=False
    )
    assert bare.profit_gradients is None and bare.profit_hessian_eigenvalues is None
    assert "Profit" not in str(bare)
    assert simulation.MD == simulation.MS == 0 and simulation.F == 3


def test_every_fault_at_once(simulation):
    with pytest.raises(InputError) as caught:
        simulation.replace_endogenous(
            costs=np.ones(3),
            prices="high",
            iteration=blpdask.Iteration("hybr"),
            error_behavior="ignore",
            backend="fortran",
        )
    assert len(caught.value.faults) == 5
    assert "'simple', 'squarem', 'return'" in str(caught.value)
    with pytest.raises(InputError) as caught:
        simulation.replace_exogenous("prices", "x", fp_type="square")
    assert len(caught.value.faults) == 3
    with pytest.raises(InputError, match="X3_name=None"):
        simulation.replace_exogenous("w")


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"rho": 0.5}, "rho of shape"),
        ({"product_data": nested_data(), "rho": [0.5, 0.5]}, "rho of shape"),
        ({"product_data": nested_data(), "rho": 1.0}, "rho of 1"),
        ({"phi": 0.5}, "phi"),
        ({"beta": [1.0, None, 0.5]}, "beta="),
        ({"gamma": [1.0]}, "gamma="),
        ({"sigma": None}, "no sigma"),
        ({"xi": np.ones(3)}, "xi of size 3"),
        ({"xi": np.ones(T * J)}, "xi without omega"),
        ({"omega": np.ones(T * J)}, "no xi"),
        ({"correlation": 2.0}, "correlation=2"),
        ({"xi_variance": -1.0}, "xi_variance=-1"),
        ({"epsilon_scale": -0.5}, "epsilon_scale"),
        (
            {"product_data": nested_data(), "rho": 0.5, "epsilon_scale": 0.5},
            "epsilon_scale=0.5 with nesting_ids",
        ),
        ({"costs_type": "cubic"}, "costs_type"),
        ({"integration": None}, "neither agent_data nor integration"),
        ({"product_data": {"market_ids": [0, 0]}}, "no column 'firm_ids'"),
        (
            {"product_data": {"market_ids": [0], "firm_ids": [0], "nesting_ids": [0]}},
            "no rho",
        ),
        (
            {"product_data": {"market_ids": [0], "firm_ids": [0], "lag_indices": [0]}},
            "lag_indices",
        ),
    ],
    ids=str,
)
def test_what_is_refused(changed, found):
    with pytest.raises(InputError, match=found):
        simulate(**changed)


def test_absorbed_effects_are_refused():
    with pytest.raises(InputError, match="no absorbed effects in a simulation"):
        simulate((Formulation("prices", absorb="C(firm_ids)"), X2, X3))
