"""Results beside PyBLP's: names, shapes, numbers, tests; tables, files and pictures."""

from __future__ import annotations

import pickle
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask import ProblemResults, read_results
from blpdask.api.plots import plot_estimates, plot_search
from blpdask.errors import BlpdaskError, InputError, StoreError
from blpdask.progress import EvaluationEvent, Event, StepEvent
from tests.api import nevo

pyblp = pytest.importorskip("pyblp")

#: Counts of share maps depend on last bits, times on the machine, PyBLP's Hessian on
#: differences of inversions from scratch.
COUNTS_AND_TIMES = ("time", "iterations", "evaluations")
CURVATURE = ("hessian", "reduced_hessian", "reduced_hessian_eigenvalues")

SETTINGS: dict[str, dict[str, Any]] = {
    "one step": {"method": "1s", "check_optimality": "both"},
    "clustered": {"method": "2s", "W_type": "clustered", "se_type": "clustered"},
    "beta in theta": {"method": "2s", "beta": [-20.0], "center_moments": False},
    "unadjusted and bounded": {
        "method": "1s",
        "W_type": "unadjusted",
        "se_type": "unadjusted",
        "initial_update": True,
        "sigma_bounds": (np.full((4, 4), -10.0), np.full((4, 4), 10.0)),
    },
}


def solve(package: Any, problem: Any, **keywords: Any) -> Any:
    """Compute all that there is at the starting values."""
    sigma = nevo.SIGMA.copy()
    sigma[1, 0] = 0.5
    settings = {"check_optimality": "gradient", **keywords}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyBLP's own, of SciPy and NumPy
        return problem.solve(
            sigma,
            nevo.PI,
            optimization=package.Optimization("return"),
            iteration=package.Iteration("squarem", {"atol": 1e-14}),
            **settings,
        )


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    kept = blpdask.options.verbose, pyblp.options.verbose
    blpdask.options.verbose = pyblp.options.verbose = False
    yield
    blpdask.options.verbose, pyblp.options.verbose = kept


@pytest.fixture(scope="module")
def problems(quiet: None) -> tuple[Any, Any]:
    return nevo.problem(blpdask, 20), nevo.problem(pyblp, 20)


@pytest.fixture(scope="module", params=SETTINGS, ids=list(SETTINGS))
def pair(request: pytest.FixtureRequest, problems: tuple[Any, Any]) -> tuple[Any, Any]:
    settings = SETTINGS[request.param]
    ours, theirs = problems
    return solve(blpdask, ours, **settings), solve(pyblp, theirs, **settings)


@pytest.fixture(scope="module")
def told() -> list[Event]:
    return []


@pytest.fixture(scope="module")
def estimated(told: list[Event]) -> ProblemResults:
    """Estimate twenty markets in two steps from three starting points."""
    return nevo.problem(blpdask, 20).solve(
        np.diag([0.3, 2.0, 0, 0]),
        np.where(nevo.PI == 5.4819, 5.4819, 0.0),
        method="2s",
        starts=3,
        seed=1,
        threads=1,
        progress=told.append,
    )


# Beside PyBLP


def distance(ours: Any, theirs: Any) -> float:
    """Compare in norm, where PyBLP's numbers are finite; others must be the same."""
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite], b[~finite])
    scale = max(float(np.linalg.norm(b[finite])), 1e-8)
    return float(np.linalg.norm(a[finite] - b[finite])) / scale


def test_shapes_and_kinds_are_pyblps(pair: tuple[Any, Any]) -> None:
    ours, theirs = (results.to_dict() for results in pair)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if isinstance(value, list):
            assert ours[name] == value, name
            continue
        if isinstance(value, tuple):
            assert isinstance(ours[name], tuple), name
            assert len(ours[name]) == len(value), name
        a, b = np.asarray(ours[name]), np.asarray(value)
        assert (a.shape, a.dtype.kind) == (b.shape, b.dtype.kind), name


def test_numbers_are_pyblps(pair: tuple[Any, Any]) -> None:
    ours, theirs = (results.to_dict() for results in pair)
    for name, value in theirs.items():
        if isinstance(value, list) or any(part in name for part in COUNTS_AND_TIMES):
            continue
        tolerance = 1e-5 if name in CURVATURE else 2e-8
        assert distance(ours[name], value) < tolerance, name


