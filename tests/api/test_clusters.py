"""Clusters in several ways: columns of tables and of stores, and linearmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.driver.serial import SerialEngine
from blpdask.errors import InputError
from tests.estimators.test_continuous_update import SIGMA, build, logit_table, quiet

__all__ = ["quiet"]

TYPES = {"W_type": "clustered", "se_type": "clustered"}


def two_way_table() -> pd.DataFrame:
    table = logit_table().drop(columns="clustering_ids")
    rng = np.random.default_rng(4)
    n = len(table)
    table["clustering_ids0"] = rng.choice([f"firm {f}" for f in range(60)], n)
    table["clustering_ids1"] = rng.integers(0, 40, n)
    return table


def test_standard_errors_are_those_of_linearmodels():
    """2SLS with clusters in two ways, no small-sample correction, not centred."""
    from linearmodels.iv import IV2SLS

    table = two_way_table()
    problem = blpdask.Problem(blpdask.Formulation("1 + prices + x"), table)
    found = problem.solve(method="1s", center_moments=False, se_type="clustered")
    outside = 1 - table.groupby("market_ids")["shares"].transform("sum")
    y = (np.log(table["shares"]) - np.log(outside)).to_numpy()
    exogenous = np.column_stack([np.ones(len(table)), table["x"]])
    Z = table[[f"demand_instruments{m}" for m in range(4)]].to_numpy()
    clusters = np.column_stack(
        [pd.factorize(table[f"clustering_ids{w}"])[0] for w in (0, 1)]
    )
    expected = IV2SLS(y, exogenous, table["prices"].to_numpy(), Z).fit(
        cov_type="clustered", clusters=clusters, debiased=False
    )
    order = [0, 2, 1]
    np.testing.assert_allclose(found.beta[order, 0], expected.params, rtol=1e-9)
    np.testing.assert_allclose(found.beta_se[order, 0], expected.std_errors, rtol=1e-8)
    assert "Robust SEs Adjusted for 60 and 40 Clusters" in str(found)


def test_one_column_by_either_name_is_one_way():
    table = logit_table()
    one = blpdask.Problem(blpdask.Formulation("1 + prices + x"), table)
    named = table.rename(columns={"clustering_ids": "clustering_ids0"})
    other = blpdask.Problem(blpdask.Formulation("1 + prices + x"), named)
    matrix = {n: table[n].to_numpy() for n in table.columns}
    matrix["clustering_ids"] = matrix["clustering_ids"][:, None]
    third = blpdask.Problem(blpdask.Formulation("1 + prices + x"), matrix)
    found = [p.solve(method="2s", **TYPES) for p in (one, other, third)]
    for again in found[1:]:
        np.testing.assert_array_equal(again.parameters, found[0].parameters)
        np.testing.assert_array_equal(again.beta_se, found[0].beta_se)
    assert one.demand.products.clusters.ndim == 1
    assert other.products.clustering_ids.shape == (len(table), 1)


def test_a_matrix_is_its_columns():
    table = two_way_table()
    table["clustering_ids0"] = pd.factorize(table["clustering_ids0"])[0]
    columns = {n: table[n].to_numpy() for n in table.columns if "clust" not in n}
    ways = table[["clustering_ids0", "clustering_ids1"]].to_numpy()
    problems = [
        blpdask.Problem(blpdask.Formulation("1 + prices + x"), data)
        for data in (table, columns | {"clustering_ids": ways})
    ]
    one, other = (p.solve(method="2s", **TYPES) for p in problems)
    np.testing.assert_array_equal(one.parameters, other.parameters)
    assert problems[0].products.clustering_ids.shape == (len(table), 2)


def test_wrong_columns_are_all_named():
    table = two_way_table()
    table["clustering_ids1"] = np.where(table.index < 3, np.nan, 1.0)
    table["clustering_ids0"] = 1
    with pytest.raises(InputError) as caught:
        blpdask.Problem(blpdask.Formulation("1 + prices + x"), table)
    message = str(caught.value)
    assert "1 distinct clustering_ids0, 0 missing" in message
    assert "1 distinct clustering_ids1, 3 missing" in message
    many = {f"clustering_ids{w}": np.arange(len(table)) % 5 for w in range(7)}
    with pytest.raises(InputError, match="clusters in 7 ways"):
        blpdask.Problem(blpdask.Formulation("1 + prices + x"), table.assign(**many))


def test_what_knows_one_way_refuses_two():
    problem = blpdask.Problem(blpdask.Formulation("1 + prices + x"), two_way_table())
    with pytest.raises(InputError, match="clusters in 2 ways"):
        problem.compute_first_stage()
    absorbing = blpdask.Problem(
        blpdask.Formulation("0 + prices + x", absorb="C(clustering_ids1)"),
        two_way_table(),
    )
    results = absorbing.solve(method="1s", se_type="clustered")
    with pytest.raises(InputError, match="clusters in 2 ways"):
        results.recover_effects()
    assert absorbing.solve(method="1s").recover_effects().values.size == 40


def test_two_ways_of_whole_markets_are_known():
    table = two_way_table()
    for ways, expected in (
        ({}, False),
        ({"clustering_ids1": table["market_ids"] // 2}, True),
    ):
        problem = blpdask.Problem(
            blpdask.Formulation("1 + prices + x"), table.assign(**ways)
        )
        assert problem.demand.prepare(2).clusters_of_markets is expected


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Make one problem with absorbed effects, in memory and in a store."""
    memory = build("C(firm_ids)")
    products = memory.demand.products
    table = {n: np.asarray(memory.products[n])[:, 0] for n in ("market_ids", "shares")}
    table |= {n: products.variables[n] for n in ("prices", "x1")}
    table["firm_ids"] = products.ids["firm_ids"]
    table |= {f"clustering_ids{w}": products.clusters[:, w] for w in (0, 1)}
    names = [n for n in products.ZD_names if n.startswith("demand_instruments")]
    from_table = memory_instruments(memory, len(names))
    frame = pd.DataFrame(table | from_table)
    formulas = memory.product_formulations[:2]
    directory = tmp_path_factory.mktemp("clusters")
    store = blpdask.build_store(directory / "s", frame, memory._agent_data)
    edges = tuple(store.blocks.description.block_edges)
    again = blpdask.Problem(formulas, frame, agent_data=memory._agent_data)
    return again, blpdask.Problem(formulas, store), len(edges) - 1


