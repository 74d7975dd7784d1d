"""Continuously updated GMM against plain formulas, finite differences, linearmodels.

Invariants: q is c ḡ'S⁻¹ḡ of dense matrices; its gradient is that of q, whatever S is,
with effects, supply and blocks; J'r is half the gradient; instruments may be scaled and
turned; at the estimate W is the weighting matrix of the estimate.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.driver.serial import SerialEngine
from blpdask.errors import InputError, NumericalError
from blpdask.estimators.continuous_update import ContinuousUpdate
from blpdask.estimators.gmm import two_stage_weights
from blpdask.estimators.gmm_objective import GmmObjective
from blpdask.estimators.gmm_options import GmmOptions
from blpdask.model.widened import widen
from blpdask.moments.objective import prepare_linear_gmm
from blpdask.progress import silent
from blpdask.simulation.markets import MarketDesign, simulate_markets

SIGMA = np.diag([0.6, 0.6])


@pytest.fixture(scope="module", autouse=True)
def quiet():
    kept = blpdask.options.verbose
    blpdask.options.verbose = False
    yield
    blpdask.options.verbose = kept


def build(
    absorb: str | None = None,
    *,
    supply: bool = False,
    ways: tuple[int, int] = (90, 100),
    **choices: Any,
) -> Any:
    design = MarketDesign(n_markets=30, n_products=6, n_agents=20, pi=())
    data = simulate_markets(design, seed=5)
    products = data.product_data.sample(frac=1.0, random_state=0).reset_index(drop=True)
    rng = np.random.default_rng(1)
    n = len(products)
    del products["clustering_ids"]
    for way, count in enumerate(ways):
        products[f"clustering_ids{way}"] = rng.integers(0, count, n)
    products["town"] = rng.integers(0, 4, n)
    products["w"] = rng.normal(size=n)
    formulas: list[Any] = [
        blpdask.Formulation("0 + prices + x1", absorb=absorb)
        if absorb
        else blpdask.Formulation("1 + prices + x1"),
        blpdask.Formulation(data.formulations().nonlinear),
    ]
    if supply:
        products["supply_instruments0"] = rng.normal(size=n)
        formulas.append(blpdask.Formulation("1 + w", absorb=None))
    return blpdask.Problem(formulas, products, agent_data=data.agent_data, **choices)


class Evaluator:
    """q(ψ) of a problem, at the floor below a solve."""

    def __init__(self, problem: Any, blocks: int = 3, beta: Any = None, **choices: Any):
        self.problem = problem
        self.prepared = problem.prepare(SerialEngine(), silent, blocks)
        gamma = None
        parameters = problem.outline.lay_out(
            sigma=SIGMA, beta=beta, gamma=gamma, bounded=True, default_bounds=False
        )
        K = len(parameters.linear_labels)
        b = np.where(
            parameters.concentrated,
            np.linspace(-1, 1.5, K),
            parameters.start.linear[:, 0],
        )
        self.wide = widen(parameters, b[:, None])
        self.options = GmmOptions(**choices)
        self.placement = SerialEngine().place(self.prepared.source)
        self.update = ContinuousUpdate(
            self.prepared, self.placement, self.wide.parameters, self.options
        )
        linear = prepare_linear_gmm(
            ZtX=self.prepared.ZtX,
            concentrated=self.wide.parameters.concentrated,
            W=two_stage_weights(self.prepared),
            n_observations=self.prepared.n_products,
            scale_objective=self.options.scale_objective,
        )
        self.objective = GmmObjective(
            placement=self.placement,
            parameters=self.wide.parameters,
            linear=linear,
            options=self.options,
            anchor=None,
            origin=None,
            step=1,
            listener=silent,
            name_markets=str,
            reweight=self.update,
        )

    @property
    def psi(self):
        return self.wide.parameters.theta


def relative_gaps(evaluator: Evaluator) -> np.ndarray:
    """Compare the gradient with central differences of q at two steps, Richardson."""
    psi = evaluator.psi
    gradient = evaluator.objective(psi).gradient

    def slope(p, h):
        shift = np.zeros_like(psi)
        shift[p] = h
        up, down = (
            evaluator.objective(psi + s, derivatives=False).objective
            for s in (shift, -shift)
        )
        return (up - down) / (2 * h)

    h = 2e-4
    found = [(4 * slope(p, h / 2) - slope(p, h)) / 3 for p in range(psi.size)]
    return np.abs(found - gradient) / np.abs(gradient).max()


TYPES = ["robust", "unadjusted", "clustered"]


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("W_type", TYPES)
@pytest.mark.parametrize("absorb", [None, "C(firm_ids)", "C(firm_ids) + C(town)"])
def test_the_gradient_is_that_of_the_objective(absorb, W_type, center):
    evaluator = Evaluator(build(absorb), W_type=W_type, center_moments=center)
    assert relative_gaps(evaluator).max() < 1e-7


@pytest.mark.parametrize("W_type", TYPES)
def test_the_gradient_with_instruments_that_are_not_absorbed(W_type):
    problem = build("C(firm_ids)", add_exogenous=False)
    assert relative_gaps(Evaluator(problem, W_type=W_type)).max() < 1e-7


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("W_type", TYPES)
def test_the_gradient_with_supply(W_type, center):
    problem = build("C(firm_ids)", supply=True)
    evaluator = Evaluator(
        problem, beta=[-2.0, None], W_type=W_type, center_moments=center
    )
    assert relative_gaps(evaluator).max() < 1e-7


def test_the_residual_has_the_gradient():
    evaluator = Evaluator(build("C(firm_ids)"))
    point = evaluator.objective(evaluator.psi)
    np.testing.assert_allclose(point.residual @ point.residual, point.objective)
    np.testing.assert_allclose(
        2 * point.residual_jacobian.T @ point.residual, point.gradient, rtol=1e-12
    )


@pytest.mark.parametrize("scale_objective", [True, False])
@pytest.mark.parametrize("W_type", TYPES)
def test_the_objective_is_that_of_dense_matrices(W_type, scale_objective):
    problem = build()
    evaluator = Evaluator(problem, W_type=W_type, scale_objective=scale_objective)
    psi = evaluator.psi
    point = evaluator.objective(psi)
    given = problem.solve(
        np.diag(psi[:2]),
        beta=psi[2:],
        method="1s",
        optimization=blpdask.Optimization("return"),
        check_optimality="gradient",
    )
    products, xi = problem.demand.products, given.xi[:, 0]
    g = xi[:, None] * products.ZD
    mean = g.mean(axis=0)
    g = g - mean
    N = xi.size
    ways = products.clusters
    S = {
        "robust": g.T @ g / N,
        "unadjusted": xi.var() * products.ZD.T @ products.ZD / N,
        "clustered": g.T @ (ways[:, None] == ways[None]).any(axis=2) @ g / N,
    }[W_type]
    expected = mean @ np.linalg.solve(S, mean) * (N if scale_objective else 1)
    np.testing.assert_allclose(point.objective, expected, rtol=1e-9)


def solve(problem: Any, **settings: Any) -> Any:
    return problem.solve(SIGMA, **{"method": "cue", **settings})


@pytest.fixture(scope="module")
def estimated():
    return solve(build())


def test_weights_are_those_of_the_estimate(estimated):
    assert estimated.converged
    assert estimated.step == 2 and estimated.last_results.step == 1
    assert "CUE" in str(estimated) and "CUE" not in str(estimated.last_results)
    np.testing.assert_allclose(
        estimated.W @ estimated.moments_covariances,
        np.eye(estimated.moments.size),
        atol=1e-8,
    )
    np.testing.assert_allclose(estimated.updated_W, estimated.W, rtol=1e-12)
    g = estimated.moments[:, 0]
    expected = estimated.estimates.n_products * g @ estimated.W @ g
    np.testing.assert_allclose(estimated.objective, expected, rtol=1e-9)
    assert np.abs(estimated.projected_gradient).max() < 1e-5
    assert (estimated.reduced_hessian_eigenvalues > 0).all()


def test_it_is_lower_than_at_other_estimates(estimated):
    """CUE's minimum is below q, with weights of themselves, of one and two steps."""
    problem = build()
    for method in ("1s", "2s"):
        other = problem.solve(SIGMA, method=method)
        g = other.moments[:, 0]
        S = other.moments_covariances
        value = other.estimates.n_products * g @ np.linalg.solve(S, g)
        assert float(estimated.objective) < value


