"""Conduct tests as users ask for them: what is read, what is refused, what is shown."""

from __future__ import annotations

import numpy as np
import pytest

import blpdask
from blpdask import ConductModel, Formulation
from blpdask.errors import BlpdaskError, InputError, NumericalError

from ..analysis.conduct_markets import COSTS, TESTED, draw_markets, estimate

AS_THEY_ARE = blpdask.Optimization("return")
MODELS = ["bertrand", "monopoly", "cournot"]


@pytest.fixture(autouse=True, scope="module")
def quiet():
    blpdask.options.verbose, verbose = False, blpdask.options.verbose
    yield
    blpdask.options.verbose = verbose


@pytest.fixture(scope="module")
def data(quiet):
    return draw_markets(11, T=40)


@pytest.fixture(scope="module")
def results(data):
    return estimate(data, optimization=AS_THEY_ARE)


@pytest.fixture(scope="module")
def found(results, data):
    return results.run_conduct_test(MODELS, data[TESTED], COSTS, product_data=data)


def test_the_problems_own_supply_side_is_the_default(data):
    results = estimate(data, supply=True, optimization=AS_THEY_ARE)
    own = results.run_conduct_test(MODELS, engine="serial")
    said = results.run_conduct_test(
        MODELS, data[TESTED], COSTS, product_data=data, engine="serial"
    )
    assert own.degrees == said.degrees == 3
    assert own.instruments == tuple(f"supply_instruments{k}" for k in range(3))
    assert own.dropped == ("1", "x", "w") and said.instruments == tuple(TESTED)
    for name in ("statistics", "F", "rho", "markups", "confidence_p_values"):
        np.testing.assert_allclose(
            getattr(own, name), getattr(said, name), rtol=1e-8, err_msg=name
        )
    # Bertrand's are the markups of the supply side that was estimated.
    costs = data["prices"] - own.markups[:, 0]
    np.testing.assert_allclose(results.tilde_costs[:, 0], costs, rtol=1e-10)


def test_ownership_of_the_problem_is_bertrands(data):
    weights = blpdask.build_ownership(data, lambda f, g: 1.0 if f == g else 0.3)
    owned = {f"ownership{k}": v for k, v in enumerate(weights.T)}
    results = estimate(data.assign(**owned), supply=True, optimization=AS_THEY_ARE)
    models = ["bertrand", ConductModel("collusion", kappa=0.3), "monopoly"]
    markups = results.run_conduct_test(models, engine="serial").markups
    np.testing.assert_allclose(markups[:, 0], markups[:, 1], rtol=1e-11)


def test_rows_may_come_in_any_order(data, found):
    order = np.random.default_rng(0).permutation(len(data))
    mixed = data.iloc[order].reset_index(drop=True)
    again = estimate(mixed, optimization=AS_THEY_ARE).run_conduct_test(
        MODELS, mixed[TESTED], COSTS, product_data=mixed
    )
    np.testing.assert_allclose(again.markups, found.markups[order], rtol=1e-10)
    np.testing.assert_allclose(again.statistics, found.statistics, rtol=1e-7)


def test_engines_give_the_same_bits(results, data, found):
    for settings in ({"engine": "serial"}, {"engine": "threads", "threads": 2}):
        again = results.run_conduct_test(
            MODELS, data[TESTED], COSTS, product_data=data, **settings
        )
        np.testing.assert_array_equal(again.statistics, found.statistics)
        np.testing.assert_array_equal(again.markups, found.markups)


def test_variables_of_the_problem_need_no_table(results, data):
    own = results.run_conduct_test(MODELS, data[TESTED], Formulation("1 + x"))
    said = results.run_conduct_test(
        MODELS, data[TESTED], Formulation("1 + x"), product_data=data
    )
    np.testing.assert_array_equal(own.statistics, said.statistics)


def test_logarithms_of_costs(data):
    high = data.assign(prices=data["prices"] + 5)
    problem = blpdask.Problem(
        (Formulation("1 + prices + x"), None, COSTS), high, costs_type="log"
    )
    results = problem.solve(beta=[None, -1.5, None], method="1s", engine="serial")
    own = results.run_conduct_test(["bertrand", "perfect_competition"])
    said = results.run_conduct_test(
        ["bertrand", "perfect_competition"], costs_type="linear"
    )
    assert abs(own.Q[1] - said.Q[1]) > 1e-6
    w = np.column_stack([np.ones(len(data)), data["x"], data["w"]])
    z, y = data[TESTED].to_numpy(float), np.log(high["prices"].to_numpy())
    z, y = (v - w @ np.linalg.lstsq(w, v)[0] for v in (z, y))
    g = z.T @ y / len(data)
    Q = g @ np.linalg.solve(z.T @ z / len(data), g)
    np.testing.assert_allclose(own.Q[1], Q, rtol=1e-9)


