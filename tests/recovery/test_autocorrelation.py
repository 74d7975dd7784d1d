"""φ of ξ and ω is found with all else, and intervals cover it as often as they say.

Prices are in Bertrand-Nash equilibrium, and errors autocorrelated within products that
live in eight markets each, one after another. Prices and shares a period before are
instruments: ξ and ω there moved them, innovations did not.
"""

from __future__ import annotations

import numpy as np
import pytest

import blpdask

N_REPLICATIONS = 200
PERIODS, GROUPS, J = 8, 25, 8
PHI = np.array([[0.7, 0.0], [0.0, 0.5]])
SIGMA, BETA, GAMMA = np.diag([0.0, 3.0]), [1.0, -2.0, 1.0], [1.0, 0.5, 0.5]
NAMES = (
    *("sigma x", "phi xi", "phi omega"),
    *("beta 1", "beta prices", "beta x", "gamma 1", "gamma x", "gamma w"),
)
TRUTH = np.array([3.0, 0.7, 0.5, *BETA, *GAMMA])


def panel(seed: int) -> dict[str, np.ndarray]:
    """Draw products that live in the markets of their group, one after another."""
    ids = blpdask.build_id_data(T=GROUPS * PERIODS, J=J, F=4)
    rng = np.random.default_rng(seed)
    rows = np.arange(GROUPS * PERIODS * J)
    start = rows % (PERIODS * J) < J
    data = {name: ids[name][:, 0] for name in ids.dtype.names}
    data["lag_indices"] = np.where(start, rows, rows - J)
    data["x"] = rng.uniform(size=rows.size)
    data["w"] = rng.uniform(size=rows.size)
    return data


def estimate(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate, solve for prices, and estimate from innovations, by two steps."""
    data = panel(seed)
    simulation = blpdask.Simulation(
        (
            blpdask.Formulation("1 + prices + x"),
            blpdask.Formulation("1 + x"),
            blpdask.Formulation("1 + x + w"),
        ),
        data,
        beta=BETA,
        sigma=SIGMA,
        gamma=GAMMA,
        phi=PHI,
        integration=blpdask.Integration("product", 5),
        xi_variance=0.04,
        omega_variance=0.04,
        correlation=0.5,
        seed=seed,
    )
    solved = simulation.replace_endogenous(
        compute_gradients=False, compute_hessians=False, engine="serial"
    )
    problem = solved.to_problem(product_data=with_instruments(solved.product_data))
    results = problem.solve(
        sigma=0.75 * SIGMA,
        phi=PHI / 2,
        beta=[None, BETA[1] / 2, None],
        demand_moment_types="innovations",
        supply_moment_types="innovations",
        check_optimality="gradient",
        engine="serial",
    )
    assert results.converged
    values = [
        abs(results.sigma[1, 1]),
        *results.phi.diagonal(),
        *results.beta[:, 0],
        *results.gamma[:, 0],
    ]
    errors = [
        results.sigma_se[1, 1],
        *results.phi_se.diagonal(),
        *results.beta_se[:, 0],
        *results.gamma_se[:, 0],
    ]
    return np.array(values), np.array(errors)


def with_instruments(data: np.recarray) -> dict[str, np.ndarray]:
    """Add sums over rivals, and what was known a period before."""
    columns = {name: data[name] for name in data.dtype.names}
    sums = blpdask.build_blp_instruments(blpdask.Formulation("0 + x + w"), data)
    varying = sums[:, np.ptp(sums, axis=0) > 0]
    lags = data["lag_indices"][:, 0]
    markets = np.unique(data["market_ids"][:, 0], return_inverse=True)[1]
    inside = np.bincount(markets, weights=data["shares"][:, 0])
    logit = np.log(data["shares"][:, 0]) - np.log(1 - inside)[markets]
    before = np.column_stack(
        [logit, data["prices"][:, 0], data["x"][:, 0], data["w"][:, 0]]
    )[lags]
    Z = np.column_stack([varying, before])
    own = {"demand": data["w"], "supply": np.empty((len(data), 0))}
    return columns | {
        f"{side}_instruments": np.column_stack([Z, extra])
        for side, extra in own.items()
    }


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(blpdask.options, "verbose", False)


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say(capsys):
    found = [estimate(seed) for seed in range(N_REPLICATIONS)]
    gaps = np.array([values for values, _ in found]) - TRUTH
    errors = np.array([errors for _, errors in found])
    coverage = np.mean(np.abs(gaps) < 1.959964 * errors, axis=0)
    bias = gaps.mean(axis=0) / gaps.std(axis=0, ddof=1)
    claimed = errors.mean(axis=0) / gaps.std(axis=0, ddof=1)
    report = "\n".join(
        f"{name}: coverage {c:.3f}, bias {b:+.2f} sd, mean se {s:.2f} sd, sd {d:.4f}"
        for name, c, b, s, d in zip(
            NAMES, coverage, bias, claimed, gaps.std(axis=0), strict=True
        )
    )
    with capsys.disabled():
        print(f"\n95 % intervals in {N_REPLICATIONS} replications\n{report}")
    assert np.all((coverage >= 0.90) & (coverage <= 0.99)), report
    assert np.all(np.abs(bias) < 0.25), report
    assert np.all((claimed > 0.8) & (claimed < 1.25)), report
