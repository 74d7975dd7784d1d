"""Levels of an absorbed effect and their covariances are those of its dummies.

References: the dummies themselves, estimated, at 1e-8; influences of every row, summed
one by one; PyBLP's dummies; statsmodels for the second stage.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import blpdask
from blpdask.analysis.recovered_effects import EffectRows, absorbed_levels
from blpdask.errors import BlpdaskError, InputError
from tests.analysis.drawn_markets import draw_markets
from tests.api import nevo
from tests.references.specifications import distance, quietly

KINDS = ("robust", "unadjusted", "clustered")


def nevo_results(linear: blpdask.Formulation, clusters: str, **options: Any) -> Any:
    """Estimate Nevo's model in one step at PyBLP's starting values."""
    products, agents = nevo.tables()
    products = products.assign(clustering_ids=products[clusters])
    with quietly():
        return blpdask.Problem(
            (linear, blpdask.Formulation("1 + prices + sugar + mushy")),
            products,
            blpdask.Formulation("0 + income + income_squared + age + child"),
            agents,
        ).solve(
            nevo.SIGMA,
            nevo.PI,
            method="1s",
            optimization=blpdask.Optimization("return"),
            check_optimality="gradient",
            **options,
        )


ABSORBED = blpdask.Formulation("0 + prices", absorb="C(product_ids)")
DUMMIES = blpdask.Formulation("0 + prices + C(product_ids)")


@pytest.mark.parametrize("clusters", ["market_ids", "product_ids"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [None, -30.0])
def test_absorbed_levels_are_coefficients_on_dummies(
    beta: float | None, kind: str, clusters: str
) -> None:
    first = None if beta is None else [beta]
    rest = None if beta is None else [beta, *[None] * 24]
    absorbed = nevo_results(ABSORBED, clusters, se_type=kind, beta=first)
    dummies = nevo_results(DUMMIES, clusters, se_type=kind, beta=rest)
    found, expected = absorbed.recover_effects(), dummies.recover_effects("product_ids")
    assert found.levels == expected.levels and found.levels[0] == "F1B04"
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert distance(found.values, expected.values) < 1e-8
    assert distance(found.covariances, expected.covariances) < 1e-8
    np.testing.assert_allclose(
        found.standard_errors, expected.standard_errors, rtol=1e-8
    )
    np.testing.assert_array_equal(expected.values, dummies.beta[1:, 0])
    np.testing.assert_allclose(
        expected.standard_errors, dummies.beta_se[1:, 0], rtol=1e-12
    )


def test_an_estimated_problem_and_its_second_stage() -> None:
    """At the minimum of one step, both ways and from the levels' own table."""
    products = nevo.tables()[0]
    X = products.groupby("product_ids")[["sugar", "mushy"]].first()
    X.insert(0, "constant", 1.0)
    stages = []
    for linear, variable in ((ABSORBED, None), (DUMMIES, "product_ids")):
        with quietly():
            results = blpdask.Problem(
                (linear, blpdask.Formulation("0 + prices")),
                products,
                blpdask.Formulation("0 + income"),
                nevo.tables()[1],
            ).solve([[1.0]], [[1.0]], method="1s")
        assert results.converged
        effects = results.recover_effects(variable)
        stages.append(blpdask.second_stage(effects, X.sample(frac=1, random_state=1)))
    found, expected = stages
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=1e-5)
    np.testing.assert_allclose(
        found.standard_errors, expected.standard_errors, rtol=1e-5
    )
    np.testing.assert_allclose(found.test, expected.test, rtol=1e-5)
    assert found.test.dof == 21 and found.names == ("constant", "sugar", "mushy")


def test_dummies_are_pyblps() -> None:
    pyblp = pytest.importorskip("pyblp")
    products = nevo.tables()[0]
    effects = blpdask_logit("0 + prices", "C(product_ids)", products).recover_effects()
    with quietly():
        theirs = pyblp.Problem(
            pyblp.Formulation("0 + prices + C(product_ids)"), products
        ).solve(method="1s")
    assert theirs.beta_labels[1] == f"product_ids[{effects.levels[0]!r}]"
    np.testing.assert_allclose(effects.values, theirs.beta[1:, 0], rtol=1e-7)
    np.testing.assert_allclose(
        effects.standard_errors, theirs.beta_se[1:, 0], rtol=1e-7
    )


