"""LASSO meets its conditions exactly, its limits are known, and it finds the truth.

References: the conditions themselves, computed here from the data; soft thresholds for
orthogonal regressors; a general-purpose minimiser; least squares; linearmodels for
first stages.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from linearmodels.iv import IV2SLS
from scipy import optimize, stats

from blpdask.errors import NumericalWarning
from blpdask.problem.lasso import minimise_lasso
from blpdask.problem.lasso_penalty import (
    PenaltyRule,
    find_twins,
    first_stage_F,
    partial_out,
    penalty_loadings,
    select,
)

Data = tuple[np.ndarray, np.ndarray]


def correlated(seed: int, n: int = 200, p: int = 30, rho: float = 0.7) -> Data:
    """Regressors correlated as an autoregression, of very different scales."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(rho ** np.abs(np.subtract.outer(range(p), range(p))))
    f = rng.normal(size=(n, p)) @ root.T * 10.0 ** rng.integers(-3, 4, p)
    beta = np.where(np.arange(p) % 7 == 0, 1.0, 0.0) / np.std(f, axis=0)
    y = f @ beta + rng.normal(size=n)
    return y - y.mean(), f - f.mean(axis=0)


def objective(beta: np.ndarray, G: np.ndarray, c: np.ndarray, tau: np.ndarray) -> float:
    return float(beta @ G @ beta / 2 - c @ beta + tau @ np.abs(beta))


@pytest.mark.parametrize("rho", [0.0, 0.7, 0.99])
@pytest.mark.parametrize("share", [0.5, 0.05, 1e-3])
@pytest.mark.parametrize("seed", range(3))
def test_the_conditions_hold(seed: int, share: float, rho: float) -> None:
    y, f = correlated(seed, rho=rho)
    sd = np.std(f, axis=0)
    G, c = f.T @ f / len(y), f.T @ y / len(y)
    tau = share * np.abs(c / sd).max() * sd
    found = minimise_lasso(G, c, tau)
    assert found.converged
    beta = found.coefficients
    gradient = f.T @ (y - f @ beta) / len(y)
    chosen = beta != 0
    assert np.allclose((gradient / tau)[chosen], np.sign(beta[chosen]), atol=1e-7)
    assert (np.abs(gradient[~chosen]) <= tau[~chosen] * (1 + 1e-7)).all()
    assert chosen.any()


@pytest.mark.parametrize("seed", range(3))
def test_the_minimum_is_that_of_a_general_minimiser(seed: int) -> None:
    y, f = correlated(seed, p=8)
    f = f / np.std(f, axis=0)
    G, c = f.T @ f / len(y), f.T @ y / len(y)
    tau = 0.2 * np.abs(c).max() * np.linspace(0.5, 1.5, 8)
    found = minimise_lasso(G, c, tau)
    # β = u - v with u, v ≥ 0 makes the problem smooth.
    both = optimize.minimize(
        lambda w: objective(w[:8] - w[8:], G, c, 0 * tau) + np.r_[tau, tau] @ w,
        np.full(16, 0.1),
        jac=lambda w: (
            np.r_[G @ (w[:8] - w[8:]) - c, c - G @ (w[:8] - w[8:])] + np.r_[tau, tau]
        ),
        bounds=[(0, None)] * 16,
        method="L-BFGS-B",
        options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 10_000},
    ).x
    other = both[:8] - both[8:]
    assert np.allclose(found.coefficients, other, atol=1e-6)
    mine = objective(found.coefficients, G, c, tau)
    assert mine <= objective(other, G, c, tau) + 1e-14


def test_orthogonal_regressors_have_soft_thresholds() -> None:
    c = np.array([3.0, -2.0, 0.5, -0.1, 1.0])
    found = minimise_lasso(np.eye(5), c, np.full(5, 1.0)).coefficients
    assert found.tolist() == [2.0, -1.0, 0.0, 0.0, 0.0]


