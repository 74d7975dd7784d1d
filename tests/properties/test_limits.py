"""Special cases that have another, simpler answer.

1. Σ → 0 is the logit, Σ = 0 and no X2 exactly so, and the logit is linear IV: by two
   lines of algebra, and by linearmodels' IVGMM with every weight and error.
2. Absorbed effects are dummies (Frisch and Waugh 1933).
3. A linear parameter held at its estimate, or moved into θ, stays where it is.
4. With as many moments as parameters the objective is zero, whatever W.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.references.drawn import Drawn, draw, positive_weights
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    distance,
    needs_nevo_data,
    nevo,
    nevo_logit,
    solve_here,
)

KINDS = ("robust", "unadjusted", "clustered")
#: Effects absorbed, and taken out of the instruments by the package.
ABSORBING = tuple(
    seed
    for seed in range(40)
    if "absorb=None" not in draw(seed).features
    and "add_exogenous=True" in draw(seed).features
)[:5]


@cache
def logit_data() -> pd.DataFrame:
    """Draw logit markets with an endogenous price and two instruments for it."""
    rng = np.random.default_rng(94)
    T, J = 60, 5
    N = T * J
    z, x, xi = rng.normal(size=(N, 3)), rng.normal(size=N), rng.normal(size=N)
    prices = 3 + z @ [0.8, 0.5, 0.3] + 0.4 * x + 0.5 * xi + 0.3 * rng.normal(size=N)
    delta = 1 - 0.8 * prices + 0.6 * x + xi * (1 + 0.5 * np.abs(z[:, 0]))
    market_ids = np.repeat(np.arange(T), J)
    exponentials = np.exp(delta)
    total = np.bincount(market_ids, weights=exponentials)
    data = {
        "market_ids": market_ids,
        "product_ids": np.tile(np.arange(J), T),
        "clustering_ids": market_ids // 2,
        "shares": exponentials / (1 + total[market_ids]),
        "prices": prices,
        "x": x,
        **{f"demand_instruments{m}": z[:, m] for m in range(3)},
    }
    return pd.DataFrame(data)


def log_odds(data: pd.DataFrame) -> np.ndarray:
    """Compute log S_j - log S_0, ``(N,)``."""
    inside = data.groupby("market_ids")["shares"].transform("sum")
    return np.log(data["shares"].to_numpy()) - np.log(1 - inside.to_numpy())


LOGIT = Specification({}, "1 + prices + x")


def logit() -> Any:
    """Build the plain logit."""
    return build_here(replace(LOGIT, products=logit_data()))


# 1: the logit


def test_logit_inverts_in_closed_form() -> None:
    results = solve_here(logit(), method="1s")
    assert np.abs(results.delta[:, 0] - log_odds(logit_data())).max() <= 1e-14


@pytest.mark.parametrize("weights", ["2SLS", "given"])
def test_logit_is_linear_gmm(weights: str) -> None:
    """β̂ = (X'ZWZ'X)⁻¹X'ZWZ'δ and q = N ḡ'Wḡ."""
    data, problem = logit_data(), logit()
    X = np.column_stack([np.ones(len(data)), data["prices"], data["x"]])
    columns = [f"demand_instruments{m}" for m in range(3)]
    Z = np.column_stack([data[columns], np.ones(len(data)), data["x"]])
    N = len(data)
    W = np.linalg.inv(Z.T @ Z / N)
    given = {}
    if weights == "given":
        W = given["W"] = positive_weights(5)
    results = solve_here(problem, method="1s", **given)
    ZtX = Z.T @ X
    beta = np.linalg.solve(ZtX.T @ W @ ZtX, ZtX.T @ W @ Z.T @ log_odds(data))
    moments = Z.T @ (log_odds(data) - X @ beta) / N
    assert distance(results.beta[:, 0], beta) <= 1e-12
    assert distance(results.objective, N * moments @ W @ moments) <= 1e-10


