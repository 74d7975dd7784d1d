"""The test of Rivers and Vuong against plain rewrites, reweighting and pyRVtest.

- Without the part of demand, T and F are the formulas, instrument by instrument.
- Ω and F's variances are those of numerical influence functions: rows are reweighted
  one by one, demand and all regressions done again.
- T, F and ρ are pyRVtest's where its formulas are the same.
- Nothing depends on how instruments are scaled or combined; swapping models flips
  signs.
"""

from __future__ import annotations

import numpy as np
import pytest

import blpdask
from blpdask import ConductModel, Formulation
from blpdask.analysis.conduct_demand import DemandError, demand_error, moment_rows
from blpdask.analysis.conduct_strength import critical_values
from blpdask.analysis.model_confidence import model_confidence_p_values
from blpdask.analysis.rivers_vuong import (
    effective_F,
    fit_models,
    orthonormal,
    statistics,
)

from .conduct_markets import COSTS, TESTED, draw_markets, estimate

MODELS = ["bertrand", "monopoly", "perfect_competition", "cournot"]
PAIRS = np.triu_indices(4, 1)


@pytest.fixture(autouse=True, scope="module")
def quiet():
    blpdask.options.verbose, verbose = False, blpdask.options.verbose
    yield
    blpdask.options.verbose = verbose


@pytest.fixture(scope="module")
def data(quiet):
    return draw_markets(3, T=60)


@pytest.fixture(scope="module")
def results(data):
    return estimate(data, optimization=blpdask.Optimization("return"))


def run(results, data, instruments=None, cost=COSTS, models=MODELS, **settings):
    instruments = data[TESTED] if instruments is None else instruments
    return results.run_conduct_test(
        models, instruments, cost, product_data=data, engine="serial", **settings
    )


def residuals(values, w, weights=None):
    """Take w out of columns by a regression."""
    v = np.ones(len(w)) if weights is None else weights
    return values - w @ np.linalg.solve(
        w.T @ (v[:, None] * w), w.T @ (v[:, None] * values)
    )


def shifters(data):
    return np.column_stack([np.ones(len(data)), data["x"], data["w"]])


def test_without_demand_the_statistics_are_the_formulas(results, data):
    found = run(results, data, demand_adjustment=False, se_type="robust")
    N, w = len(data), shifters(data)
    z = residuals(data[TESTED].to_numpy(float), w)
    omega = residuals(data["prices"].to_numpy()[:, None] - found.markups, w)
    W = np.linalg.inv(z.T @ z / N)
    g = [z.T @ u / N for u in omega.T]
    Q = [v @ W @ v for v in g]
    np.testing.assert_allclose(found.Q, Q, rtol=1e-10)
    q = [
        [2 * v @ W @ (zi * ui - v) - (v @ W @ zi) ** 2 + v @ W @ v for zi, ui in rows]
        for v, rows in (
            (v, list(zip(z, u, strict=True))) for v, u in zip(g, omega.T, strict=True)
        )
    ]
    phi = [
        [W @ zi * (ui - zi @ W @ v) for zi, ui in zip(z, u, strict=True)]
        for v, u in zip(g, omega.T, strict=True)
    ]
    for i, j in zip(*PAIRS, strict=True):
        sigma = np.sqrt(np.mean((np.array(q[i]) - q[j]) ** 2))
        T = np.sqrt(N) * (Q[i] - Q[j]) / sigma
        np.testing.assert_allclose(found.statistics[i, j], T, rtol=1e-9)
        a, b, c = (
            sum(np.outer(x, y) for x, y in zip(phi[k], phi[m], strict=True)) / N
            for k, m in ((i, i), (j, j), (i, j))
        )
        A = z.T @ z / N
        s1, s2, s12 = (np.trace(V @ A) / 3 for V in (a, b, c))
        rho = (s1 - s2) / np.sqrt((s1 + s2) ** 2 - 4 * s12**2)
        F = s2 * Q[i] + s1 * Q[j] - 2 * s12 * g[i] @ W @ g[j]
        F *= (1 - rho**2) * N / (2 * 3) / (s1 * s2 - s12**2)
        np.testing.assert_allclose(found.F[i, j], F, rtol=1e-9)
        np.testing.assert_allclose(found.rho[i, j], rho, rtol=1e-9)


