"""Problems beside PyBLP's, tables of any kind, and imports that cost nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import notation
from blpdask.errors import BlpdaskError, InputError
from blpdask.progress import EvaluationEvent, Event
from tests.api import nevo

pyblp = pytest.importorskip("pyblp")

HEAVY = ["numba", "zarr", "sympy", "pandas", "scipy", "dask", "matplotlib", "pyblp"]
PACKAGE = Path(blpdask.__file__).parent


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)
    monkeypatch.setattr(pyblp.options, "verbose", False)


# Beside PyBLP


@pytest.mark.parametrize("build", [nevo.problem, nevo.logit])
def test_dimensions_are_pyblps(build: Any) -> None:
    ours, theirs = build(blpdask), build(pyblp)
    names = [
        "T",
        "N",
        "F",
        "I",
        "K1",
        "K2",
        "K3",
        "D",
        "MD",
        "MS",
        "MC",
        "ED",
        "ES",
        "H",
    ]
    for name in names:
        assert getattr(ours, name) == getattr(theirs, name), name
    np.testing.assert_array_equal(ours.unique_market_ids, theirs.unique_market_ids)
    assert ours.rc_types == list(theirs.rc_types)


def test_tables_are_pyblps() -> None:
    ours, theirs = nevo.problem(blpdask), nevo.problem(pyblp)
    for name in ("market_ids", "firm_ids", "product_ids", "clustering_ids"):
        np.testing.assert_array_equal(ours.products[name], theirs.products[name])
    for name in ("shares", "prices", "X1", "X2", "ZD"):
        a, b = ours.products[name], theirs.products[name]
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_agents_are_pyblps() -> None:
    """In the order of the data, which is not sorted by market."""
    ours, theirs = nevo.problem(blpdask), nevo.problem(pyblp)
    for name in ("market_ids", "weights", "nodes", "demographics"):
        np.testing.assert_array_equal(ours.agents[name], theirs.agents[name])


@pytest.mark.parametrize("field", ["products", "agents"])
def test_data_become_a_dict_as_pyblps_do(field: str) -> None:
    """The function takes either package's tables and gives the same."""
    theirs = nevo.problem(pyblp)
    ours = blpdask.data_to_dict(getattr(theirs, field))
    expected = pyblp.data_to_dict(getattr(theirs, field))
    assert list(ours) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(ours[name], values)


def test_tables_keep_what_formulas_name() -> None:
    """Scripts read ``problem.products.sugar``, and shuffle or resample the whole."""
    ours, theirs = nevo.problem(blpdask).products, nevo.problem(pyblp).products
    for name in ("sugar", "mushy"):
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_printed_dimensions() -> None:
    text = str(nevo.problem(blpdask))
    for part in (
        "94",
        "2256",
        "1880",
        "X1: Linear",
        "X2: Nonlinear",
        "d: Demographics",
    ):
        assert part in text
    assert repr(nevo.problem(blpdask)) == text


# Tables of any kind


@pytest.mark.parametrize("kind", ["mapping", "records", "strings of pandas"])
def test_tables_of_any_kind_give_the_same_numbers(kind: str) -> None:
    products, agents = nevo.tables(10)
    tables: list[Any] = [products, agents]
    if kind == "mapping":
        tables = [{c: list(t[c]) for c in t.columns} for t in tables]
    elif kind == "records":
        tables = [t.to_records(index=False) for t in tables]
    else:
        tables = [t.astype({"market_ids": "string"}) for t in tables]
    other = blpdask.Problem(
        (
            blpdask.Formulation("0 + prices", absorb="C(product_ids)"),
            blpdask.Formulation("1 + prices + sugar + mushy"),
        ),
        tables[0],
        blpdask.Formulation("0 + income + income_squared + age + child"),
        tables[1],
    )
    settings: dict[str, Any] = {
        "method": "1s",
        "check_optimality": "gradient",
        "optimization": blpdask.Optimization("return"),
    }
    expected = nevo.problem(blpdask, 10).solve(nevo.SIGMA, nevo.PI, **settings)
    found = other.solve(nevo.SIGMA, nevo.PI, **settings)
    np.testing.assert_array_equal(found.objective, expected.objective)
    np.testing.assert_array_equal(found.delta, expected.delta)


def test_input_is_not_changed() -> None:
    products, agents = (table.copy() for table in nevo.tables(10))
    kept = products.copy(), agents.copy()
    sigma, pi = nevo.SIGMA.copy(), nevo.PI.copy()
    nevo.problem(blpdask, 10).solve(sigma, pi, method="1s", threads=1)
    pd.testing.assert_frame_equal(nevo.tables(10)[0], kept[0])
    pd.testing.assert_frame_equal(nevo.tables(10)[1], kept[1])
    np.testing.assert_array_equal(sigma, nevo.SIGMA)
    np.testing.assert_array_equal(pi, nevo.PI)