def test_instruments_may_be_scaled_and_turned(estimated):
    """q, θ and β stay where Z becomes ZA, and steps of one and two weights do not."""
    problem = build()
    products = problem.demand.products
    M = problem.MD
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(M, M)))[0]
    turned = products.ZD @ turn * 10.0 ** np.linspace(-2, 2, M)
    table = {
        name: np.asarray(problem.products[name])
        for name in ("market_ids", "firm_ids", "shares", "clustering_ids")
    }
    names = ("prices", "x1", "x2")
    table |= {n: products.variables[n] for n in names if n in products.variables}
    other = blpdask.Problem(
        problem.product_formulations[:2],
        table | {"demand_instruments": turned},
        agent_data=problem._agent_data,
        add_exogenous=False,
    )
    found = solve(other)
    np.testing.assert_allclose(found.objective, estimated.objective, rtol=1e-9)
    np.testing.assert_allclose(found.theta, estimated.theta, rtol=1e-6)
    np.testing.assert_allclose(found.beta, estimated.beta, rtol=1e-6)
    np.testing.assert_allclose(found.beta_se, estimated.beta_se, rtol=1e-5)


@pytest.mark.parametrize("absorb", [None, "C(firm_ids)"])
def test_blocks_and_threads_do_not_matter(absorb):
    problem = build(absorb)
    one = solve(problem, blocks=4, engine="serial")
    other = solve(problem, blocks=4, threads=3)
    np.testing.assert_array_equal(one.parameters, other.parameters)
    cut = solve(problem, blocks=1)
    np.testing.assert_allclose(cut.parameters, one.parameters, rtol=1e-6)