def test_costs_below_zero_have_no_logarithm(results, data):
    with pytest.raises(NumericalError, match=r"costs at or below zero .* 'monopoly'"):
        results.run_conduct_test(
            MODELS, data[TESTED], COSTS, product_data=data, costs_type="log"
        )


def test_tables(found):
    said = str(found)
    assert "Conduct Tests (3 Instruments, 20 Clusters, Demand Adjusted)" in said
    assert "Worst" in said and "bertrand" in said and repr(found) == said
    html = found._repr_html_()
    assert html.count("<tr>") == 2 + 3 + 3 and "monopoly" in html
    frame = found.to_frame()
    assert (
        frame["statistic"].tolist() == found.statistics[np.triu_indices(3, 1)].tolist()
    )
    assert set(frame["worst_size"]) <= {0.075, 0.1, 0.125, 1}
    assert set(frame["best_power"]) <= {0.95, 0.75, 0.5, 0}
    i, j = 0, 1
    strong = found.F[i, j] >= found.power_critical_values[i, j]
    assert found.best_power(i, j) == (found.powers[int(np.argmax(strong))])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kind": "stackelberg"}, "kind='stackelberg'"),
        ({"kind": "collusion"}, "collusion of nobody"),
        ({"kind": "monopoly", "kappa": 0.5}, "kappa of kind 'monopoly'"),
        ({"kind": "bertrand", "kappa": np.nan}, "kappa=nan"),
        ({"kind": "collusion", "firms": "ab"}, "firms='ab'"),
        ({"kind": "collusion", "firms": ["a"]}, r"firms=\['a'\]"),
        ({"kind": "cournot", "kappa": 1, "ownership": []}, "kappa, ownership together"),
        ({"kind": "given"}, "kind 'given' without markups"),
        ({"kind": "bertrand", "markups": [1.0]}, "markups of kind 'bertrand'"),
        ({"kind": "bertrand", "name": 3}, "name=3"),
    ],
)
def test_models_that_make_no_sense_are_refused(arguments, expected):
    with pytest.raises(InputError, match=expected):
        ConductModel(**arguments)


def test_all_faults_are_told_at_once(results, data):
    with pytest.raises(InputError) as caught:
        results.run_conduct_test(
            [
                ConductModel("collusion", firms=["a", "z"]),
                ConductModel("bertrand", ownership=np.ones((3, 2))),
                ConductModel("given", markups=[1.0]),
                ConductModel("collusion", kappa=lambda f, g: "x"),
                "monopoly",
                "monopoly",
                "cartel",
                7,
            ],
            np.ones((2, 2)),
            Formulation("1 + w + prices"),
            costs_type="cubic",
            se_type="bootstrap",
            draws=0,
            seed=-1,
            backend="abacus",
        )
    said = str(caught.value)
    for expected in (
        "firms z that have no product",
        "ownership of shape (3, 2)",
        "markups of size 1",
        "kappa('a', 'b') = 'x'",
        "models of the same name",
        "kind='cartel'",
        "a model of type int",
        "instruments of shape (2, 2)",
        "prices among the cost shifters",
        "pass product_data with those variables",
        "costs_type='cubic'",
        "se_type='bootstrap'",
        "draws=0",
        "seed=-1",
        "backend='abacus'",
    ):
        assert expected in said, said


def test_demand_alone_says_nothing_of_costs(results, data):
    with pytest.raises(InputError) as caught:
        results.run_conduct_test(["bertrand"])
    said = str(caught.value)
    assert "two models or more" in said and "no cost_formulation" in said
    assert "no instruments" in said
    with pytest.raises(InputError, match="instruments that cost shifters span"):
        results.run_conduct_test(MODELS, data[["x"]], Formulation("1 + x"))
    with pytest.raises(InputError, match="product_data of 3 rows"):
        results.run_conduct_test(
            MODELS, data[TESTED], COSTS, product_data=data.iloc[:3]
        )


def test_what_has_no_firms_no_clusters_or_no_problem(results, data, tmp_path):
    bare = estimate(
        data.drop(columns=["firm_ids", "clustering_ids"]), optimization=AS_THEY_ARE
    )
    table = {"product_data": data}
    with pytest.raises(InputError) as caught:
        bare.run_conduct_test(MODELS, data[TESTED], COSTS, se_type="clustered", **table)
    assert "without 'firm_ids'" in str(caught.value)
    assert "se_type 'clustered' without clusters" in str(caught.value)
    kinds = ["monopoly", "perfect_competition"]
    found = bare.run_conduct_test(kinds, data[TESTED], COSTS, **table)
    assert found.n_clusters == 0 and "Robust" in str(found)
    results.save(tmp_path / "results")
    read = blpdask.read_results(tmp_path / "results")
    with pytest.raises(BlpdaskError, match="results without their problem"):
        read.run_conduct_test(MODELS, data[TESTED], COSTS)
