"""Absorbed effects are the residuals of least squares on all dummies."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyblp
import pytest

from blpdask.api.formulation import Formulation, build_matrix
from blpdask.errors import InputError, NumericalWarning
from blpdask.problem.absorption import absorb, group_codes
from blpdask.problem.absorption_options import read_absorption_options
from blpdask.problem.formulas import parse
from blpdask.records import Floats, Integers

Groups = list[Integers]


def project_off_dummies(values: Floats, groups: Groups) -> Floats:
    """Residuals by singular value decomposition of explicit dummies."""
    dummies = np.hstack([np.eye(int(codes.max()) + 1)[codes] for codes in groups])
    basis, scale, _ = np.linalg.svd(dummies, full_matrices=False)
    basis = basis[:, scale > 1e-10 * scale[0]]
    for _ in range(2):
        values = values - basis @ (basis.T @ values)
    return values


def one(rng: np.random.Generator) -> Groups:
    return [rng.integers(0, 40, 500)]


def two(rng: np.random.Generator) -> Groups:
    return [rng.geometric(0.05, 800) % 100, rng.integers(0, 30, 800)]


def three(rng: np.random.Generator) -> Groups:
    return [*two(rng), rng.integers(0, 9, 800)]


def four(rng: np.random.Generator) -> Groups:
    return [*three(rng), rng.geometric(0.2, 800) % 17]


def chain(rng: np.random.Generator) -> Groups:
    """Workers who each saw two firms in a row: connected by single moves."""
    worker = np.repeat(np.arange(300), 4)
    return [worker, worker + np.tile([0, 1, 0, 1], 300)]


def chain_and_more(rng: np.random.Generator) -> Groups:
    return [*chain(rng), rng.integers(0, 25, 1200)]


def islands(rng: np.random.Generator) -> Groups:
    """Several components that share no group."""
    island = rng.integers(0, 8, 900)
    return [
        island * 10 + rng.integers(0, 10, 900),
        island * 5 + rng.integers(0, 5, 900),
    ]


def bridges(rng: np.random.Generator) -> Groups:
    """Two large components with a single row between them."""
    side = np.repeat([0, 1], 400)
    first = side * 20 + rng.integers(0, 20, 800)
    second = side * 15 + rng.integers(0, 15, 800)
    return [np.append(first, 0), np.append(second, 15)]


def nested(rng: np.random.Generator) -> Groups:
    city = rng.integers(0, 60, 500)
    return [city, city // 7]


def twice(rng: np.random.Generator) -> Groups:
    city = rng.integers(0, 60, 500)
    return [city, city, rng.integers(0, 3, 500)]


def singletons(rng: np.random.Generator) -> Groups:
    return [np.arange(200) // 2, np.r_[np.arange(100), rng.integers(0, 100, 100)]]


def gaps(rng: np.random.Generator) -> Groups:
    """Codes that are not all present."""
    return [3 * rng.integers(0, 20, 400), 5 * rng.integers(0, 7, 400) + 2]


DESIGNS = [one, two, three, four, chain, chain_and_more, islands, bridges, nested]
DESIGNS += [twice, singletons, gaps]


@pytest.mark.parametrize("design", DESIGNS)
def test_absorbing_is_regressing_on_dummies(
    design: Callable[[np.random.Generator], Groups],
) -> None:
    rng = np.random.default_rng(7)
    groups = design(rng)
    n_rows = groups[0].size
    values = rng.normal(size=(n_rows, 5))
    values[:, 1] += 1000
    values[:, 2] = np.cumsum(values[:, 0])
    values[:, 3] = groups[-1] ** 2
    values[:, 4] = 0
    original = values.copy()
    absorbed = absorb(values, groups)
    expected = project_off_dummies(values, groups)
    norms = np.linalg.norm(values - values.mean(axis=0), axis=0) + 1e-300
    errors = np.linalg.norm(absorbed.values - expected, axis=0) / norms
    assert absorbed.converged
    assert errors.max() < 2e-12
    assert np.array_equal(values, original)
    again = absorb(absorbed.values[:, :3], groups).values
    np.testing.assert_allclose(again, absorbed.values[:, :3], atol=1e-10, rtol=0)


def test_a_column_alone_is_a_column_among_others() -> None:
    rng = np.random.default_rng(8)
    groups = three(rng)
    values = rng.normal(size=(800, 3))
    together = absorb(values, groups).values
    alone = absorb(values[:, 1], groups).values
    assert alone.shape == (800,)
    np.testing.assert_allclose(alone, together[:, 1], atol=1e-12)
    assert absorb(values, []).values.tolist() == values.tolist()


def test_a_long_chain_converges_where_alternating_projections_stall() -> None:
    rng = np.random.default_rng(9)
    n_workers = 2000
    worker = np.repeat(np.arange(n_workers), 2)
    firm = worker + np.tile([0, 1], n_workers)
    worker, firm = np.append(worker, [5, 5]), np.append(firm, [6, 5])
    effect = rng.normal(size=n_workers).cumsum()[worker] + np.append(firm, 0)[firm]
    noise = rng.normal(size=worker.size)
    both = absorb(np.column_stack([noise, noise + effect]), [worker, firm])
    assert both.converged
    np.testing.assert_allclose(both.values[:, 0], both.values[:, 1], atol=1e-8)
    # All rows but those of worker 5 are fitted exactly by their own effects.
    assert np.abs(both.values[worker != 5]).max() < 1e-8
    assert np.abs(both.values[worker == 5, 0]).max() > 0.01


def test_stopping_early_is_said() -> None:
    rng = np.random.default_rng(10)
    values = rng.normal(size=1200)
    with pytest.warns(NumericalWarning, match="stopped after 5 steps"):
        absorbed = absorb(values, chain(rng), max_iterations=5)
    assert not absorbed.converged
    assert absorbed.correction[0] > 1e-12


def test_groups_are_numbered_whatever_their_type() -> None:
    frame = pd.DataFrame(
        {
            "city": ["b", "a", "b", "a", "c"],
            "week": [2, 1, 1, 1, 2],
            "firm": pd.Categorical(["x", "y", "x", "y", "y"]),
            "mixed": np.array([1, "1", 1, (2,), "1"], dtype=object),
            "day": pd.to_datetime(["2020-01-02"] * 2 + ["2020-01-01"] * 3),
            "owned": [True, False, True, True, False],
        }
    )
    expected = {
        ("city",): [1, 0, 1, 0, 2],
        ("week",): [1, 0, 0, 0, 1],
        ("firm",): [0, 1, 0, 1, 1],
        ("day",): [1, 1, 0, 0, 0],
        ("owned",): [1, 0, 1, 1, 0],
        ("city", "week"): [2, 0, 1, 0, 3],
        ("week", "city", "owned"): [3, 0, 2, 1, 4],
    }
    for term, codes in expected.items():
        assert group_codes(frame, term).tolist() == codes
    mixed = group_codes(frame, ["mixed"])
    assert mixed[0] == mixed[2] and mixed[1] == mixed[4] and len(set(mixed)) == 3
    for missing in (None, np.nan, pd.NA):
        with pytest.raises(InputError, match="1 missing values in 'city'"):
            group_codes({"city": np.array(["a", missing], dtype=object)}, ["city"])
    with pytest.raises(InputError, match="1 missing values in 'week'"):
        group_codes({"week": [1.0, np.nan]}, ["week"])


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n_rows = 700
    return pd.DataFrame(
        {
            "prices": rng.lognormal(size=n_rows),
            "sugar": rng.normal(size=n_rows),
            "firm": np.array([f"F{i}" for i in rng.geometric(0.1, n_rows) % 30]),
            "city": rng.integers(0, 20, n_rows),
            "quarter": rng.integers(0, 6, n_rows),
        }
    )


@pytest.mark.parametrize(
    "absorbed",
    [
        "firm",
        "C(city)",
        "C(firm) + C(city)",
        "firm + C(city):C(quarter)",
        "firm + C(city) + C(quarter)",
        "C(city) * C(quarter)",
        "C(city):firm",
    ],
)
def test_built_matrices_are_pyblps(absorbed: str, panel: pd.DataFrame) -> None:
    formula = "0 + prices + I(prices ** 2) + log(prices):sugar + C(quarter):sugar"
    ours = build_matrix(Formulation(formula, absorb=absorbed), panel)
    method, options = "lsmr", {"tol": 1e-14, "residual_tol": 1e-14}
    if len(parse(formula, absorbed).absorbed) == 1:
        method, options = "within", {}
    peer = pyblp.Formulation(formula, absorbed, method, options)
    theirs = pyblp.build_matrix(peer, panel)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * np.abs(theirs).max())
    dummies = project_off_dummies(
        build_matrix(Formulation(formula), panel),
        [
            group_codes(panel, term)
            for term in parse("1 + prices", absorbed).absorbed_terms
        ],
    )
    np.testing.assert_allclose(ours, dummies, rtol=0, atol=1e-10)


def test_numbers_are_not_absorbed_unmarked(panel: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="write C\\(city\\)"):
        build_matrix(Formulation("0 + prices", absorb="firm + city"), panel)
    with pytest.raises(InputError, match="no variable 'town'"):
        build_matrix(Formulation("0 + prices", absorb="town"), panel)


def test_options_of_pyblp_scripts() -> None:
    controls = Formulation(
        "0 + prices",
        "C(a) + C(b)",
        "map",
        {"transform": "symmetric", "acceleration": "cg", "tol": 1e-9},
    ).controls
    assert controls.tolerance == 1e-9
    assert read_absorption_options(None, {"iteration_limit": 7}, 2).max_iterations == 7
    with pytest.raises(InputError) as caught:
        Formulation("0 + x + f(y)", "C(a)", "magic", {"tol": -1, "converged": max})
    found = " | ".join(fault.found for fault in caught.value.faults)
    for part in ("f(...)", "'magic'", "'converged'", "tolerance -1"):
        assert part in found
    with pytest.raises(InputError, match="'within' for 2 effects"):
        Formulation("0 + x", "C(a) + C(b)", "within")
    with pytest.raises(InputError, match="a string"):
        Formulation(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a dictionary"):
        Formulation("x", "C(a)", absorb_options=3)  # type: ignore[arg-type]


def test_formulations_travel_and_compare() -> None:
    formulation = Formulation("0 + I(prices**2)", "C(a):C(b)", None, {"tol": 1e-10})
    copy = pickle.loads(pickle.dumps(formulation))
    assert copy == formulation and hash(copy) == hash(formulation)
    assert copy.controls == formulation.controls
    assert str(copy) == "I(prices ** 2) + Absorb[C(a):C(b)]"
    assert str(formulation) == str(pyblp.Formulation("0 + I(prices**2)", "C(a):C(b)"))
    with pytest.raises(InputError, match="a Formulation"):
        build_matrix("1 + prices", {"prices": [1.0]})  # type: ignore[arg-type]


def test_faulty_input_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        absorb(np.array([1.0, np.nan]), [np.array([0, -1]), np.array([0, 1, 2])])
    assert len(caught.value.faults) == 3