def test_linear_parameters_in_theta_are_reported_there():
    problem = build()
    free = solve(problem)
    given = solve(problem, beta=[None, -2.0, None])
    np.testing.assert_allclose(given.beta, free.beta, rtol=1e-6)
    np.testing.assert_allclose(given.sigma, free.sigma, rtol=1e-6)
    np.testing.assert_allclose(given.beta_se, free.beta_se, rtol=1e-5)
    assert given.theta.size == 3 and free.theta.size == 2
    np.testing.assert_allclose(given.theta[2], free.beta[1, 0], rtol=1e-6)


def test_a_fixed_parameter_stays():
    bounds = (np.array([-np.inf, -2.0, -np.inf]), np.array([np.inf, -2.0, np.inf]))
    found = solve(build(), beta=[None, -2.0, None], beta_bounds=bounds)
    assert found.beta[1, 0] == -2.0 and np.isnan(found.beta_se[1, 0])


def logit_table(seed: int = 0) -> Any:
    import pandas as pd

    rng = np.random.default_rng(seed)
    T, J = 150, 4
    n = T * J
    z = rng.normal(size=(n, 4))
    xi = rng.normal(size=n) * (0.5 + np.abs(z[:, 0]))
    prices = 2 + z @ [0.5, 0.4, 0.3, 0.1] + 0.7 * xi + rng.normal(size=n)
    x = rng.normal(size=n)
    exp = np.exp(0.5 - prices + 0.5 * x + xi).reshape(T, J)
    shares = (exp / (1 + exp.sum(axis=1, keepdims=True))).ravel()
    table = pd.DataFrame({"market_ids": np.repeat(np.arange(T), J), "shares": shares})
    table["prices"], table["x"] = prices, x
    table["clustering_ids"] = table["market_ids"] // 3
    for m in range(4):
        table[f"demand_instruments{m}"] = z[:, m]
    return table


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("kind", ["robust", "unadjusted", "clustered"])
def test_linear_estimates_are_those_of_linearmodels(kind, center):
    """To 1e-6, standard errors too, of S without small-sample corrections."""
    from linearmodels.iv import IVGMMCUE

    table = logit_table()
    problem = blpdask.Problem(blpdask.Formulation("1 + prices + x"), table)
    found = problem.solve(
        method="cue", W_type=kind, se_type=kind, center_moments=center
    )
    outside = 1 - table.groupby("market_ids")["shares"].transform("sum")
    y = np.log(table["shares"]) - np.log(outside)
    exogenous = np.column_stack([np.ones(len(table)), table["x"]])
    Z = table[[f"demand_instruments{m}" for m in range(4)]].to_numpy()
    clusters = {"clusters": table["clustering_ids"].to_numpy()}
    extra = clusters if kind == "clustered" else {}
    model = IVGMMCUE(
        y.to_numpy(),
        exogenous,
        table["prices"].to_numpy(),
        Z,
        weight_type=kind,
        center=center,
        **extra,
    )
    expected = model.fit(
        cov_type=kind,
        center=center,
        opt_options={"options": {"gtol": 1e-10, "maxiter": 500}},
        **extra,
    )
    order = [0, 2, 1]
    np.testing.assert_allclose(found.beta[order, 0], expected.params, rtol=1e-6)
    np.testing.assert_allclose(found.objective, expected.j_stat.stat, rtol=1e-6)
    V = found.parameter_covariances / len(table)
    np.testing.assert_allclose(
        V[np.ix_(order, order)], expected.cov, rtol=1e-5, atol=1e-12
    )


def test_what_cannot_be_continuously_updated_is_refused():
    problem = build()
    with pytest.raises(InputError, match="finite_differences=True with method='cue'"):
        solve(problem, finite_differences=True)
    with pytest.raises(InputError, match="clustered_psd"):
        solve(problem, W_type="clustered_psd")
    with pytest.raises(InputError, match="max_steps=0"):
        solve(problem, method="iterated", max_steps=0, steps_tol=-1)


