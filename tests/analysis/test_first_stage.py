"""First stages are those of linearmodels, and of the papers' formulas.

References: linearmodels, with dummies for effects that are absorbed here; Sanderson and
Windmeijer's statistic step by step from its two-stage least squares; critical values
that Montiel Olea and Pflueger (2013) print; statistics that are one another with one
instrument or one endogenous column.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from linearmodels.iv import IV2SLS

import blpdask
from blpdask.analysis.effective_f import critical_effective_F
from blpdask.errors import BlpdaskError, InputError
from tests.analysis.drawn_markets import draw_markets
from tests.references.specifications import quietly

Z = ["demand_instruments0", "demand_instruments1", "demand_instruments2"]


def problem(
    data: pd.DataFrame, formula: str, absorb: str | None = None, clusters: bool = True
) -> blpdask.Problem:
    table = data if clusters else data.drop(columns="clustering_ids")
    with quietly():
        return blpdask.Problem(blpdask.Formulation(formula, absorb), table)


def controls(data: pd.DataFrame, absorbed: bool) -> pd.DataFrame:
    if not absorbed:
        return data[["x"]].assign(one=1.0)
    dummies = pd.get_dummies(data["region"], prefix="r", dtype=float)
    return pd.concat([data[["x"]], dummies], axis=1)


@pytest.mark.parametrize("absorbed", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_statistics_are_those_of_linearmodels(seed: int, absorbed: bool) -> None:
    data = draw_markets(seed)
    ours = (
        problem(data, "0 + prices + x", "C(region)")
        if absorbed
        else problem(data, "1 + prices + x")
    ).compute_first_stage()
    W = controls(data, absorbed)
    model = IV2SLS(data["shares"], W, data["prices"], data[Z])
    found = ours["prices"]
    plain = model.fit(cov_type="unadjusted", debiased=True).first_stage.diagnostics
    row = plain.loc["prices"]
    np.testing.assert_allclose(
        found.partial_r_squared, row["partial.rsquared"], rtol=1e-10
    )
    np.testing.assert_allclose(found.F, row["f.stat"], rtol=1e-9)
    np.testing.assert_allclose(found.F.p_value, row["f.pval"], rtol=1e-6, atol=1e-30)
    robust = model.fit(cov_type="robust", debiased=True).first_stage.diagnostics
    np.testing.assert_allclose(
        found.robust_F, robust.loc["prices", "f.stat"] / 3, rtol=1e-9
    )
    clustered = model.fit(
        cov_type="clustered",
        clusters=data["clustering_ids"],
        debiased=True,
    ).first_stage.diagnostics
    np.testing.assert_allclose(
        found.clustered_F, clustered.loc["prices", "f.stat"] / 3, rtol=1e-9
    )
    assert ours.n_controls == W.shape[1] and ours.instruments == tuple(Z)
    np.testing.assert_allclose(ours.cragg_donald, found.F, rtol=1e-10)
    assert found.conditional_F == found.F and found.conditional_F.dof == 3


@pytest.mark.parametrize("clusters", [False, True])
def test_the_effective_F_is_its_formula(clusters: bool) -> None:
    """π̂'Z'Z π̂ / tr(V Z'Z), V the covariance of π̂ that linearmodels gives."""
    data = draw_markets(4)
    found = problem(data, "1 + prices + x", clusters=clusters).compute_first_stage()
    options = (
        {
            "cov_type": "clustered",
            "clusters": data["clustering_ids"],
        }
        if clusters
        else {"cov_type": "robust"}
    )
    model = IV2SLS(data["shares"], controls(data, False), data["prices"], data[Z])
    fitted = model.fit(debiased=True, **options).first_stage.individual["prices"]
    W = controls(data, False).to_numpy()
    z = data[Z].to_numpy()
    z = z - W @ np.linalg.lstsq(W, z)[0]
    pi, V = fitted.params[Z].to_numpy(), fitted.cov.loc[Z, Z].to_numpy()
    expected = pi @ z.T @ z @ pi / np.trace(V @ z.T @ z)
    np.testing.assert_allclose(found["prices"].effective_F, expected, rtol=1e-9)
    assert np.isnan(found["prices"].clustered_F) == (not clusters)


def test_with_one_instrument_all_robust_statistics_are_one() -> None:
    data = draw_markets(5).drop(columns=Z[1:])
    found = problem(data, "1 + prices + x", clusters=False).compute_first_stage()
    column = found["prices"]
    np.testing.assert_allclose(column.effective_F, column.robust_F, rtol=1e-10)
    np.testing.assert_allclose(column.critical_value, 23.1085, rtol=1e-5)
    text = str(found)
    assert f"{column.effective_F:.5g}" in text and "1 Instruments, 2 Controls" in text


@pytest.mark.parametrize(
    ("bias", "expected"), [(0.05, 37.42), (0.1, 23.11), (0.2, 15.06), (0.3, 12.04)]
)
def test_critical_values_are_printed_ones(bias: float, expected: float) -> None:
    assert abs(critical_effective_F(np.eye(1), bias) - expected) < 0.01


@pytest.mark.parametrize("absorbed", [False, True])
def test_several_endogenous_columns(absorbed: bool) -> None:
    data = draw_markets(6).assign(demand_instruments3=lambda d: d["w"] ** 3)
    data["p2"] = data["prices"] ** 2
    formula = "prices + I(prices**2) + x"
    ours = (
        problem(data, f"0 + {formula}", "C(region)")
        if absorbed
        else problem(data, f"1 + {formula}")
    ).compute_first_stage()
    W, every = controls(data, absorbed), [*Z, "demand_instruments3"]
    df = len(data) - W.shape[1] - 4
    for name, column, other in (
        ("prices", "prices", "p2"),
        ("prices**2", "p2", "prices"),
    ):
        second = IV2SLS(data[column], W, data[other], data[every]).fit()
        e = np.asarray(second.resids)
        full = np.hstack([W.to_numpy(), data[every].to_numpy()])
        left = [e - A @ np.linalg.lstsq(A, e)[0] for A in (W.to_numpy(), full)]
        explained = left[0] @ left[0] - left[1] @ left[1]
        expected = (explained / 3) / (left[1] @ left[1] / df)
        found = ours[name]
        np.testing.assert_allclose(found.conditional_F, expected, rtol=1e-8)
        assert found.conditional_F.dof == 3 and found.F.dof == 4
        assert np.isnan(found.effective_F)
    X, A = data[["prices", "p2"]].to_numpy(), W.to_numpy()
    full = np.hstack([A, data[every].to_numpy()])
    net, left = (X - B @ np.linalg.lstsq(B, X)[0] for B in (A, full))
    values = np.linalg.eigvals(
        np.linalg.solve(left.T @ left / df, net.T @ net - left.T @ left)
    )
    np.testing.assert_allclose(ours.cragg_donald, values.real.min() / 4, rtol=1e-7)
    assert f"Cragg-Donald statistic: {ours.cragg_donald:.5g}." in str(ours)


def test_instruments_that_are_not_told_apart() -> None:
    data = draw_markets(7)
    again = data.assign(demand_instruments3=2 * data["w"] + data["x"] - 3)
    ours = problem(data, "1 + prices + x").compute_first_stage()
    with pytest.warns(blpdask.exceptions.DataWarning), quietly():
        other = blpdask.Problem(blpdask.Formulation("1 + prices + x"), again)
    found = other.compute_first_stage()
    assert found.dropped == ("demand_instruments3",)
    np.testing.assert_allclose(found["prices"].F, ours["prices"].F, rtol=1e-9)
    assert "Collinear and left out: demand_instruments3." in str(found)


def test_what_cannot_be_instrumented_is_said() -> None:
    data = draw_markets(8)
    few = problem(data.drop(columns=Z), "1 + prices + x")
    with pytest.raises(InputError, match="0 instruments, net of exogenous"):
        few.compute_first_stage()
    with pytest.raises(KeyError, match="x"):
        problem(data, "1 + prices + x").compute_first_stage()["x"]


def test_rows_in_a_store_are_not_read(tmp_path: Path) -> None:
    store = blpdask.build_store(tmp_path / "store", draw_markets(9))
    with quietly():
        stored = blpdask.Problem(blpdask.Formulation("1 + prices + x"), store)
        results = stored.solve(method="1s")
    for call in (
        stored.compute_first_stage,
        stored.run_iia_test,
        results.recover_effects,
    ):
        with pytest.raises(BlpdaskError, match="whose data are in the store"):
            call()
    wald = results.delta_method(lambda p: p.beta[1, 0]).wald_test()
    expected = (results.beta[1, 0] / results.beta_se[1, 0]) ** 2
    np.testing.assert_allclose(wald, expected, rtol=1e-8)