#: pyRVtest 0.3.2 with pyblp 1.3.0, on draw_markets(3, T=60), demand at sigma = 1 with
#: method="1s" and W_type="unadjusted", whose updated W it takes for demand's influence.
#: Instruments are orthonormal net of cost shifters. T, F and ρ of pairs of MODELS.
PEER = {
    "plain": (
        [-5.63163654, -1.45685413, -1.5865775, 5.66807918, 5.82628962, 0.26878925],
        [25.45591547, 15.64784967, 10.85890844, 22.24558963, 29.69787333, 10.1135079],
        [-0.54693761, -0.1161689, -0.31277844, 0.49197819, 0.50484528, -0.09808867],
    ),
    "demand": (
        [-5.02984669, -1.36367966, -1.44583318, 5.04757285, 5.19237952, 0.29537423],
        [24.56621502, 8.01222882, 9.29506499, 18.46306588, 25.54296768, 7.88520198],
        [-0.34923107, 0.22720853, 0.00833543, 0.53271769, 0.41845428, -0.2198523],
    ),
    "clusters": (
        [-3.0529657, -1.42061905, -1.77215149, 2.97873352, 3.07342014, 0.3542281],
        [10.21656285, 8.92526906, 6.27397852, 7.11578709, 10.58968029, 8.62858291],
        [-0.58376003, 0.37670329, -0.05611492, 0.77727484, 0.65883931, -0.40646612],
    ),
}


@pytest.mark.parametrize("name", PEER)
def test_statistics_are_pyrvtests(results, data, name):
    plain = name == "plain"
    found = run(
        results,
        data,
        cost=COSTS if plain else Formulation("0 + x + w", absorb="C(region)"),
        demand_adjustment=not plain,
        se_type="clustered" if name == "clusters" else "robust",
    )
    # Its derivatives are differences with a step of 1.5e-8.
    tolerance = 1e-7 if plain else 2e-6
    both = zip((found.statistics, found.F, found.rho), PEER[name], strict=True)
    for ours, theirs in both:
        np.testing.assert_allclose(ours[PAIRS], theirs, rtol=tolerance, atol=1e-6)


def reweighted(data, v):
    """Q, π = W g and α of a logit estimated with rows weighted by v, all over again."""
    N, w = len(data), shifters(data)
    s = data["shares"].to_numpy()
    outside = 1 - data.groupby("market_ids")["shares"].transform("sum").to_numpy()
    X = np.column_stack([np.ones(N), data["prices"], data["x"]])
    ZD = np.column_stack([data["w"], np.ones(N), data["x"]])
    delta = np.log(s / outside)
    alpha = np.linalg.solve(ZD.T @ (v[:, None] * X), ZD.T @ (v * delta))[1]
    # Markups of a logit are those at α = -1, over -α.
    z = residuals(data[TESTED].to_numpy(float), w, v)
    costs = data["prices"].to_numpy()[:, None] + data.attrs["at_one"] / alpha
    omega = residuals(costs, w, v)
    g = z.T @ (v[:, None] * omega) / v.sum()
    A = z.T @ (v[:, None] * z) / v.sum()
    pi = np.linalg.solve(A, g)
    return (g * pi).sum(axis=0), pi


@pytest.fixture(scope="module")
def logit(quiet):
    """Estimate a logit with as many instruments as parameters: Q is plain."""
    data = draw_markets(6, T=40, sigma=0.0)
    data["demand_instruments0"] = data["w"]
    data = data.drop(columns=[f"demand_instruments{k}" for k in (1, 2, 3)])
    return data, estimate(data, random=False)


@pytest.mark.parametrize("se_type", ["robust", "clustered"])
def test_variances_are_those_of_rows_reweighted_one_by_one(logit, se_type):
    data, results = logit
    found = run(results, data, se_type=se_type)
    data.attrs["at_one"] = -results.beta[1, 0] * found.markups
    N, m, step = len(data), len(MODELS), 1e-4
    Q, _ = reweighted(data, np.ones(N))
    np.testing.assert_allclose(Q, found.Q, rtol=1e-9)
    q, pi = np.empty((N, m)), np.empty((N, len(TESTED), m))
    for i in range(N):
        up, down = (reweighted(data, 1 + h * np.eye(N)[i]) for h in (step, -step))
        q[i], pi[i] = (N * (a - b) / (2 * step) for a, b in zip(up, down, strict=True))
    if se_type == "clustered":
        ids = data["clustering_ids"].to_numpy()
        q = np.array([q[ids == c].sum(axis=0) for c in np.unique(ids)])
        pi = np.array([pi[ids == c].sum(axis=0) for c in np.unique(ids)])
    Omega = q.T @ q / N
    scale = np.sqrt(np.outer(Omega.diagonal(), Omega.diagonal()))
    np.testing.assert_allclose(found.covariances / scale, Omega / scale, atol=1e-6)
    own = Omega.diagonal()
    variances = own[:, None] + own - 2 * Omega
    T = np.sqrt(N) * (Q[:, None] - Q)[PAIRS] / np.sqrt(variances[PAIRS])
    np.testing.assert_allclose(found.statistics[PAIRS], T, rtol=1e-5)
    z = residuals(data[TESTED].to_numpy(float), shifters(data))
    sigma = np.einsum("cdl,de,cem->lm", pi, z.T @ z / N, pi) / (N * len(TESTED))
    s = sigma.diagonal()
    rho = (s[:, None] - s) / np.sqrt((s[:, None] + s) ** 2 - 4 * sigma**2 + np.eye(m))
    np.testing.assert_allclose(found.rho[PAIRS], rho[PAIRS], rtol=1e-4, atol=1e-6)