@pytest.mark.parametrize("center", [True, False], ids=["centred", "not centred"])
@pytest.mark.parametrize("se_type", KINDS)
@pytest.mark.parametrize("W_type", KINDS)
@pytest.mark.parametrize("method", ["1s", "2s"])
def test_logit_is_ivgmm_of_linearmodels(
    method: str, W_type: str, se_type: str, center: bool
) -> None:
    """β, standard errors, ξ and J; linearmodels always centres what is unadjusted.

    Unadjusted errors of a second step are PyBLP's √diag (G'WG)⁻¹ / N, right where W is
    the unadjusted one too; linearmodels computes a sandwich there.
    """
    gmm = pytest.importorskip("linearmodels.iv.model").IVGMM
    data = logit_data()
    exogenous = pd.DataFrame({"1": 1.0, "x": data["x"]})
    instruments = data[[f"demand_instruments{m}" for m in range(3)]]
    clusters = data["clustering_ids"]

    def options(kind: str) -> dict[str, Any]:
        given: dict[str, Any] = {"center": center, "debiased": False}
        return {**given, "clusters": clusters} if kind == "clustered" else given

    peer = gmm(
        log_odds(data),
        exogenous,
        data[["prices"]],
        instruments,
        weight_type=W_type,
        **options(W_type),
    ).fit(
        iter_limit=int(method[0]),
        cov_type=se_type,
        **options(se_type),
    )
    results = solve_here(
        logit(), method=method, W_type=W_type, se_type=se_type, center_moments=center
    )
    order = ["1", "prices", "x"]
    assert results.beta_labels == order
    assert distance(results.beta[:, 0], peer.params[order]) <= 1e-8
    assert distance(results.xi[:, 0], np.asarray(peer.resids)) <= 1e-8
    expected = peer.std_errors[order]
    if (method, se_type) == ("2s", "unadjusted") and W_type != "unadjusted":
        G, W = results.moments_jacobian, results.W
        expected = np.sqrt(np.linalg.inv(G.T @ W @ G).diagonal() / len(data))
    assert distance(results.beta_se[:, 0], expected) <= 1e-8
    if method == "2s":
        assert distance(results.run_hansen_test(), peer.j_stat.stat) <= 1e-8
        assert results.hansen_degrees == peer.j_stat.df
        assert abs(results.hansen_p_value - peer.j_stat.pval) <= 1e-8


@needs_nevo_data
@pytest.mark.parametrize("method", ["1s", "2s"])
def test_no_tastes_at_all_are_the_logit(method: str) -> None:
    """Σ = 0 and Π = 0: agents without influence."""
    plain = solve_here(build_here(nevo_logit()), method=method)
    zeros = {"sigma": np.zeros((4, 4)), "pi": np.zeros((4, 4))}
    none = solve_here(build_here(nevo()), **zeros, method=method)
    assert none.theta.size == 0
    for name in ("objective", "beta", "beta_se", "delta", "xi", "updated_W"):
        assert distance(getattr(none, name), getattr(plain, name)) <= 1e-9, name


@needs_nevo_data
def test_small_tastes_are_almost_the_logit() -> None:
    """δ is off by a multiple of σ; the multiple is of the size of prices and nodes."""
    plain = solve_here(build_here(nevo_logit()), method="1s")
    problem = build_here(nevo())
    gaps = []
    for size in (1e-4, 1e-6, 1e-8):
        near = solve_here(
            problem,
            sigma=size * np.eye(4),
            pi=np.zeros((4, 4)),
            method="1s",
            check_optimality="gradient",
            **FIXED,
        )
        gaps.append(float(np.abs(near.delta - plain.delta).max()))
        assert distance(near.objective, plain.objective) <= 10 * size
        assert distance(near.beta, plain.beta) <= 10 * size
    assert gaps[0] <= 1e-2
    assert gaps[1] == pytest.approx(gaps[0] / 100, rel=0.01)
    assert gaps[2] == pytest.approx(gaps[1] / 100, rel=0.01)


# 2: absorbed effects


@cache
def with_dummies(seed: int) -> tuple[Drawn, Any, Any]:
    """Build a drawn problem with absorbed effects, and with dummies instead."""
    drawn = draw(seed)
    specification = drawn.specification
    assert specification.absorb is not None
    exact = replace(specification, absorption=(None, {"tol": 1e-14}))
    dummies = replace(
        specification,
        linear=f"{specification.linear} + {specification.absorb}",
        absorb=None,
    )
    return drawn, build_here(exact), build_here(dummies)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", ABSORBING)
def test_absorbed_effects_are_dummies(seed: int, kind: str) -> None:
    drawn, absorbed, dummies = with_dummies(seed)
    arguments = {**drawn.solution, **FIXED, "method": "1s", "initial_update": False}
    arguments |= {"W_type": kind, "se_type": kind}
    arguments.pop("beta", None)
    assert_absorbed(absorbed, dummies, arguments)