def test_fewer_clusters_than_moments_are_refused():
    table = logit_table()
    table["clustering_ids"] = table["market_ids"] % 4
    problem = blpdask.Problem(blpdask.Formulation("1 + prices + x"), table)
    with (
        pytest.warns(blpdask.errors.NumericalWarning),
        pytest.raises(NumericalError, match="not positive definite"),
    ):
        problem.solve(method="cue", W_type="clustered")


def test_choices_do_not_change_the_estimate(estimated):
    for changed in itertools.chain(
        ({"delta_behavior": b} for b in ("first", "last", "logit")),
        ({"optimization": blpdask.Optimization("bfgs", {"gtol": 1e-7})},),
    ):
        found = solve(build(), **changed)
        np.testing.assert_allclose(found.theta, estimated.theta, rtol=1e-4)
        np.testing.assert_allclose(found.objective, estimated.objective, rtol=1e-8)


def test_the_jacobian_is_that_of_the_efficient_score():
    """J'J = c (Ḡ - Γh)'S⁻¹(Ḡ - Γh) of dense matrices, without effects."""
    problem = build()
    evaluator = Evaluator(problem)
    psi = evaluator.psi
    found = evaluator.objective(psi).residual_jacobian
    given = problem.solve(
        np.diag(psi[:2]),
        beta=psi[2:],
        method="1s",
        optimization=blpdask.Optimization("return"),
        check_optimality="gradient",
    )
    Z, u = problem.demand.products.ZD, given.xi[:, 0]
    g = u[:, None] * Z
    mean, N = g.mean(axis=0), u.size
    S = (g - mean).T @ (g - mean) / N
    h = np.linalg.solve(S, mean)
    D = given.xi_by_theta_jacobian
    t = (g - mean) @ h
    G = Z.T @ D / N - (t[:, None] * Z).T @ D / N
    np.testing.assert_allclose(
        found.T @ found, N * G.T @ np.linalg.solve(S, G), rtol=1e-7
    )


def test_the_hessian_is_that_of_the_objective_minimised_over_beta(estimated):
    """Second differences of q at fixed σ, each minimised over β."""
    problem, q = build(), float(estimated.objective)
    places = [(0, 0), (1, 1)]
    for p, place in enumerate(places):
        h = 0.02 * abs(estimated.sigma[place])
        values = []
        for sign in (1, -1):
            sigma = estimated.sigma.copy()
            sigma[place] += sign * h
            # The other σ is free, so that the curvature is 1 / (H⁻¹)_pp.
            low, high = np.full((2, 2), -np.inf), np.full((2, 2), np.inf)
            low[place] = high[place] = sigma[place]
            fixed = problem.solve(sigma, sigma_bounds=(low, high), method="cue")
            values.append(float(fixed.objective))
        curvature = (sum(values) - 2 * q) / h**2
        expected = 1 / np.linalg.inv(estimated.hessian)[p, p]
        np.testing.assert_allclose(curvature, expected, rtol=0.02)


class Stopped(Exception):
    """A run is stopped from outside."""


@pytest.mark.parametrize("evaluations", [1, 4, 7])
def test_a_run_that_is_stopped_goes_on_with_the_same_bits(tmp_path, evaluations):
    problem = build("C(firm_ids)")
    told: list[Any] = []

    def stop(event: Any) -> None:
        told.append(event)
        late = [e for e in told if e.step == 2 and hasattr(e, "objective")]
        if len(late) == evaluations:
            raise Stopped

    settings = {"blocks": 3, "resume": tmp_path / "run", "engine": "serial"}
    with pytest.raises(Stopped):
        solve(problem, progress=stop, **settings)
    resumed = solve(problem, **settings)
    plain = solve(problem, blocks=3, engine="serial")
    np.testing.assert_array_equal(resumed.parameters, plain.parameters)
    np.testing.assert_array_equal(resumed.hessian, plain.hessian)
    np.testing.assert_array_equal(
        resumed.parameter_covariances, plain.parameter_covariances
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["iterated", "cue"])
def test_workers_give_the_bits_of_one_thread(method):
    from tests.driver.clusters import cluster

    problem = build("C(firm_ids)")
    settings = {
        "method": method,
        "blocks": 5,
        "W_type": "clustered",
        "se_type": "clustered",
    }
    one = solve(problem, engine="serial", **settings)
    with cluster(2) as client:
        other = solve(problem, engine=client, **settings)
    np.testing.assert_array_equal(one.parameters, other.parameters)
    np.testing.assert_array_equal(one.W, other.W)
    np.testing.assert_array_equal(one.hessian, other.hessian)
