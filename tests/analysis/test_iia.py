"""The IIA regression is two-stage least squares, and finds random coefficients.

References: linearmodels, with dummies for absorbed effects; rejection rates where the
plain logit is true and where it is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from linearmodels.iv import IV2SLS

import blpdask
from blpdask.errors import InputError
from tests.analysis.drawn_markets import draw_markets
from tests.references.specifications import quietly

Z = ["demand_instruments0", "demand_instruments1", "demand_instruments2"]


def build(data: pd.DataFrame, absorbed: bool = False) -> blpdask.Problem:
    linear = (
        blpdask.Formulation("0 + prices + x", "C(region)")
        if absorbed
        else blpdask.Formulation("1 + prices + x")
    )
    with quietly():
        return blpdask.Problem(linear, data)


def distances(data: pd.DataFrame) -> np.ndarray:
    return np.asarray(
        blpdask.build_differentiation_instruments(
            blpdask.Formulation("0 + x"), data, version="quadratic"
        )
    )


@pytest.mark.parametrize("kind", ["robust", "clustered", "unadjusted"])
@pytest.mark.parametrize("absorbed", [False, True])
def test_the_regression_is_linearmodels(kind: str, absorbed: bool) -> None:
    data = draw_markets(1, sigma=1.0)
    A = pd.DataFrame(distances(data), columns=["own", "rivals"])
    found = build(data, absorbed).compute_iia_regression(A, kind)
    W = data[["x"]].assign(one=1.0)
    if absorbed:
        dummies = pd.get_dummies(data["region"], prefix="r", dtype=float)
        W = pd.concat([data[["x"]], dummies], axis=1)
    outside = 1 - data.groupby("market_ids")["shares"].transform("sum")
    y = np.log(data["shares"] / outside)
    options: dict[str, Any] = {"cov_type": kind}
    if kind == "clustered":
        options["clusters"] = data["clustering_ids"]
    exogenous = pd.concat([W, A], axis=1)
    peer = IV2SLS(y, exogenous, data["prices"], data[Z]).fit(**options)
    names = ["prices", "own", "rivals"]
    assert found.names == tuple(names)
    np.testing.assert_allclose(found.coefficients, peer.params[names], rtol=1e-9)
    np.testing.assert_allclose(found.standard_errors, peer.std_errors[names], rtol=1e-9)
    np.testing.assert_allclose(
        found.covariances, peer.cov.loc[names, names], rtol=1e-8, atol=1e-14
    )
    wald = peer.wald_test(formula=["own = 0", "rivals = 0"])
    np.testing.assert_allclose(found.test, wald.stat, rtol=1e-8)
    np.testing.assert_allclose(found.test.p_value, wald.pval, rtol=1e-6)
    assert found.test.dof == 2
    assert f"IIA Regression ({kind.capitalize()} SEs)" in str(found)


def test_clusters_are_taken_where_there_are_any() -> None:
    data = draw_markets(2)
    A = distances(data)
    problem = build(data)
    assert problem.compute_iia_regression(A).kind == "clustered"
    assert problem.run_iia_test(A) == problem.run_iia_test(A, "clustered")
    bare = build(data.drop(columns="clustering_ids"))
    assert bare.run_iia_test(A) == problem.run_iia_test(A, "robust")


def test_default_instruments_are_those_of_x_and_predicted_prices() -> None:
    data = draw_markets(3)
    exogenous = np.column_stack([np.ones(len(data)), data[["x", *Z]]])
    fitted = exogenous @ np.linalg.lstsq(exogenous, data["prices"])[0]
    A = blpdask.build_differentiation_instruments(
        blpdask.Formulation("0 + x + fitted"),
        data.assign(fitted=fitted),
        version="quadratic",
    )
    problem = build(data)
    expected = problem.run_iia_test(A)
    found = problem.compute_iia_regression()
    np.testing.assert_allclose(found.test, expected, rtol=1e-7)
    assert found.names[1:3] == (
        "distance from own, x",
        "distance from own, predicted prices",
    )
    with quietly():
        random = blpdask.Problem(
            (blpdask.Formulation("1 + prices + x"), blpdask.Formulation("0 + x")),
            data,
            integration=blpdask.Integration("product", 3),
        )
    np.testing.assert_allclose(
        random.run_iia_test(), problem.run_iia_test(distances(data)), rtol=1e-9
    )


def test_collinear_instruments_are_left_out() -> None:
    data = draw_markets(3)
    A = distances(data)
    both = np.column_stack([A, data["x"], A[:, 0] - A[:, 1] + 2, np.full(len(data), 7)])
    problem = build(data)
    found = problem.compute_iia_regression(both)
    assert found.dropped == ("instrument2", "instrument3", "instrument4")
    np.testing.assert_allclose(found.test, problem.run_iia_test(A), rtol=1e-8)
    assert "left out: instrument2, instrument3" in str(found)


def test_size_and_power() -> None:
    """At 5 %: 400 draws of the logit reject 5 % but for chance; σ = 1.5 is found."""
    p_values = []
    for seed in range(400):
        data = draw_markets(1000 + seed, n_markets=400, shock=0.0)
        p_values.append(build(data).run_iia_test(distances(data), "robust").p_value)
    rate = np.mean(np.array(p_values) < 0.05)
    assert abs(rate - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 400)
    for seed in range(5):
        data = draw_markets(seed, n_markets=200, sigma=1.5)
        assert build(data).run_iia_test(distances(data), "robust").p_value < 1e-4


def test_what_cannot_be_tested_is_said() -> None:
    data = draw_markets(4)
    A = distances(data)
    with pytest.raises(InputError, match="that X1 and absorbed effects span"):
        build(data).run_iia_test(data[["x"]])
    few = build(data.drop(columns=Z[1:]))
    with pytest.raises(InputError, match="0 instruments beside those tested for 1"):
        few.run_iia_test(np.column_stack([A, data["w"]]))
    with pytest.raises(InputError) as caught:
        build(data).run_iia_test(A[:-1], "bootstrap")
    assert "instruments of shape (359, 2)" in str(caught.value)
    assert "se_type 'bootstrap'" in str(caught.value)
    with pytest.raises(InputError, match="without clusters"):
        build(data.drop(columns="clustering_ids")).run_iia_test(A, "clustered")
    with pytest.raises(InputError, match="30 clusters for 40 coefficients"):
        rng = np.random.default_rng(0)
        build(data).run_iia_test(rng.normal(size=(360, 40)))