def test_without_penalty_it_is_least_squares_and_with_a_huge_one_nothing() -> None:
    y, f = correlated(5, rho=0.99)
    none = select(y, f, None, PenaltyRule(penalty=0.0))
    ols = np.linalg.lstsq(f, y)[0]
    assert np.allclose(none.coefficients, ols, rtol=1e-8)
    assert np.allclose(none.post_coefficients, ols, rtol=1e-8)
    huge = select(y, f, None, PenaltyRule(penalty=1e9))
    assert (huge.coefficients == 0).all() and huge.selected.size == 0
    assert huge.converged and huge.iterations == 1
    assert np.isnan(first_stage_F(y, f[:, huge.selected], None, 1))


def test_just_above_the_largest_correlation_nothing_is_selected() -> None:
    y, f = correlated(2)
    G, c = f.T @ f / len(y), f.T @ y / len(y)
    sd = np.sqrt(np.diag(G))
    edge = np.abs(c / sd).max()
    assert not minimise_lasso(G, c, edge * 1.0001 * sd).coefficients.any()
    assert minimise_lasso(G, c, edge * 0.9999 * sd).coefficients.astype(bool).sum() == 1


def test_multiples_of_earlier_candidates_are_found() -> None:
    _, f = correlated(4, p=10)
    more = np.hstack([f, -3 * f[:, [2]], f[:, [7]] + 1e-4 * f[:, [1]], f[:, [2]]])
    more[:, 5] = 0.0
    assert np.flatnonzero(find_twins(more)).tolist() == [10, 12]


def test_more_candidates_than_rows() -> None:
    y, f = correlated(6, n=60, p=150, rho=0.5)
    sd = np.std(f, axis=0)
    G, c = f.T @ f / 60, f.T @ y / 60
    tau = 0.01 * np.abs(c / sd).max() * sd
    found = minimise_lasso(G, c, tau)
    gradient = f.T @ (y - f @ found.coefficients) / 60
    assert found.converged and 10 < np.count_nonzero(found.coefficients) <= 60
    assert (np.abs(gradient) <= tau * (1 + 1e-6)).all()


def test_too_few_sweeps_warn() -> None:
    y, f = correlated(1, rho=0.99)
    G, c = f.T @ f / len(y), f.T @ y / len(y)
    with pytest.warns(NumericalWarning, match="conditions violated"):
        found = minimise_lasso(G, c, 1e-6 * np.sqrt(np.diag(G)), max_sweeps=1)
    assert not found.converged


def test_the_penalty_is_that_of_the_paper() -> None:
    n, p = 500, 40
    gamma = 0.1 / np.log(500)
    expected = 2 * 1.1 * np.sqrt(n) * stats.norm.ppf(1 - gamma / (2 * 2 * p))
    assert PenaltyRule(n_endogenous=2).level(n, p) == pytest.approx(expected, rel=1e-12)
    given = PenaltyRule(c=1.5, gamma=0.05).level(n, p)
    assert given == pytest.approx(
        3 * np.sqrt(n) * stats.norm.ppf(1 - 0.05 / 80), rel=1e-12
    )


def test_loadings_are_those_of_post_lasso_residuals() -> None:
    rng = np.random.default_rng(3)
    n = 400
    f = rng.normal(size=(n, 15))
    y = 2 * f[:, 2] - f[:, 9] + np.exp(f[:, 2]) * rng.normal(size=n)
    found = select(y, f, None, PenaltyRule())
    assert found.converged
    chosen = f[:, found.selected]
    errors = y - chosen @ np.linalg.lstsq(chosen, y)[0]
    expected = np.sqrt(np.mean(f**2 * errors[:, None] ** 2, axis=0))
    assert np.allclose(found.loadings, expected, rtol=1e-12)
    tau = found.penalty * expected / (2 * n)
    gradient = f.T @ (y - f @ found.coefficients) / n
    assert np.allclose(
        gradient[found.selected],
        (tau * np.sign(found.coefficients))[found.selected],
        rtol=1e-9,
    )
    assert (np.abs(gradient) <= tau * (1 + 1e-9)).all()


def test_clustered_loadings_are_those_of_loops() -> None:
    rng = np.random.default_rng(8)
    f, errors, clusters = (
        rng.normal(size=(60, 3)),
        rng.normal(size=60),
        rng.integers(0, 9, 60),
    )
    sums = [(f * errors[:, None])[clusters == g].sum(axis=0) for g in range(9)]
    expected = np.sqrt(np.sum(np.square(sums), axis=0) / 60)
    assert np.allclose(penalty_loadings(f, errors, clusters), expected, rtol=1e-13)
    alone = penalty_loadings(f, errors, np.arange(60))
    assert np.allclose(alone, penalty_loadings(f, errors, None), rtol=1e-13)