def blpdask_logit(formula: str, absorb: str | None, data: Any) -> Any:
    with quietly():
        problem = blpdask.Problem(blpdask.Formulation(formula, absorb), data)
        return problem.solve(method="1s")


def test_levels_are_named_by_the_data() -> None:
    data = draw_markets(1).drop(columns="clustering_ids")
    results = blpdask_logit("0 + prices + x", "C(region)", data)
    assert results.recover_effects().levels == (0, 1, 2, 3, 4)
    renamed = data.assign(region=data["region"].map(lambda r: f"r{9 - r}"))
    results = blpdask_logit("0 + prices + x", "region", renamed)
    effects = results.recover_effects(product_data=renamed)
    assert effects.levels == ("r5", "r6", "r7", "r8", "r9")
    frame = effects.to_frame()
    counts = renamed["region"].value_counts().sort_index()
    assert frame["rows"].tolist() == counts.tolist()
    assert f"{effects.values[0]:+.6E}" in str(effects)
    with pytest.raises(InputError, match="group rows otherwise"):
        results.recover_effects(product_data=renamed.iloc[::-1])


def supplied(absorbed: bool, kind: str) -> Any:
    """Estimate demand and supply jointly at given values, with or without dummies."""
    data = draw_markets(2, n_markets=80)
    linear = (
        blpdask.Formulation("0 + prices + x", "C(region)")
        if absorbed
        else blpdask.Formulation("0 + prices + x + C(region)")
    )
    beta = [-1.0, None] + ([] if absorbed else [None] * 5)
    with quietly():
        return blpdask.Problem(
            (linear, blpdask.Formulation("0 + x"), blpdask.Formulation("1 + w + x")),
            data,
            integration=blpdask.Integration("product", 3),
        ).solve(
            [[0.5]],
            beta=beta,
            method="1s",
            se_type=kind,
            optimization=blpdask.Optimization("return"),
            check_optimality="gradient",
        )


@pytest.mark.parametrize("kind", ["robust", "clustered"])
def test_with_a_supply_side(kind: str) -> None:
    found = supplied(True, kind).recover_effects()
    expected = supplied(False, kind).recover_effects("region")
    assert distance(found.values, expected.values) < 1e-8
    assert distance(found.covariances, expected.covariances) < 1e-8


def with_two_effects(
    kind: str, clusters: str, *, absorb: str | None = None, dummies: str = ""
) -> Any:
    """Estimate demand and supply, a region and a season in each."""
    data = draw_markets(5, n_markets=80)
    data["season"] = np.random.default_rng(5).integers(0, 4, len(data))
    data["clustering_ids"] = data[clusters]
    linear, costs = (
        blpdask.Formulation(f"0 + {names}{dummies}", absorb)
        for names in ("prices + x", "w + x")
    )
    n_others = 1 + {"": 0, " + C(season)": 3, " + C(region) + C(season)": 8}[dummies]
    with quietly():
        return blpdask.Problem(
            (linear, blpdask.Formulation("0 + x"), costs),
            data,
            integration=blpdask.Integration("product", 3),
        ).solve(
            [[0.5]],
            beta=[-1.0, *[None] * n_others],
            method="1s",
            se_type=kind,
            optimization=blpdask.Optimization("return"),
            check_optimality="gradient",
        )