# Nevo's problem, whole


def test_nevo_from_the_first_evaluation_to_the_last() -> None:
    told: list[Event] = []
    results = nevo.problem(blpdask).solve(
        nevo.SIGMA, nevo.PI, method="1s", progress=told.append
    )
    first = next(event for event in told if isinstance(event, EvaluationEvent))
    assert abs(first.objective - 29.3533431262) < 1e-9
    assert first.theta == (
        *(0.3302, 2.4526, 0.0163, 0.2441),
        *(5.4819, 0.2037, 15.8935, -1.2, 2.6342),
        *(-0.2506, 0.0511, 1.2650, -0.8091),
    )
    assert results.converged
    assert abs(float(results.objective) - 4.56151416480) < 1e-10
    np.testing.assert_allclose(results.beta, [[-62.7298951]], rtol=1e-5)
    np.testing.assert_allclose(results.beta_se, [[14.8032138]], rtol=1e-5)
    np.testing.assert_allclose(results.pi[1, 0], 588.325089, rtol=1e-5)
    np.testing.assert_allclose(results.sigma[1, 1], 3.31248885, rtol=1e-5)


def test_bounds_of_pyblps_end_nevo_at_another_minimum() -> None:
    """σ >= 0, PyBLP's default where an optimiser takes bounds, hides the better one."""
    problem = nevo.problem(blpdask)
    lower = np.where(np.eye(4) == 1, 0.0, -np.inf)
    results = problem.solve(
        nevo.SIGMA, nevo.PI, method="1s", sigma_bounds=(lower, np.full((4, 4), np.inf))
    )
    assert abs(float(results.objective) - 4.7213503) < 1e-6
    assert results.sigma[2, 2] == 0
    assert blpdask.Optimization("l-bfgs-b").choice.bounds_by_default
    assert not blpdask.Optimization().choice.bounds_by_default


def test_custom_optimisers_see_residuals() -> None:
    seen = []

    def gauss_newton(
        initial: Any, bounds: Any, objective_function: Any, callback: Any, steps: int
    ) -> tuple[Any, bool]:
        theta = initial
        for _ in range(steps):
            objective, gradient, progress = objective_function(theta)
            residual, jacobian = progress.residual, progress.residual_jacobian
            np.testing.assert_allclose(residual @ residual, objective, rtol=1e-10)
            np.testing.assert_allclose(
                2 * jacobian.T @ residual, gradient, rtol=1e-6, atol=1e-8
            )
            np.testing.assert_array_equal(progress.theta, theta)
            assert progress.objective == objective
            np.testing.assert_array_equal(progress.gradient[:, 0], gradient)
            seen.append(objective)
            theta = theta - np.linalg.lstsq(jacobian, residual, rcond=None)[0]
            callback()
        return theta, True

    problem = nevo.problem(blpdask)
    best = problem.solve(nevo.SIGMA, nevo.PI, method="1s", check_optimality="gradient")
    results = problem.solve(
        1.05 * best.sigma,
        0.95 * best.pi,
        method="1s",
        optimization=blpdask.Optimization(gauss_newton, {"steps": 8}),
    )
    assert seen[0] - 4.56151416480 > 0.1
    assert abs(seen[-1] - 4.56151416480) < 1e-3
    assert (results.optimization_iterations, len(seen)) == (8, 8)


def test_what_is_printed_while_it_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    problem = nevo.problem(blpdask, 10)
    monkeypatch.setattr(blpdask.options, "verbose", True)
    monkeypatch.setattr(blpdask.options, "verbose_output", lines.append)
    sigma, pi = np.diag([0.3, 0, 0, 0]), np.zeros((4, 4))
    results = problem.solve(sigma, pi, method="1s", threads=1)
    text = "\n".join(lines)
    assert lines[0].startswith("Optimising (GMM step 1)")
    assert "step  evaluation        objective" in lines[1]
    assert str(results) in text
    assert text.rstrip().endswith("===")  # the last table, and nothing behind it


def test_threads_and_blocks_do_not_change_a_bit() -> None:
    problem = nevo.problem(blpdask)
    kept = [
        problem.solve(nevo.SIGMA, nevo.PI, method="1s", blocks=16, **engine)
        for engine in ({"engine": "serial"}, {"threads": 1}, {"threads": 3})
    ]
    for results in kept[1:]:
        np.testing.assert_array_equal(results.theta, kept[0].theta)
        np.testing.assert_array_equal(results.hessian, kept[0].hessian)
        np.testing.assert_array_equal(results.beta_se, kept[0].beta_se)