@pytest.mark.parametrize("clustered", [False, True])
def test_first_stage_F_is_that_of_linearmodels(clustered: bool) -> None:
    rng = np.random.default_rng(11)
    n = 300
    w = np.column_stack([np.ones(n), rng.normal(size=n)])
    z = rng.normal(size=(n, 3)) + w[:, [1]]
    clusters = rng.integers(0, 40, n)
    x = z @ [0.3, 0.1, 0.0] + w @ [1, 1] + rng.normal(size=n) * (1 + z[:, 0] ** 2)
    net = partial_out(np.column_stack([x, z]), w)
    assert net.n_controls == 2
    codes = clusters if clustered else None
    found = first_stage_F(net.values[:, 0], net.values[:, 1:], codes, net.n_controls)
    how = (
        {"cov_type": "clustered", "clusters": clusters}
        if clustered
        else {"cov_type": "robust"}
    )
    model = IV2SLS(rng.normal(size=n), pd.DataFrame(w, columns=["one", "w"]), x, z)
    stage = model.fit(debiased=True, **how).first_stage.individual
    fitted = next(iter(stage.values()))
    b, V = fitted.params.to_numpy()[2:], fitted.cov.to_numpy()[2:, 2:]
    assert found == pytest.approx(b @ np.linalg.solve(V, b) / 3, rel=1e-9)


def test_controls_are_taken_out_as_by_dummies() -> None:
    rng = np.random.default_rng(2)
    n = 200
    effects = [rng.integers(0, 12, n), rng.integers(0, 7, n)]
    w = rng.normal(size=(n, 2))
    # The third is spanned by an effect, the fourth twice the first.
    w = np.column_stack([w, effects[0] == 3, 2 * w[:, 0]])
    x = rng.normal(size=(n, 3))
    x[:, 2] = w[:, 1] + (effects[1] == 2)
    dummies = [np.eye(12)[effects[0]], np.eye(7)[effects[1]]]
    D = np.hstack([w, *dummies])
    expected = x - D @ np.linalg.lstsq(D, x)[0]
    found = partial_out(x, w, effects)
    assert np.allclose(found.values[:, :2], expected[:, :2], atol=1e-11)
    assert found.collinear.tolist() == [False, False, True]
    assert (found.values[:, 2] == 0).all()
    assert found.n_controls == np.linalg.matrix_rank(D)


def test_candidates_without_variation_are_never_selected() -> None:
    y, f = correlated(3, p=5)
    f[:, 0] = 0.0
    found = select(y, f, None, PenaltyRule(penalty=1e-3))
    assert 0 not in found.selected and found.loadings[0] == 0
    nothing = select(y, np.zeros_like(f), None, PenaltyRule())
    assert nothing.selected.size == 0 and nothing.converged


@pytest.mark.parametrize("clustered", [False, True])
def test_true_instruments_are_found_and_false_ones_seldom(clustered: bool) -> None:
    n, p, hits, false = 600, 60, 0, 0
    for draw in range(50):
        rng = np.random.default_rng([17, draw])
        f = rng.normal(size=(n, p))
        errors = rng.normal(size=n) * np.exp(0.5 * f[:, 0])
        clusters = None
        if clustered:
            # Errors and candidates of a cluster move together.
            clusters = np.arange(n) // 6
            f = (f + rng.normal(size=(n // 6, p))[clusters]) / np.sqrt(2)
            errors = (errors + rng.normal(size=n // 6)[clusters]) / np.sqrt(2)
        y = 0.8 * f[:, 4] - 0.8 * f[:, 31] + errors
        y, f = y - y.mean(), f - f.mean(axis=0)
        selected = set(select(y, f, clusters, PenaltyRule()).selected.tolist())
        hits += {4, 31} <= selected
        false += bool(selected - {4, 31})
    assert hits == 50
    # γ = 0.1 / log 600 = 0.016 bounds the chance of any false one asymptotically.
    assert false <= 4