def test_demand_that_was_estimated_adds_to_the_variance(logit):
    data, results = logit
    known = run(results, data, demand_adjustment=False, se_type="robust")
    adjusted = run(results, data, se_type="robust")
    np.testing.assert_array_equal(known.Q, adjusted.Q)
    # Perfect competition has no markups, and nothing to estimate.
    assert adjusted.covariances[2, 2] == known.covariances[2, 2]
    assert adjusted.covariances[1, 1] > 1.05 * known.covariances[1, 1]


def test_instruments_may_be_scaled_and_combined(results, data):
    found = run(results, data)
    mixed = data[TESTED].to_numpy() @ np.array([[3.0, 0, 1], [0, 0.01, 2], [1, 1, 500]])
    other = run(results, data, mixed + shifters(data)[:, [2]])
    for name in ("Q", "statistics", "F", "rho", "covariances"):
        np.testing.assert_allclose(
            getattr(other, name), getattr(found, name), rtol=1e-8, err_msg=name
        )


def test_swapping_models_flips_signs(results, data):
    one = run(results, data, models=["bertrand", "monopoly"])
    two = run(results, data, models=["monopoly", "bertrand"])
    np.testing.assert_allclose(two.statistics[0, 1], -one.statistics[0, 1], rtol=1e-12)
    np.testing.assert_allclose(one.statistics[1, 0], -one.statistics[0, 1], rtol=1e-12)
    np.testing.assert_allclose(two.F[0, 1], one.F[0, 1], rtol=1e-10)
    np.testing.assert_allclose(two.p_values, one.p_values[::-1, ::-1], rtol=1e-9)


def test_absorbed_effects_are_dummies(results, data):
    absorbed = run(results, data, cost=Formulation("0 + x + w", absorb="C(region)"))
    dummies = run(results, data, cost=Formulation("1 + x + w + C(region)"))
    for name in ("Q", "statistics", "F", "covariances"):
        np.testing.assert_allclose(
            getattr(absorbed, name), getattr(dummies, name), rtol=1e-8, err_msg=name
        )


def test_the_same_model_twice_has_no_statistic(results, data):
    again = ConductModel("collusion", kappa=0.0, name="again")
    with np.errstate(all="raise"):
        found = run(results, data, models=["bertrand", again, "monopoly"])
    assert np.isnan([found.statistics[0, 1], found.F[0, 1], found.rho[0, 1]]).all()
    assert np.isfinite(found.statistics[[0, 1], 2]).all()
    assert np.isnan(found.confidence_p_values).all()
    assert "again" in str(found)


@pytest.mark.parametrize("supply", [False, True])
@pytest.mark.parametrize("method", ["1s", "2s"])
def test_rows_of_demand_are_those_of_its_standard_errors(supply, method):
    data = draw_markets(7, T=40)
    if supply:
        data["covariance_instruments0"] = 1.0
    results = estimate(
        data, supply=supply, method=method, beta=[1.0, -1.5, 1.5] if supply else None
    )
    demand = results.problem.demand
    rows = moment_rows(demand, results.estimates)
    np.testing.assert_allclose(rows.mean(axis=0), results.moments[:, 0], atol=1e-12)
    error = demand_error(demand, results.estimates)
    S = error.rows.T @ error.rows / len(data)
    np.testing.assert_allclose(S, results.moments_covariances, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        error.by_row, results.parameter_sensitivity, rtol=1e-6, atol=1e-9
    )


def test_what_has_no_rows_adds_its_covariance():
    rng = np.random.default_rng(2)
    N, d, P, M = 400, 3, 2, 4
    Z, omega = orthonormal(rng.normal(size=(N, d))), rng.normal(size=(N, 2))
    omega += Z[:, :2]
    ZtC = [N * rng.normal(size=(d, P)) for _ in range(2)]
    root = rng.normal(size=(M, M))
    S0, Lambda = root @ root.T, rng.normal(size=(P, M))
    silent = DemandError(np.zeros((N, M)), Lambda, S0)
    found, known = (fit_models(omega, Z, ZtC, e, None) for e in (silent, None))
    V = Lambda @ S0 @ Lambda.T
    g, G = Z.T @ omega / N, [own / N for own in ZtC]
    for i in range(2):
        for j in range(2):
            by_Q = 4 * g[:, i] @ G[i] @ V @ G[j].T @ g[:, j]
            added = found.covariances[i, j] - known.covariances[i, j]
            np.testing.assert_allclose(added, by_Q, rtol=1e-9)
            by_g = np.trace(G[i] @ V @ G[j].T) / d
            added = found.moment_variances[i, j] - known.moment_variances[i, j]
            np.testing.assert_allclose(added, by_g, rtol=1e-9)
    assert np.isfinite(statistics(found)[0, 1]) and effective_F(found)[0][0, 1] > 0