# Example data


def test_locations_are_pyblps() -> None:
    for name in set(dir(blpdask.data)) - {"fetch", "load", "load_choices"}:
        assert getattr(blpdask.data, name) == str(getattr(pyblp.data, name))
    with pytest.raises(AttributeError, match="no attribute 'NEVO'"):
        blpdask.data.NEVO  # noqa: B018


def test_absence_of_pyblp_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BlpdaskError, match=r"blpdask\[examples\]"):
        blpdask.data.NEVO_PRODUCTS_LOCATION  # noqa: B018


def test_errors_are_one_family() -> None:
    assert blpdask.exceptions.InputError is InputError
    assert issubclass(InputError, BlpdaskError) and issubclass(InputError, ValueError)


# Imports


def run_python(code: str) -> str:
    """Run code in a fresh interpreter and give what it prints."""
    return subprocess.check_output([sys.executable, "-c", code], text=True)


@pytest.mark.parametrize(
    "code",
    [
        "import blpdask",
        "import blpdask.cli",
        "import blpdask; dir(blpdask); blpdask.__version__",
        "import blpdask.notation, blpdask.errors, blpdask.status",
    ],
)
def test_importing_is_not_using(code: str) -> None:
    found = f"json.dumps(sorted(set({HEAVY}) & {{*sys.modules}}))"
    tail = f"\nimport sys, json; print({found})"
    assert json.loads(run_python(code + tail)) == []


def test_naming_the_interface_is_light_too() -> None:
    code = (
        "from blpdask import Formulation, Integration, Iteration, Optimization\n"
        "from blpdask import data, exceptions, options\n"
        "Formulation('1 + prices + log(x)', absorb='C(y)'); Iteration('squarem')\n"
        "import sys, json\n"
        f"print(json.dumps(sorted(set({HEAVY}) & {{*sys.modules}})))"
    )
    assert set(json.loads(run_python(code))) <= {"numba", "scipy"}


def test_importing_is_no_slower_than_importing_pyblp() -> None:
    code = (
        "from time import perf_counter as now; t = now(); import {}; print(now() - t)"
    )
    ours = min(float(run_python(code.format("blpdask"))) for _ in range(3))
    theirs = float(run_python(code.format("pyblp")))
    assert ours < theirs


def test_public_names_are_there() -> None:
    for name in blpdask.__all__:
        assert getattr(blpdask, name) is not None
    assert set(blpdask.__all__) <= set(dir(blpdask))
    with pytest.raises(AttributeError, match="no attribute 'Simulator'"):
        blpdask.Simulator  # noqa: B018


# The alphabet


def test_the_alphabet_is_the_one_that_code_uses() -> None:
    """Every name of the alphabet that is a word of Python is one of the package's."""
    source = "\n".join(
        path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "notation.py"
    )
    words = set(source.replace(".", " ").replace("(", " ").replace(",", " ").split())
    words |= {word.strip("`:=[]{}*'\"") for word in words}
    for letter in notation.ALPHABET:
        assert letter.name.split(".")[-1] in words, letter
        assert letter.meaning and letter.source and letter.shape
    symbols = [letter.symbol for letter in notation.ALPHABET]
    names = [letter.name for letter in notation.ALPHABET]
    assert len(set(symbols)) == len(symbols) and len(set(names)) == len(names)
    with pytest.raises(KeyError):
        notation.symbol("q(θ)")


def test_shapes_of_the_alphabet_are_those_of_results() -> None:
    results = nevo.problem(blpdask, 10).solve(
        nevo.SIGMA,
        nevo.PI,
        method="1s",
        optimization=blpdask.Optimization("return"),
        threads=1,
    )
    sizes = {
        "T": 10,
        "N": 240,
        "K1": 1,
        "K2": 4,
        "D": 4,
        "K3": 0,
        "H": 0,
        "R": 0,
        "MD": 20,
        "P": 13,
        "P + C": 14,
        "MM": 0,
    }
    checked = 0
    for letter in notation.ALPHABET:
        value = getattr(results, letter.name, None)
        if not isinstance(value, np.ndarray) or letter.name == "C":
            continue
        if letter.name in ("tilde_costs", "omega"):  # without a supply side
            assert value.shape == (240, 0)
            continue
        if letter.name == "phi":  # without lags
            assert value.shape == (1, 0)
            continue
        axes = [axis.strip() for axis in letter.shape.strip("()").split(",")]
        expected = tuple(int(a) if a == "1" else sizes[a] for a in axes if a)
        assert value.shape == expected, letter
        checked += 1
    assert checked >= 12
