"""Bad input is refused at the door: found, expected, what to do, all faults at once.

A small good problem (six markets of four products, five agents each) is broken in one
place a case. What comes out must be an InputError that quotes the place, never an error
from inside and never an answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import Formulation, Integration, Iteration, Optimization, Problem
from blpdask.errors import DataWarning, InputError

T, J, I = 6, 4, 5  # noqa: E741
N, A = T * J, T * I
Table = dict[str, Any]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def good_products() -> Table:
    rng = np.random.default_rng(0)
    return {
        "market_ids": np.repeat([f"m{t}" for t in range(T)], J),
        "product_ids": np.tile([f"p{j}" for j in range(J)], T),
        "firm_ids": np.tile(np.arange(J) % 2, T),
        "clustering_ids": np.repeat(np.arange(T), J),
        "shares": rng.uniform(0.05, 0.2, N),
        "prices": rng.uniform(1, 2, N),
        "x": rng.normal(size=N),
        "y": rng.normal(size=N),
        **{f"demand_instruments{i}": rng.normal(size=N) for i in range(6)},
    }


def good_agents() -> Table:
    rng = np.random.default_rng(1)
    return {
        "market_ids": np.repeat([f"m{t}" for t in range(T)], I),
        "weights": np.full(A, 1 / I),
        "nodes0": rng.normal(size=A),
        "nodes1": rng.normal(size=A),
        "income": rng.normal(size=A),
    }


def build(
    products: Mapping[str, Any] | None = None,
    agents: Mapping[str, Any] | None = None,
    X1: str = "1 + prices + x",
    X2: str = "0 + prices + x",
    demographics: str = "0 + income",
) -> Problem:
    return Problem(
        (Formulation(X1), Formulation(X2)),
        good_products() if products is None else products,
        Formulation(demographics),
        good_agents() if agents is None else agents,
    )


def solve(**keywords: Any) -> Any:
    defaults: Table = {
        "sigma": np.eye(2),
        "pi": np.ones((2, 1)),
        "method": "1s",
        "optimization": Optimization("return"),
    }
    return build().solve(**{**defaults, **keywords})


def without(table: Table, *names: str) -> Table:
    return {name: values for name, values in table.items() if name not in names}


def put(values: np.ndarray[Any, Any], row: int, value: Any) -> np.ndarray[Any, Any]:
    """Put a value into a copy."""
    kind = values.astype(object) if values.dtype.kind in "US" else values.astype(float)
    kind[row] = value
    return kind


def refused(call: Callable[[], object]) -> InputError:
    """Catch the one error that a user should see, and check that it says it all."""
    with pytest.raises(InputError) as caught:
        call()
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert error.faults
    for fault in error.faults:
        assert fault.found and fault.expected and fault.remedy
        assert str(fault) in str(error)
    return error


def says(call: Callable[[], object], *parts: str) -> None:
    message = str(refused(call))
    for part in parts:
        assert part in message


def test_the_good_problem_is_good() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(solve().objective)


# Missing columns and markets


@pytest.mark.parametrize("name", ["market_ids", "shares", "prices", "x"])
def test_missing_column_of_products(name: str) -> None:
    says(lambda: build(without(good_products(), name)), "product_data", f"'{name}'")


@pytest.mark.parametrize("name", ["market_ids", "weights", "income"])
def test_missing_column_of_agents(name: str) -> None:
    table = without(good_agents(), name)
    says(lambda: build(agents=table), "agent_data", f"'{name}'")


def test_missing_nodes_are_counted_against_sigma() -> None:
    problem = build(agents=without(good_agents(), "nodes1"))
    says(
        lambda: problem.solve(np.eye(2), np.ones((2, 1))),
        "1 columns of integration nodes",
        "at least 2",
    )


@pytest.mark.parametrize("name", ["demand_instruments", "nodes"])
def test_numbering_that_does_not_start_at_zero_is_warned_of(name: str) -> None:
    products, agents = good_products(), good_agents()
    table = products if name == "demand_instruments" else agents
    del table[f"{name}0"]
    with pytest.warns(DataWarning, match=f"'{name}1' but no '{name}0'"):
        build(products, agents)


def test_market_without_agents() -> None:
    table = good_agents()
    keep = table["market_ids"] != "m2"
    says(
        lambda: build(agents={name: values[keep] for name, values in table.items()}),
        "1 markets with products but no agents (m2)",
        "agents in every market",
    )


def test_market_without_products() -> None:
    table = good_products()
    keep = table["market_ids"] != "m2"
    says(
        lambda: build({name: values[keep] for name, values in table.items()}),
        "1 markets with agents but no products (m2)",
        "products in every market",
    )


def test_no_agents_at_all() -> None:
    formulations = (Formulation("1 + prices"), Formulation("1 + prices"))
    says(
        lambda: Problem(formulations, good_products()),
        "neither agent_data nor integration",
    )


def test_agents_without_random_coefficients() -> None:
    says(
        lambda: Problem(Formulation("prices"), good_products(), None, good_agents()),
        "agent_data although X2 is not formulated",
    )


# Shares


@pytest.mark.parametrize("share", [0.0, -0.1])
def test_share_of_zero_or_less(share: float) -> None:
    table = good_products()
    table["shares"] = put(table["shares"], 5, share)
    says(
        lambda: build(table), "1 shares that are zero or negative (rows 5)", "exclusive"
    )


def test_shares_without_an_outside_good() -> None:
    table = good_products()
    table["shares"][4:8] = 0.25
    says(
        lambda: build(table),
        "shares that sum to 1 or more in 1 markets (m1)",
        "the outside good needs a share",
    )


# Values that are not finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("shares", "'shares' in 1 rows (3)"),
        ("prices", "1 of 24 rows of 'prices' not finite (rows 3)"),
        ("x", "1 of 24 rows of 'x' not finite (rows 3)"),
        ("demand_instruments1", "'demand_instruments' in 1 rows (3)"),
    ],
)
def test_products_not_finite(name: str, named: str, value: float) -> None:
    table = good_products()
    table[name] = put(table[name], 3, value)
    says(lambda: build(table), named, "finite numbers")


def test_a_random_coefficient_not_finite() -> None:
    table = good_products()
    table["y"] = put(table["y"], 3, np.nan)
    says(lambda: build(table, X2="0 + prices + y"), "1 of 24 rows of 'y'")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("weights", "'weights' in 1 rows (7)"),
        ("nodes1", "'nodes' in 1 rows (7)"),
        ("income", "1 of 30 rows of 'income'"),
    ],
)
def test_agents_not_finite(name: str, named: str, value: float) -> None:
    table = good_agents()
    table[name] = put(table[name], 7, value)
    says(lambda: build(agents=table), named, "finite numbers")


@pytest.mark.parametrize("kind", [float, object])
def test_rows_without_a_market(kind: type) -> None:
    table = good_products()
    ids = np.repeat(np.arange(T), J).astype(kind)
    ids[3] = np.nan
    table["market_ids"] = ids
    says(lambda: build(table), "1 rows without a market (NaN in market_ids)")


def test_agents_without_a_market() -> None:
    table = good_agents()
    table["market_ids"] = put(table["market_ids"], 3, np.nan)
    says(lambda: build(agents=table), "1 agents without a market")


def test_logarithm_of_a_negative_number() -> None:
    says(lambda: build(X1="1 + prices + log(x)"), "'log(x)'", "log of numbers ≤ 0")


def test_words_where_numbers_belong() -> None:
    table = good_products()
    table["shares"] = np.array(["one tenth"] * N)
    says(lambda: build(table), "'shares' that is not numeric", "numbers")


# Products twice in a market, instruments


def test_the_same_product_twice_in_a_market() -> None:
    table = good_products()
    table["product_ids"] = put(table["product_ids"], 5, "p0")
    with pytest.warns(DataWarning, match=r"listed twice in a market \(p0 in m1\)"):
        build(table)


def test_fewer_instruments_than_parameters() -> None:
    names = [f"demand_instruments{i}" for i in range(1, 6)]
    problem = build(without(good_products(), *names))
    says(
        lambda: problem.solve(np.eye(2), np.ones((2, 1))),
        "3 instruments for 7 parameters",
        "prices x income",
        "at least as many instruments as parameters",
    )


def test_fewer_instruments_than_linear_parameters() -> None:
    names = [f"demand_instruments{i}" for i in range(6)]
    table = without(good_products(), *names)
    says(
        lambda: Problem(Formulation("1 + prices + x"), table).solve(),
        "2 instruments for 3 parameters (1, prices, x)",
    )


# Shapes


@pytest.mark.parametrize("name", ["shares", "prices", "x", "demand_instruments0"])
def test_product_columns_of_another_length(name: str) -> None:
    table = good_products()
    table[name] = table[name][:-1]
    says(lambda: build(table), "23", "24")


@pytest.mark.parametrize("name", ["firm_ids", "product_ids", "clustering_ids"])
def test_identifiers_of_another_length(name: str) -> None:
    table = good_products()
    table[name] = table[name][:-1]
    says(lambda: build(table), name)


def test_an_absorbed_effect_of_another_length() -> None:
    table = good_products()
    table["firm_ids"] = table["firm_ids"][:-1]
    formulation = Formulation("0 + prices", absorb="C(firm_ids)")
    says(lambda: Problem(formulation, table), "firm_ids")


@pytest.mark.parametrize("length", [A - 1, 2 * A])
@pytest.mark.parametrize("name", ["weights", "nodes0", "income"])
def test_agent_columns_of_another_length(name: str, length: int) -> None:
    table = good_agents()
    table[name] = np.resize(table[name], length)
    says(lambda: build(agents=table), str(length), str(A))


def test_a_matrix_where_a_column_belongs() -> None:
    table = good_products()
    table["market_ids"] = np.ones((N, 2))
    says(lambda: build(table), "'market_ids' of shape (24, 2)")
    agents = good_agents()
    agents["weights"] = np.ones((A, 2))
    says(lambda: build(agents=agents), "'weights' of shape (30, 2)")


@pytest.mark.parametrize("empty", [dict, pd.DataFrame])
def test_a_table_without_rows(empty: type) -> None:
    table = {name: values[:0] for name, values in good_products().items()}
    says(lambda: build(empty(table)), "no rows")


@pytest.mark.parametrize("data", [None, "products.csv", 5])
def test_data_that_are_no_table(data: Any) -> None:
    says(lambda: Problem(Formulation("1 + prices"), data), "product_data")


ARGUMENTS: list[tuple[Table, tuple[str, ...]]] = [
    ({"sigma": np.eye(3)}, ("sigma of shape (3, 3)", "shape (2, 2)")),
    ({"sigma": None}, ("no sigma", "because X2 is formulated")),
    ({"sigma": np.full((2, 2), np.nan)}, ("NaN or infinite values in sigma",)),
    ({"sigma": "one"}, ("sigma that is not numeric",)),
    ({"sigma": [[1, 0], [1]]}, ("sigma that is not numeric",)),
    ({"pi": np.ones((1, 3))}, ("pi of shape (1, 3)", "shape (2, 1)")),
    ({"pi": None}, ("no pi", "because demographics are formulated")),
    ({"beta": [1, 2]}, ("beta of shape (2, 1)", "3 values")),
    ({"beta": [np.inf, 1, 1]}, ("beta",)),
    ({"sigma_bounds": (np.zeros((3, 3)), np.ones((3, 3)))}, ("lower bound of sigma",)),
    ({"sigma_bounds": (2, 3)}, ("starting values of sigma outside their bounds",)),
    ({"sigma_bounds": (1,)}, ("a pair (lower, upper)",)),
    ({"sigma_bounds": 5}, ("sigma_bounds", "a pair (lower, upper)")),
    ({"pi_bounds": ("a", "b")}, ("lower bound of pi that is not numeric",)),
    ({"delta": np.zeros(3)}, ("delta of size 3", "24 finite mean utilities")),
    ({"delta": np.full(N, np.nan)}, ("24 not finite",)),
    ({"delta": "logit"}, ("delta",)),
    ({"W": np.eye(2)}, ("W of shape (2, 2)", "8 by 8")),
    ({"W": -np.eye(8)}, ("lowest eigenvalue -1", "positive semi-definite")),
    ({"W": np.full((8, 8), np.nan)}, ("W with NaN",)),
    ({"W": "identity"}, ("W",)),
    ({"method": "3s"}, ("method='3s'", "'1s', '2s'")),
    ({"W_type": "cluster"}, ("W_type='cluster'", "'clustered'")),
    ({"backend": "torch"}, ("backend='torch'", "'numba'")),
    ({"engine": "cluster"}, ("engine='cluster'", "'threads'")),
    ({"threads": "two"}, ("threads",)),
    ({"threads": -1}, ("threads",)),
    ({"blocks": "many"}, ("blocks",)),
    ({"progress": 3}, ("progress",)),
    ({"starts": 0}, ("starts=0", "at least 1")),
    ({"starts": np.ones((2, 7))}, ("starts of shape (2, 7)", "(S, 4)")),
    ({"starts": 3, "seed": "now"}, ("seed",)),
    ({"error_punishment": -1}, ("error_punishment=-1",)),
    ({"error_punishment": np.nan}, ("error_punishment=nan",)),
    ({"optimization": "bfgs"}, ("optimization of type str", "Optimization('bfgs')")),
    ({"iteration": "squarem"}, ("iteration of type str", "Iteration('squarem')")),
    ({"rho": 0.5}, ("rho of shape (1, 1)", "unless there are nesting_ids")),
    ({"micro_moments": [1]}, ("micro_moments=[1]", "leave micro_moments out")),
]


@pytest.mark.parametrize(
    ("arguments", "parts"), ARGUMENTS, ids=[str(list(a)) for a, _ in ARGUMENTS]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::blpdask.errors.NumericalWarning")
def test_arguments_of_solve(arguments: Table, parts: tuple[str, ...]) -> None:
    says(lambda: solve(**arguments), *parts)


def test_clusters_that_are_not_there() -> None:
    problem = build(without(good_products(), "clustering_ids"))
    says(
        lambda: problem.solve(np.eye(2), np.ones((2, 1)), se_type="clustered"),
        "clustered W_type or se_type without clusters",
        "a column 'clustering_ids'",
    )


# Formulas


@pytest.mark.parametrize(
    ("formula", "found"),
    [
        ("__import__('os').system('true')", "the call __import__(...)"),
        ("1 + np.log(prices)", "the call np.log(...)"),
        ("sin(prices)", "the call sin(...)"),
        ("poly(x, 2)", "the call poly(...)"),
        ("I(open('file'))", "the call open(...)"),
        ("Q('x')", "the call Q(...)"),
        ("I(eval(x))", "the call eval(...)"),
        ("prices.real", "."),
        ("prices[0]", "[ ]"),
        ("I(prices if x else y)", "'prices if x else y'"),
        ("I(9 ** 9 ** 9)", "no finite real number"),
        ("1 +", "ends early"),
        ("x ~ y", "~"),
        (5, "formula 5"),
    ],
)
def test_formulas_that_are_refused(formula: Any, found: str) -> None:
    error = refused(lambda: Formulation(formula))
    assert found in str(error)
    if isinstance(formula, str):
        assert "functions C, I, log, exp" in error.faults[0].remedy


def test_both_formulas_are_reported() -> None:
    error = refused(lambda: Formulation("sin(x)", absorb="cos(y)"))
    assert "sin(...)" in str(error) and "cos(...)" in str(error)


def test_prices_must_be_somewhere_and_shares_nowhere() -> None:
    table = good_products()
    says(lambda: Problem(Formulation("1 + x"), table), "prices neither in X1 nor in X2")
    formulation = Formulation("1 + prices + shares")
    says(lambda: Problem(formulation, table), "shares in the formula of X1")


def test_nests() -> None:
    table = good_products()
    linear = Formulation("1 + prices")
    nested = {**table, "nesting_ids": table["firm_ids"]}
    says(lambda: Problem(linear, nested, epsilon_scale=2), "epsilon_scale=2", "1 with")
    problem = Problem(linear, nested)
    says(problem.solve, "no rho", "there are nesting_ids")
    says(lambda: problem.solve(rho=[0.1] * 7), "rho of shape (7, 1)")
    says(lambda: problem.solve(rho=1.0), "rho of 1", "below one")
    says(lambda: problem.solve(rho="high"), "rho that is not numeric")
    says(
        lambda: problem.solve(rho=0.5, rho_bounds=(0.6, 0.9)),
        "1 starting values of rho outside their bounds",
    )
    missing = np.asarray(nested["nesting_ids"], dtype=object)
    missing[:2] = None
    says(
        lambda: Problem(linear, {**table, "nesting_ids": missing}),
        "2 missing values in 'nesting_ids'",
    )


@pytest.mark.parametrize("given", ["1 + prices", [], None])
def test_no_formulation(given: Any) -> None:
    says(lambda: Problem(given, good_products()), "a Formulation")


def test_types_of_coefficients_and_rules() -> None:
    formulations = (Formulation("1 + prices"), Formulation("1 + prices"))
    table = good_products()
    says(
        lambda: Problem(formulations, table, integration="product"),  # type: ignore[arg-type]
        "integration of type str",
    )
    rule = Integration("product", 3)
    says(
        lambda: Problem(formulations, table, integration=rule, rc_types=["normal"] * 2),
        "rc_types=['normal', 'normal']",
        "'linear', 'log', 'logit'",
    )


def test_configurations() -> None:
    says(lambda: Optimization("bfsg"), "method 'bfsg'", "bfgs")
    says(lambda: Iteration("squarm"), "method 'squarm'", "squarem")
    says(lambda: Integration("normal", 10), "'normal'", "monte_carlo")


# All faults at once


def test_five_faults_of_products_are_listed_together() -> None:
    table = good_products()
    table["shares"] = put(table["shares"], 0, 0.0)
    table["shares"][4:8] = 0.3
    table["x"] = put(table["x"], 2, np.nan)
    table["demand_instruments0"] = put(table["demand_instruments0"], 1, np.inf)
    table["prices"] = put(table["prices"], 13, np.nan)
    error = refused(lambda: build(table))
    found = "\n".join(fault.found for fault in error.faults)
    for part in (
        "1 shares that are zero or negative (rows 0)",
        "sum to 1 or more in 1 markets (m1)",
        "1 of 24 rows of 'x' not finite",
        "'demand_instruments' in 1 rows (1)",
        "1 of 24 rows of 'prices' not finite",
    ):
        assert part in found
    assert error.subject == "product_data"


@pytest.mark.parametrize("name", ["prices", "x"])
@pytest.mark.parametrize("broken", ["missing", "not finite"])
def test_a_fault_is_listed_once(name: str, broken: str) -> None:
    """One column of both X1 and X2 is one thing to correct."""
    table = good_products()
    table[name] = put(table[name], 2, np.nan)
    if broken == "missing":
        del table[name]
    error = refused(lambda: build(table))
    assert len(error.faults) == 1


def test_faults_of_agents_are_listed_together() -> None:
    table = good_agents()
    table["weights"] = put(table["weights"], 1, np.nan)
    table["nodes1"] = put(table["nodes1"], 2, np.nan)
    table["income"] = put(table["income"], 3, np.inf)
    table["market_ids"] = put(table["market_ids"], 0, "nowhere")
    error = refused(lambda: build(agents=table))
    assert len(error.faults) == 4
    for part in ("'weights'", "'nodes'", "'income'", "(nowhere)"):
        assert part in str(error)


def test_faults_of_arguments_are_listed_together() -> None:
    error = refused(
        lambda: solve(method="3s", sigma=np.eye(3), W=np.eye(2), rho=0.1, se_type="iid")
    )
    assert len(error.faults) == 5
    assert str(error).startswith("solve: 5 faults.")


# Unusual but usable


def test_weights_that_do_not_sum_to_one_are_warned_of() -> None:
    table = good_agents()
    table["weights"][:I] = 0.1
    with pytest.warns(DataWarning, match=r"in 1 of 6 markets \(m0\).* 0\.5 and 0\.5"):
        build(agents=table)


@pytest.mark.parametrize("matrix", ["X1", "X2", "ZD"])
def test_collinear_columns_are_warned_of_and_named(matrix: str) -> None:
    table = good_products()
    if matrix == "ZD":
        table["demand_instruments3"] = 2 * table["demand_instruments0"]
        match = r"columns of ZD: \[demand_instruments3\]"
        with pytest.warns(DataWarning, match=match):
            build(table)
        return
    table["z"] = 3 * table["x"] - table["y"]
    X1 = "1 + prices + x + y + z" if matrix == "X1" else "1 + prices"
    X2 = "0 + x + y + z" if matrix == "X2" else "0 + x"
    with pytest.warns(DataWarning) as told:
        build(table, X1=X1, X2=X2)
    assert any(f"columns of {matrix}: [z]" in str(w.message) for w in told)


def test_what_effects_absorb_is_warned_of() -> None:
    table = good_products()
    table["brand"] = np.tile(np.arange(J, dtype=float), T)
    formulation = Formulation("0 + prices + brand", absorb="C(product_ids)")
    with pytest.warns(DataWarning) as told:
        Problem(formulation, table)
    assert any("(effects are absorbed): [brand]" in str(w.message) for w in told)


def test_unusual_data_can_be_said_to_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "weights_tol", np.inf)
    monkeypatch.setattr(blpdask.options, "collinear_atol", 0)
    monkeypatch.setattr(blpdask.options, "collinear_rtol", 0)
    products, agents = good_products(), good_agents()
    products["y"], agents["weights"] = 2 * products["x"], agents["weights"] / 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(products, agents, X1="1 + prices + x + y")


# What one fault must not hide


def test_a_missing_market_does_not_hide_shares() -> None:
    table = good_products()
    table["market_ids"] = put(table["market_ids"], 20, np.nan)
    table["shares"] = put(table["shares"], 2, -0.1)
    says(lambda: build(table), "rows without a market", "zero or negative (rows 2)")


def test_a_missing_variable_does_not_hide_values_of_others() -> None:
    table = good_products()
    table["prices"] = put(table["prices"], 5, np.inf)
    del table["x"]
    says(lambda: build(table), "no variable 'x'", "'prices' not finite (rows 5)")


def test_prices_are_numbers() -> None:
    table = good_products()
    table["prices"] = table["prices"].astype(str)
    says(lambda: build(table), "'prices' that are not numeric")


def test_a_small_negative_definite_weighting_matrix() -> None:
    says(lambda: solve(W=-1e-9 * np.eye(8)), "positive semi-definite")


def test_a_wald_jacobian_of_another_shape() -> None:
    results = solve(check_optimality="gradient")
    says(lambda: results.run_wald_test([0.0], np.ones((1, 2))), "of shape (1, 2)")
