"""Simulation error in a solve: PyBLP's numbers by name, the right ones by default.

Invariants: with ``simulation_scaling="pyblp"`` and one function, live PyBLP's numbers;
N times its covariance at fixed β by default; the same bits on every engine, with or
without a directory; failures are counted and named.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.driver.serial import SerialEngine
from blpdask.errors import (
    DataWarning,
    InputError,
    NumericalError,
    NumericalWarning,
    StoreError,
)
from blpdask.estimators.gmm_options import GmmOptions
from blpdask.estimators.simulation_error import (
    KeyedResamples,
    Resampling,
    simulation_covariances,
)
from blpdask.integration.rules import Rule
from blpdask.moments.objective import gmm_point, prepare_linear_gmm
from blpdask.records import InversionControls
from tests.api import nevo

T, J, I = 25, 5, 30  # noqa: E741
SIGMA = np.diag([0.5, 0.8])


def products(seed=0):
    rng = np.random.default_rng(seed)
    N = T * J
    utility = rng.normal(size=(T, J)) - 1.5
    shares = np.exp(utility) / (1 + np.exp(utility).sum(1, keepdims=True))
    table = {
        "market_ids": np.repeat(np.arange(T), J),
        "firm_ids": np.tile(np.arange(J), T),
        "shares": shares.ravel(),
        "prices": rng.uniform(1, 3, N),
        "x": rng.normal(size=N),
        "clustering_ids": np.arange(N) // 7,
    }
    for k in range(4):
        table[f"demand_instruments{k}"] = rng.normal(size=N) + 0.4 * table["prices"]
    return pd.DataFrame(table)


def agents(index):
    rng = np.random.default_rng([77, index])
    return pd.DataFrame(
        {
            "market_ids": np.repeat(np.arange(T), I),
            "weights": np.full(T * I, 1 / I),
            "nodes0": rng.normal(size=T * I),
            "nodes1": rng.normal(size=T * I),
            "income": rng.normal(size=T * I),
        }
    )


def resample(index):
    return agents(index + 1) if index < 6 else None


def build(package, table=None):
    formulations = (
        package.Formulation("1 + prices + x"),
        package.Formulation("1 + x"),
    )
    demographics = package.Formulation("0 + income")
    table = products() if table is None else table
    return package.Problem(formulations, table, demographics, agents(0))


def by_rule(size=I):
    return blpdask.Problem(
        (blpdask.Formulation("1 + prices + x"), blpdask.Formulation("1 + x")),
        products(),
        integration=blpdask.Integration("monte_carlo", size, {"seed": 4}),
    )


PI = np.array([[0.3], [0.0]])


@pytest.mark.parametrize(
    "types", [("robust", "robust"), ("clustered", "unadjusted"), ("unadjusted",) * 2]
)
def test_by_name_the_numbers_are_those_of_pyblp(types):
    pyblp = pytest.importorskip("pyblp")
    pyblp.options.verbose = False
    W_type, se_type = types
    given = {"W_type": W_type, "se_type": se_type, "method": "2s"}
    given |= {"resample_agent_data": resample, "check_optimality": "gradient"}
    tight = {"atol": 1e-14}
    theirs = build(pyblp).solve(
        SIGMA,
        PI,
        optimization=pyblp.Optimization("return"),
        iteration=pyblp.Iteration("squarem", tight),
        **given,
    )
    ours = build(blpdask).solve(
        SIGMA,
        PI,
        optimization=blpdask.Optimization("return"),
        simulation_scaling="pyblp",
        **given,
    )
    for name in (
        "simulation_covariances",
        "moments_covariances",
        "updated_W",
        "W",
        "parameter_covariances",
        "sigma_se",
        "pi_se",
        "beta_se",
    ):
        found, expected = getattr(ours, name), np.asarray(getattr(theirs, name))
        known = np.isfinite(expected) & np.isfinite(found)
        scale = np.abs(expected[known]).max()
        distance = np.abs(found[known] - expected[known]).max() / scale
        assert distance < 1e-8, (name, distance)
    assert np.abs(ours.simulation_covariances).max() > 1e-6


def test_with_absorbed_effects_too_the_numbers_are_those_of_pyblp():
    pyblp = pytest.importorskip("pyblp")
    pyblp.options.verbose = False
    _, agents = nevo.tables(10)

    def redrawn(index):
        rng = np.random.default_rng(index)
        nodes = {f"nodes{k}": rng.normal(size=len(agents)) for k in range(4)}
        return agents.assign(**nodes) if index < 4 else None

    theirs, ours = (
        nevo.problem(package, 10).solve(
            nevo.SIGMA,
            nevo.PI,
            optimization=package.Optimization("return"),
            method="1s",
            check_optimality="gradient",
            resample_agent_data=redrawn,
            **scaling,
        )
        for package, scaling in (
            (pyblp, {}),
            (blpdask, {"simulation_scaling": "pyblp"}),
        )
    )
    expected = theirs.simulation_covariances
    distance = np.abs(ours.simulation_covariances - expected).max()
    assert distance < 1e-8 * np.abs(expected).max()


def test_by_default_n_times_the_covariance_at_fixed_parameters():
    problem = build(blpdask)
    still = {"optimization": blpdask.Optimization("return"), "method": "1s"}
    plain = problem.solve(SIGMA, PI, **still)
    beta = plain.beta
    held = {"beta": beta, "beta_bounds": (beta, beta)}
    moments = [
        problem.with_agents(resample(r)).solve(SIGMA, PI, **held, **still).moments
        for r in range(6)
    ]
    expected = problem.N * np.cov(np.hstack(moments))
    found = problem.solve(SIGMA, PI, resample_agent_data=resample, **still)
    scale = np.abs(expected).max()
    S = found.simulation_covariances
    assert np.abs(S - expected).max() < 1e-9 * scale
    added = found.moments_covariances - plain.moments_covariances
    assert np.abs(added - expected).max() < 1e-9 * scale
    assert np.abs(np.linalg.inv(found.updated_W) - found.moments_covariances).max() < (
        1e-9 * np.abs(found.moments_covariances).max()
    )
    assert (found.beta_se > plain.beta_se).all()
    assert (plain.simulation_covariances == 0).all()
    assert plain.simulation_covariances.shape == (problem.MD, problem.MD)


def test_keyed_resamples_are_the_same_bits_however_they_run(tmp_path):
    problem = by_rule()
    still = {"optimization": blpdask.Optimization("return")}
    resamples = blpdask.Resamples(5, seed=3)
    kept = blpdask.Resamples(5, seed=3, directory=tmp_path / "replicates")
    runs = [
        problem.solve(SIGMA, resample_agent_data=which, **still, **engine)
        for which, engine in (
            (resamples, {"engine": "serial", "blocks": 4}),
            (resamples, {"threads": 3, "blocks": 4}),
            (kept, {"threads": 2, "blocks": 4}),
            (kept, {"engine": "serial", "blocks": 4}),
        )
    ]
    for run in runs[1:]:
        for name in ("simulation_covariances", "updated_W", "beta_se", "W"):
            assert getattr(run, name).tobytes() == getattr(runs[0], name).tobytes()
    assert len(list((tmp_path / "replicates").iterdir())) == 2  # one a step
    cut = problem.solve(SIGMA, resample_agent_data=resamples, blocks=2, **still)
    S, other = runs[0].simulation_covariances, cut.simulation_covariances
    np.testing.assert_allclose(other, S, rtol=0, atol=1e-11 * np.abs(S).max())
    fresh = blpdask.Resamples(5, seed=4)
    moved = problem.solve(SIGMA, resample_agent_data=fresh, **still)
    assert np.abs(moved.simulation_covariances - S).max() > 1e-3 * np.abs(S).max()


def test_kept_replicates_are_read_and_damage_is_noticed(tmp_path):
    problem = by_rule()
    arguments = {
        "optimization": blpdask.Optimization("return"),
        "method": "1s",
        "resample_agent_data": blpdask.Resamples(4, directory=tmp_path / "kept"),
    }
    first = problem.solve(SIGMA, **arguments)
    (store,) = (tmp_path / "kept").iterdir()
    (store / "done" / "2").unlink()
    again = problem.solve(SIGMA, **arguments)
    S = first.simulation_covariances
    assert again.simulation_covariances.tobytes() == S.tobytes()
    chunk = store / "arrays/moments/c/1/0"
    flipped = bytearray(chunk.read_bytes())
    flipped[3] ^= 64
    chunk.write_bytes(bytes(flipped))
    with pytest.raises(StoreError, match="replicate 1"):
        problem.solve(SIGMA, **arguments)


def test_resamples_by_a_rule_and_by_a_function_agree():
    from blpdask.integration.keyed import draw_markets

    problem = by_rule()
    rule = Rule("monte_carlo", I)

    def same(index):
        if index == 4:
            return None
        drawn = draw_markets(rule, 2, 9, range(T), index + 1)
        nodes = {f"nodes{k}": drawn.nodes[:, k] for k in range(2)}
        markets = drawn.market_index
        return pd.DataFrame({"market_ids": markets, "weights": drawn.weights} | nodes)

    still = {"optimization": blpdask.Optimization("return"), "method": "1s"}
    by_function, keyed = (
        problem.solve(SIGMA, resample_agent_data=which, **still).simulation_covariances
        for which in (same, blpdask.Resamples(4, seed=9))
    )
    np.testing.assert_allclose(
        by_function, keyed, rtol=0, atol=1e-11 * np.abs(keyed).max()
    )


def test_results_with_simulation_error_are_saved_and_read(tmp_path):
    problem = by_rule()
    results = problem.solve(
        SIGMA,
        optimization=blpdask.Optimization("return"),
        resample_agent_data=blpdask.Resamples(3),
    )
    results.save(tmp_path / "results")
    found = blpdask.read_results(tmp_path / "results").simulation_covariances
    assert found.tobytes() == results.simulation_covariances.tobytes()
    assert "simulation_covariances" in results.to_dict()


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_resamples_are_an_error(n):
    with pytest.raises(InputError, match=f"{n} resample") as caught:
        build(blpdask).solve(
            SIGMA,
            PI,
            optimization=blpdask.Optimization("return"),
            resample_agent_data=lambda index: agents(1) if index < n else None,
        )
    assert "at least two" in str(caught.value)


def test_a_bad_table_is_named_by_its_index():
    def bad(index):
        if index == 3:
            table = agents(3)
            table.loc[4, "nodes1"] = np.nan
            return table.drop(columns="weights")
        return agents(index)

    still = {"optimization": blpdask.Optimization("return")}
    with pytest.raises(InputError) as caught:
        build(blpdask).solve(SIGMA, PI, resample_agent_data=bad, **still)
    assert caught.value.subject == "resample_agent_data(3)"
    assert len(caught.value.faults) == 2

    def raising(index):
        return agents(index) if index < 2 else {}["no such key"]

    with pytest.raises(InputError, match=r"resample_agent_data\(2\)(.|\n)*KeyError"):
        build(blpdask).solve(SIGMA, PI, resample_agent_data=raising, **still)

    def narrow(index):
        return agents(index).drop(columns="nodes1")

    with pytest.raises(InputError, match=r"\(0\)(.|\n)*1 columns of nodes"):
        build(blpdask).solve(SIGMA, PI, resample_agent_data=narrow, **still)


def test_faults_of_resamples_are_found_at_the_door():
    with pytest.raises(InputError) as caught:
        blpdask.Resamples(1, seed=-1, integration="halton")
    assert len(caught.value.faults) == 3
    problem = build(blpdask)

    def faults_of(problem, *arguments, **given):
        with pytest.raises(InputError) as found:
            problem.solve(*arguments, method="3s", **given)
        return str(found.value)

    assert "simulation_scaling='N'" in faults_of(
        problem, SIGMA, PI, simulation_scaling="N"
    )
    given = {"resample_agent_data": blpdask.Resamples(3)}
    assert "where agent_data gives the nodes" in faults_of(problem, SIGMA, PI, **given)
    other = blpdask.Integration("monte_carlo", 50)
    given = {"resample_agent_data": blpdask.Resamples(3, integration=other)}
    assert "50 nodes of equal weight" in faults_of(problem, SIGMA, PI, **given)
    quadrature = blpdask.Integration("product", 3)
    given = {"resample_agent_data": blpdask.Resamples(3, integration=quadrature)}
    assert "draws nothing" in faults_of(problem, SIGMA, PI, **given)
    given = {"resample_agent_data": 50}
    assert "type int" in faults_of(problem, SIGMA, PI, **given)
    logit = blpdask.Problem(blpdask.Formulation("1 + prices"), products())
    assert "without agents" in faults_of(logit, resample_agent_data=resample)


def test_the_rule_of_given_nodes_may_be_named():
    rule = blpdask.Integration("monte_carlo", I)
    found = build(blpdask).solve(
        SIGMA,
        PI,
        optimization=blpdask.Optimization("return"),
        resample_agent_data=blpdask.Resamples(3, integration=rule),
    )
    assert np.linalg.matrix_rank(found.simulation_covariances) == 2


def test_clusters_of_whole_markets_are_warned_of():
    table = products()
    table["clustering_ids"] = table["market_ids"] // 2
    arguments = {
        "optimization": blpdask.Optimization("return"),
        "resample_agent_data": resample,
    }
    problem = build(blpdask, table)
    with pytest.warns(DataWarning, match="clustered by whole markets"):
        problem.solve(SIGMA, PI, se_type="clustered", **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem.solve(SIGMA, PI, **arguments)


def estimated(options, replicates=6):
    """Call the estimator's part alone, at a θ whose inversions may fail."""
    problem = by_rule()
    prepared = problem.demand.prepare(3)
    results = problem.solve(
        SIGMA, optimization=blpdask.Optimization("return"), method="1s"
    )
    parameters = problem.parameters_at(results.estimates)
    linear = prepare_linear_gmm(
        ZtX=prepared.ZtX,
        concentrated=parameters.concentrated,
        W=results.W,
        n_observations=problem.N,
        scale_objective=True,
    )
    MD = problem.MD
    point = gmm_point(
        linear,
        np.zeros(MD, np.longdouble),
        np.zeros((MD, parameters.size)),
        results.beta,
    )
    resamples = KeyedResamples(Rule("monte_carlo", I), replicates, 0)
    placement = SerialEngine().place(prepared.source)
    return simulation_covariances(
        prepared,
        placement,
        parameters,
        parameters.theta,
        point,
        linear,
        Resampling(resamples),
        options,
    )