@pytest.mark.parametrize("clusters", ["market_ids", "region"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_of_two_absorbed_effects(kind: str, clusters: str) -> None:
    """Those of dummies of both, whose levels of the other one average zero over rows.

    Absorbed beside dummies of the other effect, whose first level is then zero, levels
    differ by a constant.
    """
    both = with_two_effects(kind, clusters, absorb="C(region) + C(season)")
    beside = with_two_effects(
        kind, clusters, absorb="C(region)", dummies=" + C(season)"
    )
    dummies = with_two_effects(kind, clusters, dummies=" + C(region) + C(season)")
    for side, matrix in (("demand", "beta"), ("supply", "gamma")):
        found = both.recover_effects("region", side=side)
        seasons = dummies.recover_effects("season", side=side)
        weights = seasons.counts / both.problem.N

        def averaged(r: Any, name: str = matrix, h: Any = weights) -> Any:
            values = getattr(r, name)[2:, 0]
            return values[:5] + h @ values[5:]

        expected = dummies.delta_method(averaged)
        assert distance(found.values, expected.value) < 1e-8
        assert distance(found.covariances, expected.covariances) < 1e-7
        absorbed = beside.recover_effects(side=side)
        levels = dummies.recover_effects("region", side=side)
        assert found.levels == absorbed.levels == levels.levels == (0, 1, 2, 3, 4)
        np.testing.assert_array_equal(found.counts, absorbed.counts)
        assert distance(absorbed.values, levels.values) < 1e-8
        assert distance(absorbed.covariances, levels.covariances) < 1e-8
        other = both.recover_effects("season", side=side)
        assert abs(other.values @ other.counts - found.values @ found.counts) < 1e-8
        np.testing.assert_allclose(
            other.values[1:] - other.values[0], seasons.values, rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("kind", KINDS)
def test_covariances_are_sums_of_influences(kind: str) -> None:
    """Every row's influence on d̂, and its expected square where errors are alike."""
    results = supplied(True, kind)
    products = results.problem.demand.products
    codes, N = products.effects[0], results.problem.N
    counts = np.bincount(codes)
    K1 = 2
    by_psi = np.hstack(
        [
            results.xi_by_theta_jacobian,
            -products.X1[:, results.estimates.concentrated[:K1]],
            np.zeros((N, 3)),
        ]
    )
    A = np.array([by_psi[codes == g].mean(axis=0) for g in range(5)])
    B = A @ results.parameter_sensitivity
    u = np.hstack([results.xi, results.omega])
    Z = np.hstack([products.ZD, products.supply.ZS])
    MD = products.ZD.shape[1]
    own = (codes[:, None] == np.arange(5)) / counts
    # (N, G, 2): influences of ξ_j and ω_j.
    influence = np.stack(
        [own + Z[:, :MD] @ B[:, :MD].T / N, Z[:, MD:] @ B[:, MD:].T / N], axis=2
    )
    if kind == "unadjusted":
        sigma = np.cov(u.T, bias=True)
        expected = np.einsum("jgd,de,jhe->gh", influence, sigma, influence)
    else:
        g = np.hstack([u[:, :1] * Z[:, :MD], u[:, 1:] * Z[:, MD:]])
        scores = np.einsum("jgd,jd->jg", influence, u) - g.mean(axis=0) @ B.T / N
        if kind == "clustered":
            scores = pd.DataFrame(scores).groupby(products.clusters).sum().to_numpy()
        expected = scores.T @ scores
    found = results.recover_effects()
    assert distance(found.covariances, expected) < 1e-9
    assert found.standard_errors.min() > 0


def test_means_have_the_variance_of_means() -> None:
    """Without parameters d̂ is a mean of ξ: its variance is s² / n."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, 500)
    y = rng.normal(size=500) + codes
    means = np.array([y[codes == g].mean() for g in range(4)])
    xi = y - means[codes]
    rows = EffectRows(
        codes=codes,
        effects=means[codes],
        u=xi[:, None],
        Z=(np.zeros((500, 0)),),
        by_psi=np.zeros((500, 0)),
    )
    found = absorbed_levels(rows, np.zeros((0, 0)), np.zeros((0, 0)), "robust", "abcd")
    variances = [xi[codes == g].var() / (codes == g).sum() for g in range(4)]
    np.testing.assert_allclose(found.values, means, rtol=1e-12)
    np.testing.assert_allclose(found.covariances, np.diag(variances), rtol=1e-12)


def test_what_cannot_be_recovered_is_said(tmp_path: Any) -> None:
    data = draw_markets(4).drop(columns="clustering_ids")
    results = blpdask_logit("0 + prices", "C(region)", data)
    with pytest.raises(InputError, match="no dummies of 'product_ids'"):
        results.recover_effects("product_ids")
    both = blpdask_logit("0 + prices", "C(region) + C(product_ids)", data)
    with pytest.raises(InputError, match=r"2 absorbed effects \(region, product_ids\)"):
        both.recover_effects()
    with pytest.raises(InputError, match="side='supply' of results without"):
        both.recover_effects("region", side="supply")
    with pytest.raises(InputError, match="side='costs'"):
        both.recover_effects("region", side="costs")
    apart = data.assign(region=data["product_ids"] % 2)
    parts = blpdask_logit("0 + prices", "C(region) + C(product_ids)", apart)
    with pytest.raises(InputError, match="fall into parts"):
        parts.recover_effects("region")
    data["season"] = data["market_ids"] % 3
    three = blpdask_logit("0 + prices", "C(region) + C(product_ids) + C(season)", data)
    with pytest.raises(InputError, match="3 absorbed effects"):
        three.recover_effects("region")
    results.save(tmp_path / "saved")
    with pytest.raises(BlpdaskError, match="without their problem"):
        blpdask.read_results(tmp_path / "saved").recover_effects()


# The second stage


def draw_effects(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(12), rng.normal(size=(12, 2))])
    root = rng.normal(size=(12, 15)) / 4
    V = root @ root.T
    d = X @ [1.0, -2.0, 0.5] + np.linalg.cholesky(V) @ rng.normal(size=12)
    return d, X, V


def test_minimum_distance_is_generalised_least_squares() -> None:
    d, X, V = draw_effects()
    found = blpdask.second_stage(d, X, V)
    peer = sm.GLS(d, X, sigma=V).fit()
    np.testing.assert_allclose(found.coefficients, peer.params, rtol=1e-9)
    np.testing.assert_allclose(found.covariances, peer.normalized_cov_params, rtol=1e-9)
    np.testing.assert_allclose(found.weighted_r_squared, peer.rsquared, rtol=1e-9)
    inverse = np.linalg.inv(V)
    bread = np.linalg.inv(X.T @ inverse @ X)
    e = d - X @ bread @ X.T @ inverse @ d
    np.testing.assert_allclose(found.test, e @ inverse @ e, rtol=1e-8)
    np.testing.assert_allclose(found.residuals, e, rtol=1e-8)
    r_squared = 1 - e @ e / ((d - d.mean()) ** 2).sum()
    np.testing.assert_allclose(found.r_squared, r_squared, rtol=1e-9)
    assert found.test.dof == 9
    assert f"weighted {found.weighted_r_squared:.4g}; Minimum distance" in str(found)
    frame = found.to_frame()
    np.testing.assert_allclose(frame["std_error"], np.sqrt(np.diag(bread)), rtol=1e-8)


def test_without_covariances_it_is_least_squares() -> None:
    d, X, _ = draw_effects(1)
    found, peer = blpdask.second_stage(d, X), sm.OLS(d, X).fit()
    np.testing.assert_allclose(found.coefficients, peer.params, rtol=1e-10)
    np.testing.assert_allclose(found.standard_errors, peer.bse, rtol=1e-10)
    np.testing.assert_allclose(found.r_squared, peer.rsquared, rtol=1e-10)
    assert np.isnan(found.test) and "by ordinary least squares" in str(found)


def test_the_statistic_has_its_distribution() -> None:
    """Over 2000 draws the mean of χ²(9) is 9, its variance 18."""
    _, X, V = draw_effects()
    root = np.linalg.cholesky(V)
    errors = np.random.default_rng(5).normal(size=(2000, 12)) @ root.T
    tests = [blpdask.second_stage(X @ [1, 2, 3] + e, X, V).test for e in errors]
    assert abs(np.mean(tests) - 9) < 3 * np.sqrt(18 / 2000)
    assert abs(np.mean([t.p_value < 0.05 for t in tests]) - 0.05) < 0.015


def test_faults_of_the_second_stage() -> None:
    d, X, V = draw_effects()
    with pytest.raises(InputError) as caught:
        blpdask.second_stage(d, np.column_stack([X, X[:, 1]]), V - 0.5 * np.eye(12))
    assert "collinear characteristics" in str(caught.value)
    assert "not positive definite" in str(caught.value)
    with pytest.raises(InputError, match=r"X of shape \(11, 3\) for 12 effects"):
        blpdask.second_stage(d, X[:-1])
    with pytest.raises(InputError, match="2 names of 3 columns"):
        blpdask.second_stage(d, X, V, names=["a", "b"])
    with pytest.raises(InputError, match="NaN"):
        blpdask.second_stage(np.where(d > 0, np.nan, d), X)
    effects = nevo_results(ABSORBED, "product_ids", se_type="clustered")
    with pytest.raises(InputError, match=r"of rank 1\d that is not positive"):
        blpdask.second_stage(effects.recover_effects(), np.ones((24, 1)))
    frame = pd.DataFrame({"one": np.ones(24)})
    with pytest.raises(InputError, match="without 24 of the 24 levels"):
        blpdask.second_stage(effects.recover_effects(), frame)