def test_statistics_are_pyblps(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    np.testing.assert_allclose(
        ours.run_hansen_test(), theirs.run_hansen_test(), rtol=1e-8
    )
    R = np.zeros((2, ours.parameters.size))
    R[0, 0], R[1, 3], R[1, 4] = 1, 1, -1
    r = (R @ theirs.parameters).ravel()
    np.testing.assert_allclose(
        ours.run_wald_test(r, R), theirs.run_wald_test(r, R), rtol=1e-7
    )


def test_the_lagrange_multiplier_statistic_is_pyblps(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    np.testing.assert_allclose(ours.run_lm_test(), theirs.run_lm_test(), rtol=1e-7)


def test_the_distance_statistic_is_pyblps(problems: tuple[Any, Any]) -> None:
    statistics = []
    for package, problem in zip((blpdask, pyblp), problems, strict=True):
        free = solve(package, problem, method="1s")
        W, pi = free.W, nevo.PI.copy()
        pi[1, 1] = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            restricted = problem.solve(
                free.sigma,
                pi,
                method="1s",
                W=W,
                optimization=package.Optimization("return"),
                check_optimality="gradient",
            )
        statistics.append(restricted.run_distance_test(free))
    np.testing.assert_allclose(statistics[0], statistics[1], rtol=1e-8)


@pytest.mark.parametrize("method", ["1s", "2s"])
def test_logit_results_are_pyblps(method: str) -> None:
    ours, theirs = (nevo.logit(p).solve(method=method) for p in (blpdask, pyblp))
    a, b = ours.to_dict(), theirs.to_dict()
    for name, value in b.items():
        if isinstance(value, list) or any(part in name for part in COUNTS_AND_TIMES):
            continue
        assert np.shape(a[name]) == np.shape(value), name
        assert distance(a[name], value) < 2e-8, name
    expected = {"1s": 189.943177683, "2s": 187.455512976}[method]
    assert abs(float(ours.objective) - expected) < 1e-8


def test_steps_are_kept(estimated: ProblemResults) -> None:
    first = estimated.last_results
    assert first is not None and first.last_results is None
    assert (first.step, estimated.step) == (1, 2)
    np.testing.assert_array_equal(first.updated_W, estimated.W)
    total = first.objective_evaluations + estimated.objective_evaluations
    assert estimated.cumulative_objective_evaluations == total
    assert estimated.cumulative_contraction_evaluations.shape == (20, total)


def test_an_unknown_attribute_is_said(estimated: ProblemResults) -> None:
    with pytest.raises(AttributeError, match="no attribute 'sgima'"):
        estimated.sgima  # noqa: B018


def test_hansens_p_value(estimated: ProblemResults) -> None:
    from scipy.stats import chi2

    test = estimated.hansen_test
    assert test.degrees == estimated.hansen_degrees == 20 - 4
    assert test.statistic == estimated.run_hansen_test() == float(estimated.objective)
    np.testing.assert_allclose(
        estimated.hansen_p_value, chi2.sf(test.statistic, 16), rtol=1e-12
    )


# Tables


def test_frame(estimated: ProblemResults) -> None:
    frame = estimated.to_frame()
    assert list(frame["matrix"]) == ["sigma", "sigma", "pi", "beta"]
    assert list(frame["kind"]) == ["free", "free", "free", "concentrated"]
    assert list(frame["row"]) == ["1", "prices", "1", "prices"]
    assert list(frame["column"]) == ["1", "prices", "income", ""]
    estimates = np.r_[estimated.theta, estimated.beta[0, 0]]
    errors = np.sqrt(np.diag(estimated.parameter_covariances) / 480)
    np.testing.assert_array_equal(frame["estimate"], estimates)
    np.testing.assert_allclose(frame["std_error"], errors, rtol=1e-12)
    np.testing.assert_allclose(frame["t_statistic"], estimates / errors, rtol=1e-12)
    np.testing.assert_allclose(
        frame["upper_95"] - frame["lower_95"], 2 * 1.959963984540054 * errors
    )


def test_latex(estimated: ProblemResults) -> None:
    lines = estimated.to_latex().splitlines()
    assert lines[0] == r"\begin{tabular}{lllrr}"
    assert lines[-1] == r"\end{tabular}"
    rows = [line for line in lines if line.count("&") == 4]
    assert len(rows) == 5
    value, error = estimated.beta[0, 0], estimated.beta_se[0, 0]
    assert rows[-1] == rf"beta & prices &  & {value:.6g} & {error:.6g} \\"


def test_html(estimated: ProblemResults) -> None:
    import xml.etree.ElementTree as ET

    table = ET.fromstring(estimated._repr_html_())
    assert table.tag == "table"
    rows = table.findall("./tbody/tr")
    assert len(rows) == 4
    assert rows[0][3].text == f"{estimated.sigma[0, 0]:.6g}"
    assert "480 products in 20 markets" in str(table.findtext("caption"))


def test_print(estimated: ProblemResults) -> None:
    text = str(estimated)
    for title in (
        "Problem Results Summary:",
        "Cumulative Statistics:",
        "Nonlinear Coefficient Estimates (Robust SEs in Parentheses):",
        "Beta Estimates (Robust SEs in Parentheses):",
    ):
        assert title in text
    assert f"{estimated.beta[0, 0]:+.6E}" in text
    assert f"({estimated.beta_se[0, 0]:+.6E})" in text


# Starting points


def test_starting_points_are_reported(
    estimated: ProblemResults, told: list[Event]
) -> None:
    frame = estimated.starts_frame()
    assert len(frame) == 3 and frame["converged"].all()
    best = frame["above_best"].min()
    assert best == 0 and (frame["above_best"] >= 0).all()
    first = estimated.last_results
    assert first is not None
    np.testing.assert_allclose(
        frame["objective"].min(), float(first.objective), rtol=1e-10
    )
    evaluations = [e for e in told if isinstance(e, EvaluationEvent) and e.step == 1]
    assert {event.start for event in evaluations} == {0, 1, 2}
    assert "Starting points: 3" in str(estimated)


def test_starting_points_can_be_given() -> None:
    problem = nevo.problem(blpdask, 20)
    pi, points = np.zeros((4, 4)), np.array([[0.1, 9.0], [3.0, 0.2]])
    results = problem.solve(
        np.diag([0.3, 2.0, 0, 0]), pi, method="1s", starts=points, threads=1
    )
    frame = results.starts_frame()
    assert len(frame) == 3
    objective = float(results.objective)
    np.testing.assert_allclose(frame["objective"].min(), objective, rtol=1e-10)
    again = problem.solve(
        np.diag([0.3, 2.0, 0, 0]), pi, method="1s", starts=points, threads=2
    )
    np.testing.assert_array_equal(results.theta, again.theta)


# Files


def same(a: ProblemResults, b: ProblemResults) -> None:
    """Check that two results are the same, bit for bit."""
    ours, theirs = a.to_dict(), b.to_dict()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
        assert np.asarray(value).dtype == np.asarray(theirs[name]).dtype, name
    assert a.estimates.warnings == b.estimates.warnings
    assert (a.last_results is None) == (b.last_results is None)
    if a.last_results is not None and b.last_results is not None:
        same(a.last_results, b.last_results)


@pytest.fixture(scope="module")
def saved(estimated: ProblemResults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("results") / "nevo"
    estimated.save(directory)
    return directory


def test_what_is_saved_is_read_bit_for_bit(
    estimated: ProblemResults, saved: Path
) -> None:
    read = read_results(saved)
    same(estimated, read)
    assert str(read).startswith(str(estimated).split("Starting points")[0].rstrip())


def test_numbers_that_are_not_finite_survive(tmp_path: Path) -> None:
    results = nevo.problem(blpdask, 5).solve(
        np.diag([0.3, 0, 0, 0]),
        np.zeros((4, 4)),
        method="1s",
        check_optimality="gradient",
        optimization=blpdask.Optimization("return"),
    )
    assert np.isnan(results.hessian).all() and np.isinf(results.sigma_bounds[1]).any()
    results.save(tmp_path / "a")
    same(results, read_results(tmp_path / "a"))


def test_nothing_is_replaced_unless_asked(
    estimated: ProblemResults, saved: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="exists") as caught:
        estimated.save(saved)
    assert "overwrite=True" in str(caught.value)
    estimated.save(saved, overwrite=True)
    same(estimated, read_results(saved))
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match="other files"):
        estimated.save(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def chunks(directory: Path) -> list[Path]:
    files = [f for f in directory.rglob("*") if f.is_file() and f.suffix != ".json"]
    return sorted(files)


def test_a_flipped_byte_is_an_error_wherever_it_is(saved: Path, tmp_path: Path) -> None:
    assert len(chunks(saved)) > 50  # of about forty arrays a step
    for place in range(0, len(chunks(saved)), 7):
        copy = tmp_path / str(place)
        shutil.copytree(saved, copy)
        file = chunks(copy)[place]
        contents = bytearray(file.read_bytes())
        contents[(place * 31) % len(contents)] ^= 0x10
        file.write_bytes(contents)
        with pytest.raises(StoreError, match="is damaged") as caught:
            read_results(copy)
        assert str(copy) in str(caught.value)
        assert "estimate again" in str(caught.value)


@pytest.mark.parametrize("harm", ["truncated", "emptied", "missing"])
def test_a_chunk_that_is_cut_short_is_an_error(
    saved: Path, tmp_path: Path, harm: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    file = chunks(copy)[0]
    if harm == "missing":
        file.unlink()
    else:
        contents = file.read_bytes()
        file.write_bytes(contents[: len(contents) // 2 if harm == "truncated" else 0])
    with pytest.raises(StoreError, match="is damaged"):
        read_results(copy)


def test_a_damaged_description_is_an_error(saved: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    file = copy / "estimates.json"
    text = file.read_text()
    for broken in (text.replace("objective", "0bjective", 1), text[:-40], "", "[]"):
        file.write_text(broken)
        with pytest.raises(StoreError, match=r"estimates\.json .*is damaged"):
            read_results(copy)


def test_damaged_metadata_never_change_a_number(
    estimated: ProblemResults, saved: Path, tmp_path: Path
) -> None:
    """A byte flipped in the metadata of an array: the same numbers, or an error."""
    names = sorted(
        f.relative_to(saved) for f in saved.rglob("zarr.json") if "theta" in f.parts
    )
    assert names
    rng = np.random.default_rng(0)
    for trial in range(60):
        copy = tmp_path / str(trial)
        shutil.copytree(saved, copy)
        file = copy / names[trial % len(names)]
        contents = bytearray(file.read_bytes())
        contents[rng.integers(len(contents))] ^= 1 << int(rng.integers(7))
        file.write_bytes(contents)
        try:
            read = read_results(copy)
        except StoreError:
            continue
        same(estimated, read)


def test_another_schema_is_an_error(
    estimated: ProblemResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blpdask.results.store.SCHEMA", 0)
    estimated.save(tmp_path / "old")
    monkeypatch.undo()
    with pytest.raises(StoreError, match="schema 0") as caught:
        read_results(tmp_path / "old")
    assert "expected: schema 1" in str(caught.value)


def test_a_directory_without_results_is_an_error(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreError, match=r"no estimates\.json"):
            read_results(directory)


def test_a_save_that_fails_leaves_nothing(
    estimated: ProblemResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("blpdask.results.store._write_array", fail)
    with pytest.raises(OSError, match="disk full"):
        estimated.save(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_pickles(estimated: ProblemResults, tmp_path: Path) -> None:
    same(estimated, pickle.loads(pickle.dumps(estimated)))
    estimated.to_pickle(tmp_path / "a.pickle")
    read = blpdask.read_pickle(tmp_path / "a.pickle")
    same(estimated, read)
    assert read.problem is None
    assert str(read) == str(estimated)
    blpdask.save_pickle(estimated, tmp_path / "b.pickle")
    same(estimated, blpdask.read_pickle(tmp_path / "b.pickle"))


# Pictures


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt.figure().add_subplot()
    plt.close("all")


def test_estimates_are_drawn_over_their_errors(
    estimated: ProblemResults, axes: Any
) -> None:
    assert plot_estimates(estimated.estimates, axes) is axes
    points, _, bars = axes.containers[0]
    frame = estimated.to_frame()
    np.testing.assert_allclose(points.get_xdata(orig=False), frame["t_statistic"])
    for segment, t in zip(bars[0].get_segments(), frame["t_statistic"], strict=True):
        np.testing.assert_allclose(
            segment[:, 0], [t - 1.959963984540054, t + 1.959963984540054]
        )
    labels = [label.get_text() for label in axes.get_yticklabels()]
    places = ["sigma: 1 × 1", "sigma: prices × prices", "pi: 1 × income"]
    assert labels == [*places, "beta: prices"]
    assert estimated.plot_estimates().figure is not axes.figure


def test_a_search_is_drawn_above_its_minimum(told: list[Event], axes: Any) -> None:
    plot_search(told, axes)
    assert axes.get_yscale() == "log"
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert set(lines) == {*(f"step 1, start {s}" for s in (1, 2, 3)), "step 2, start 1"}
    first = [e for e in told if isinstance(e, EvaluationEvent) and e.step == 1]
    lowest = min(event.objective for event in first)
    values = [e.objective - lowest for e in first if e.start == 0]
    expected = [value for value in values if value > 0]
    np.testing.assert_allclose(lines["step 1, start 1"].get_ydata(), expected)
    assert plot_search(told).figure is not axes.figure


def test_a_search_without_evaluations_is_said() -> None:
    with pytest.raises(InputError, match=r"progress=events\.append"):
        plot_search([StepEvent(1, "Optimising")])


def test_the_extra_is_named_where_there_is_no_matplotlib(
    estimated: ProblemResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(BlpdaskError, match=r"blpdask\[plots\]"):
        estimated.plot_estimates()