@pytest.mark.parametrize("seed", ABSORBING)
def test_absorbed_effects_are_dummies_with_linear_parameters_in_theta(
    seed: int,
) -> None:
    drawn, absorbed, dummies = with_dummies(seed)
    arguments = {**drawn.solution, **FIXED, "method": "1s", "initial_update": False}
    arguments |= {"beta": [-0.8] + [None] * (absorbed.K1 - 1)}
    longer = [-0.8] + [None] * (dummies.K1 - 1)
    assert_absorbed(absorbed, dummies, arguments, {"beta": longer})


@pytest.mark.parametrize("seed", ABSORBING)
def test_absorbed_effects_are_dummies_in_two_unadjusted_steps(seed: int) -> None:
    """Robust second steps weigh dummies against instruments: they may differ."""
    drawn, absorbed, dummies = with_dummies(seed)
    arguments = {**drawn.solution, **FIXED, "method": "2s", "initial_update": True}
    arguments |= {"W_type": "unadjusted", "se_type": "robust"}
    arguments.pop("beta", None)
    assert_absorbed(absorbed, dummies, arguments)


def assert_absorbed(
    absorbed: Any, dummies: Any, arguments: dict[str, Any], longer: Any = None
) -> None:
    """Compare all that the two have in common."""
    arguments = {**arguments, "check_optimality": "gradient"}
    short = solve_here(absorbed, **arguments)
    long = solve_here(dummies, **{**arguments, **(longer or {})})
    common = [long.beta_labels.index(label) for label in short.beta_labels]
    for name in ("objective", "gradient", "xi", "delta", "sigma_se", "pi_se"):
        gap = distance(getattr(short, name), getattr(long, name))
        assert gap <= 1e-8, (name, gap)
    for name in ("beta", "beta_se"):
        gap = distance(getattr(short, name), getattr(long, name)[common])
        assert gap <= 1e-8, (name, gap)
    others = [k for k in range(dummies.K1) if k not in common]
    X1 = np.asarray(dummies.products.X1)[:, others]
    assert distance(short.xi_fe, X1 @ long.beta[others]) <= 1e-8


def test_optima_with_absorbed_effects_and_dummies() -> None:
    seed = next(s for s in ABSORBING if s in (0, 3, 6, 12, 14, 15, 24))
    drawn, absorbed, dummies = with_dummies(seed)
    arguments = {**drawn.solution, "method": "1s", "initial_update": False}
    arguments.pop("beta", None)
    short, long = (solve_here(problem, **arguments) for problem in (absorbed, dummies))
    assert short.converged and long.converged
    assert distance(short.objective, long.objective) <= 1e-8
    assert distance(short.theta, long.theta) <= 1e-6


# 3: concentrated parameters


@pytest.mark.parametrize("seed", range(6))
def test_concentrated_parameters_are_the_minimum(seed: int) -> None:
    """β held at β̂(θ) gives the same objective and gradient, ∂q/∂β = 0."""
    drawn = draw(seed)
    problem = build_here(drawn.specification)
    arguments = {**drawn.solution, **FIXED, "method": "1s", "initial_update": False}
    arguments.pop("beta", None)
    free = solve_here(problem, **arguments)
    held = solve_here(problem, **arguments, beta=free.beta)
    P = free.theta.size
    assert distance(held.objective, free.objective) <= 1e-10
    assert distance(held.gradient[:P], free.gradient) <= 1e-8
    scale = np.linalg.norm(free.moments) * free.delta.size
    assert np.abs(held.gradient[P:]).max() <= 1e-8 * scale
    assert distance(held.moments, free.moments) <= 1e-8
    assert distance(held.parameter_covariances, free.parameter_covariances) <= 1e-8


def test_optimised_parameters_are_the_concentrated_ones() -> None:
    data = logit_data()
    problem = build_here(replace(LOGIT, products=data))
    free = solve_here(problem, method="2s")
    inside = solve_here(problem, method="2s", beta=[0.5, -0.5, None])
    assert inside.theta.size == 2
    assert distance(inside.objective, free.objective) <= 1e-10
    assert distance(inside.beta, free.beta) <= 1e-7
    assert distance(inside.beta_se, free.beta_se) <= 1e-7


# 4: exact identification


def test_exactly_identified_logit_has_no_objective() -> None:
    data = logit_data().drop(columns=["demand_instruments1", "demand_instruments2"])
    problem = build_here(replace(LOGIT, products=data))
    two_stage = solve_here(problem, method="1s")
    other = solve_here(problem, method="1s", W=positive_weights(3))
    assert float(two_stage.objective) <= 1e-20
    assert float(other.objective) <= 1e-20
    assert distance(two_stage.beta, other.beta) <= 1e-10
    assert distance(two_stage.beta_se, other.beta_se) <= 1e-10