def memory_instruments(problem, count):
    return {
        f"demand_instruments{m}": problem.demand.products.ZD[:, m] for m in range(count)
    }


@pytest.mark.parametrize("method", ["2s", "iterated", "cue"])
def test_a_store_gives_the_same_estimates(problems, method):
    memory, stored, _ = problems
    found = [
        p.solve(SIGMA, method=method, check_optimality="gradient", **TYPES)
        for p in (memory, stored)
    ]
    assert found[1].estimates.cluster_counts == found[0].estimates.cluster_counts
    np.testing.assert_allclose(found[1].objective, found[0].objective, rtol=1e-8)
    np.testing.assert_allclose(found[1].parameters, found[0].parameters, rtol=1e-6)
    S = found[0].moments_covariances
    np.testing.assert_allclose(
        found[1].moments_covariances, S, rtol=1e-6, atol=1e-9 * np.abs(S).max()
    )


def test_a_store_codes_clusters_as_memory_does(problems):
    memory, stored, n_blocks = problems
    prepared = memory.demand.prepare(n_blocks)
    there = stored.demand.prepare(SerialEngine())
    assert there.cluster_counts == prepared.cluster_counts
    assert there.clusters_of_markets == prepared.clusters_of_markets
    for b in range(n_blocks):
        one = prepared.source.load(b).linear().clusters
        other = there.source.load(b).linear().clusters
        assert one.shape[1] == 2
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["iterated", "cue"])
def test_a_run_is_resumed_and_saved(tmp_path, problems, method):
    memory, _, _ = problems
    settings = {"method": method, "blocks": 3, "resume": tmp_path / "run", **TYPES}
    first = memory.solve(SIGMA, **settings)
    again = memory.solve(SIGMA, **settings)
    plain = memory.solve(SIGMA, **(settings | {"resume": None}))
    np.testing.assert_array_equal(again.parameters, first.parameters)
    np.testing.assert_array_equal(plain.parameters, first.parameters)
    first.save(tmp_path / "saved")
    read = blpdask.read_results(tmp_path / "saved")
    assert str(read) == str(first)
    assert read.estimates.estimator == method
    assert read.estimates.cluster_counts == first.estimates.cluster_counts