def failing_in(bad):
    """Fail the inversion in one market of some replicates."""
    from blpdask.estimators import simulation_error as module

    right = module.resampled_moments

    def task(source, state, replicate):
        found = right(source, state, replicate)
        if replicate in bad:
            return replace(found, n_failed=1)
        return found

    return task


def test_failed_replicates_are_left_out_and_counted(monkeypatch):
    from blpdask.estimators import simulation_error as module

    options = GmmOptions()
    whole = estimated(options, replicates=4)
    assert (whole.n_replicates, whole.n_failed, whole.notes) == (4, 0, ())
    monkeypatch.setattr(module, "resampled_moments", failing_in({4, 5}))
    with pytest.warns(NumericalWarning, match="in 2 of 6 resamples"):
        found = estimated(options, replicates=6)
    assert found.covariances.tobytes() == whole.covariances.tobytes()
    assert (found.n_replicates, found.n_failed) == (6, 2)
    assert "leaves them out" in found.notes[0]
    with pytest.raises(NumericalError, match="in 2 of 6"):
        estimated(GmmOptions(error_behavior="raise"))
    monkeypatch.undo()
    monkeypatch.setattr(module, "resampled_moments", failing_in({0, 1, 3}))
    with pytest.raises(NumericalError, match="in 3 of 4"):
        estimated(options, replicates=4)


def test_real_failures_of_inversions_are_counted():
    hasty = GmmOptions(controls=InversionControls(max_evaluations=1))
    with pytest.raises(NumericalError, match="in 3 of 3 resamples"):
        estimated(hasty, replicates=3)