#: pyRVtest 0.3.2's tables, to one digit: d, ρ, sizes 0.075, 0.10, 0.125, then powers
#: 0.95, 0.75, 0.50.
TABLE = [
    (1, 0.0, [0, 0, 0], [29.8, 22.2, 17.8]),
    (1, 0.9, [28.4, 13.5, 0], [5.1, 3.8, 3.1]),
    (1, 0.99, [31.8, 14.5, 8.4], [0.5, 0.4, 0.3]),
    (2, 0.5, [0, 0, 0], [10.7, 8.1, 6.6]),
    (3, 0.3, [0, 0, 0], [9.5, 7.2, 5.9]),
    (10, 0.99, [1.7, 0.4, 0], [0.1, 0.0, 0.0]),
    (20, 0.6, [7.3, 3.6, 2.3], [1.4, 1.1, 1.0]),
    (20, 0.9, [18.3, 8.9, 5.7], [0.3, 0.3, 0.0]),
    (30, 0.8, [29.1, 14.5, 9.6], [0.5, 0.0, 0.0]),
]


@pytest.mark.parametrize(("d", "rho", "size", "power"), TABLE)
def test_critical_values_are_the_published_ones(d, rho, size, power):
    found = critical_values(d, -rho)
    # Theirs are largest values of simulations, which overstates those of size by 4 %.
    np.testing.assert_allclose(found.size, size, rtol=0.045, atol=0.1)
    np.testing.assert_allclose(found.power, power, atol=0.1)


def test_critical_values_are_quantiles_of_simulated_statistics():
    rng, d, rho = np.random.default_rng(0), 20, 0.8
    a = rng.normal(size=(100_000, d))
    b = rho * a + np.sqrt(1 - rho**2) * rng.normal(size=a.shape)
    value = critical_values(d, rho).size[1]
    for mu in np.linspace(0, 60, 13):
        b[:, 0] += mu
        aa, bb, ab = (a**2).sum(1), (b**2).sum(1), (a * b).sum(1)
        size = np.mean(np.abs(ab) > 1.959964 * np.sqrt(aa + bb + 2 * rho * ab))
        strong = np.mean((aa + bb - 2 * rho * ab) / (2 * d) > value)
        b[:, 0] -= mu
        # Instruments that are weak pass for strong at most one time in twenty.
        assert size < 0.104 or strong < 0.054


def slow_confidence_set(T, Omega, draws, rng):
    """Work the set out by its definition, one model at a time."""
    m = len(T)
    Z = rng.multivariate_normal(np.zeros(m), Omega, draws)
    left, p, largest = list(range(m)), {}, 0.0
    while len(left) > 1:
        pairs = [(i, j) for i in left for j in left if i != j]
        i, j = max(pairs, key=lambda pair: T[pair])
        sd = [np.sqrt(Omega[k, k] + Omega[n, n] - 2 * Omega[k, n]) for k, n in pairs]
        drawn = [(Z[:, k] - Z[:, n]) / s for (k, n), s in zip(pairs, sd, strict=True)]
        largest = max(largest, np.mean(np.max(drawn, axis=0) > T[i, j]))
        p[i] = largest
        left.remove(i)
    return np.array([p.get(k, 1.0) for k in range(m)])


def test_the_model_confidence_set_is_its_definition():
    rng = np.random.default_rng(5)
    root = rng.normal(size=(5, 5))
    Omega = root @ root.T
    own = Omega.diagonal()
    Q = np.array([0.0, 1.0, 2.5, 4.0, 9.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        T = (Q[:, None] - Q) / np.sqrt(own[:, None] + own - 2 * Omega)
    np.fill_diagonal(T, np.nan)
    found = model_confidence_p_values(T, Omega, draws=200_000, seed=0)
    slow = slow_confidence_set(T, Omega, 200_000, rng)
    np.testing.assert_allclose(found, slow, atol=0.006)
    assert found[0] == 1.0 and 0.01 < found[1] < 1.0


def test_models_leave_the_confidence_set_in_one_order(results, data):
    found = run(results, data)
    order = np.argsort(found.confidence_p_values, kind="stable")
    assert found.names[order[0]] == "monopoly"
    assert found.confidence_set(0.05) == ("bertrand", "perfect competition", "cournot")
