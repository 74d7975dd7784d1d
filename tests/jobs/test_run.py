"""What a run leaves behind, however it ends.

A complete run is a directory with everything in it; whatever stops a run leaves its
evaluations beside that name; the resolved job runs again to the same numbers; no run
replaces what is not its own.
"""

from __future__ import annotations

import inspect
import json
import logging
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from blpdask.api.problem import Problem
from blpdask.errors import InputError, NumericalError
from blpdask.jobs.build import solve_arguments
from blpdask.jobs.data import fingerprint
from blpdask.jobs.load import load_job
from blpdask.jobs.report import show_run
from blpdask.jobs.run import prepare_job, run_job
from blpdask.jobs.schema import Job
from blpdask.jobs.yaml_text import read_yaml
from tests.jobs import stand_in
from tests.jobs.job_files import JOB, PRODUCTS, write_job

FILES = {
    "resolved.yaml",
    "results",
    "estimates.csv",
    "summary.json",
    "evaluations.jsonl",
    "log.txt",
}


@pytest.fixture
def ending(monkeypatch):
    """Install a stand-in problem that ends as it is told."""

    def install(name="converged"):
        monkeypatch.setitem(sys.modules, "blpdask.api.problem", stand_in.module(name))

    return install


def run(path, output, overrides=(), force=False):
    return run_job(prepare_job(path, overrides), output=output, force=force)


def names(folder):
    return {entry.name for entry in folder.iterdir()}


def test_a_complete_run_has_everything_and_nothing_else(tmp_path, ending):
    ending("converged")
    finished = run(write_job(tmp_path), tmp_path / "out")
    assert finished.output == tmp_path / "out"
    assert names(tmp_path / "out") == FILES
    assert names(tmp_path) == {"job.yaml", "products.csv", "out"}
    lines = (tmp_path / "out/evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["objective"] for line in lines] == [10, 5, 10 / 3, 2.5]
    assert json.loads(lines[0])["gradient_norm"] is None
    assert json.loads(lines[1])["gradient_norm"] == 0.5
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary == finished.summary
    assert summary["theta"] == [0.25, -1.5]
    assert summary["share_maps"] == 40
    assert summary["hansen"] == {"J": 4.5, "degrees": 3, "p_value": 0.2123}


def test_an_optimiser_that_did_not_converge_still_leaves_results(tmp_path, ending):
    ending("does not converge")
    finished = run(write_job(tmp_path), tmp_path / "out")
    assert finished.summary["converged"] is False
    assert names(tmp_path / "out") == FILES


def test_a_failure_leaves_evaluations_and_says_where(tmp_path, ending):
    ending("fails")
    with pytest.raises(NumericalError) as caught:
        run(write_job(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    partial = tmp_path / "out.partial-1"
    assert names(partial) == {"resolved.yaml", "evaluations.jsonl", "log.txt"}
    (note,) = caught.value.__notes__
    assert f"{partial}: the resolved job, the log and 4 evaluations" in note
    assert "lowest objective of GMM step 1 is 2.5" in note
    with pytest.raises(InputError, match="did not finish, with 4 evaluations"):
        show_run(partial, "table")


def test_a_save_that_is_cut_short_never_looks_complete(tmp_path, ending, monkeypatch):
    ending("converged")

    def save(self, directory):
        directory.mkdir()
        (directory / "half").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(stand_in.StandInResults, "save", save)
    with pytest.raises(KeyboardInterrupt):
        run(write_job(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial-1/results").exists()


def test_wrong_input_found_late_leaves_nothing(tmp_path, ending, monkeypatch):
    ending("converged")

    def solve(self, progress, **arguments):
        raise InputError("solve", ())

    monkeypatch.setattr(stand_in.StandInProblem, "solve", solve)
    with pytest.raises(InputError):
        run(write_job(tmp_path), tmp_path / "out")
    assert names(tmp_path) == {"job.yaml", "products.csv"}


def test_the_same_job_replaces_its_own_run_and_no_other(tmp_path, ending):
    ending("converged")
    path, output = write_job(tmp_path), tmp_path / "out"
    run(path, output)
    (output / "mark").write_text("")
    run(path, output, ["engine.threads=2"])
    assert not (output / "mark").exists()
    with pytest.raises(InputError, match="results of another job"):
        run(path, output, ["solve.method=2s"])
    assert "method: 1s" in (output / "resolved.yaml").read_text()
    run(path, output, ["solve.method=2s"], force=True)
    (tmp_path / "products.csv").write_text(PRODUCTS.replace("0.3\n", "0.4\n"))
    with pytest.raises(InputError, match="other options or other data"):
        run(path, output, ["solve.method=2s"])
    assert names(tmp_path) == {"job.yaml", "products.csv", "out"}


@pytest.mark.parametrize("force", [False, True])
def test_what_no_run_has_written_is_never_replaced(tmp_path, ending, force):
    ending("converged")
    path, output = write_job(tmp_path), tmp_path / "out"
    output.mkdir()
    (output / "thesis.tex").write_text("ten years")
    with pytest.raises(InputError, match="something there that no run has written"):
        run(path, output, force=force)
    assert (output / "thesis.tex").read_text() == "ten years"


def test_the_resolved_job_runs_again(tmp_path, ending, monkeypatch):
    ending("converged")
    text = JOB + "seed: 5\nintegration: {specification: halton, size: 3}\n"
    run(write_job(tmp_path, text), tmp_path / "out")
    resolved = tmp_path / "out/resolved.yaml"
    monkeypatch.chdir("/")
    run(resolved, tmp_path / "again")
    assert (tmp_path / "again/resolved.yaml").read_text() == resolved.read_text()
    content = read_yaml(resolved.read_text(), "").content
    assert content["integration"]["specification_options"] == {"seed": 5}
    assert content["data"]["products"]["source"] == str(tmp_path / "products.csv")
    assert set(content) == set(Job.model_fields)
    assert content["record"]["data"]["products"]["rows"] == 4
    assert content["record"]["versions"]["numpy"] == np.__version__


def test_a_resolved_job_refuses_other_data(tmp_path, ending):
    ending("converged")
    run(write_job(tmp_path), tmp_path / "out")
    (tmp_path / "products.csv").write_text(PRODUCTS.replace("0.3\n", "0.4\n"))
    resolved = tmp_path / "out/resolved.yaml"
    with pytest.raises(InputError, match="record=null"):
        run(resolved, tmp_path / "again")
    run(resolved, tmp_path / "again", ["record=null"])


@pytest.mark.filterwarnings("always")
def test_warnings_of_a_run_are_logged_and_shown(tmp_path, ending, monkeypatch):
    ending("converged")
    solve = stand_in.StandInProblem.solve

    def warn(self, **arguments):
        warnings.warn("look out", UserWarning, stacklevel=1)
        return solve(self, **arguments)

    monkeypatch.setattr(stand_in.StandInProblem, "solve", warn)
    heard = []
    prepared = prepare_job(write_job(tmp_path))
    run_job(prepared, output=tmp_path / "out", listener=heard.append)
    assert heard[0].message == "UserWarning: look out"
    log = (tmp_path / "out/log.txt").read_text()
    assert "WARNING UserWarning: look out" in log
    assert "step 1: begins" in log
    assert logging.getLogger("blpdask").handlers == []


def test_defaults_of_a_job_are_those_of_the_python_interface():
    solve = inspect.signature(Problem.solve).parameters
    fields = Job.model_fields["solve"].annotation.model_fields
    same = set(fields) - {"optimization", "resample"}
    for name in same:
        assert fields[name].default == solve[name].default, name
    problem = inspect.signature(Problem).parameters
    for name in ("rc_types", "epsilon_scale", "costs_type", "add_exogenous"):
        assert Job.model_fields[name].default == problem[name].default, name
    engine = Job.model_fields["engine"].annotation.model_fields
    assert engine["backend"].default == solve["backend"].default
    assert Job.model_fields["seed"].default == solve["seed"].default
    left_to_python = {
        "self",
        "delta",
        "W",
        "progress",
        "blocks",
        "resume",
    }
    in_jobs = {
        *(set(fields) - {"resample"}),
        "resample_agent_data",
        *("micro_moments", "micro_sample_covariances"),
        *("sigma", "pi", "rho", "type_shares", "phi", "beta", "gamma", "seed"),
        *(f"{n}_bounds" for n in Job.model_fields["bounds"].annotation.model_fields),
        *("engine", "threads", "backend"),
    }
    assert set(solve) == in_jobs | left_to_python


def test_options_become_arguments(tmp_path):
    text = """
name: small
data: {products: {source: products.csv}}
formulations: {linear: "0 + prices", random: "1 + prices"}
integration: {specification: product, size: 3}
sigma: [[1, 0], [0.5, 2]]
beta: [null]
bounds:
  sigma: {lower: 0, upper: [[1, null], [null, 9]]}
solve:
  starts: [[1, 2, 3], [4, 5, 6]]
  iteration: {method: squarem, method_options: {atol: 1e-12}}
  W_type: unadjusted
engine: {threads: 2, backend: numpy}
seed: 4
"""
    arguments = solve_arguments(load_job(write_job(tmp_path, text)).job)
    infinity = np.inf
    np.testing.assert_array_equal(arguments["sigma"], [[1, 0], [0.5, 2]])
    np.testing.assert_array_equal(arguments["beta"], [[np.nan]])
    lower, upper = arguments["sigma_bounds"]
    np.testing.assert_array_equal(lower, np.zeros((2, 2)))
    np.testing.assert_array_equal(upper, [[1, infinity], [infinity, 9]])
    np.testing.assert_array_equal(arguments["starts"], [[1, 2, 3], [4, 5, 6]])
    assert repr(arguments["iteration"]) == "Iteration('squarem', {'atol': 1e-12})"
    rest = ("W_type", "engine", "threads", "backend", "seed")
    assert [arguments[name] for name in rest] == [
        "unadjusted",
        "threads",
        2,
        "numpy",
        4,
    ]
    assert "method" not in arguments


def test_shapes_that_do_not_fit_the_formulas_are_refused_before_solving(tmp_path):
    text = JOB + "beta: [1, 2, 3]\n"
    with pytest.raises(InputError, match="beta has 3 rows\n  expected: 2"):
        prepare_job(write_job(tmp_path, text))


def test_a_fingerprint_is_of_contents_and_names():
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert fingerprint(table) == fingerprint(table.set_index(pd.Index([7, 8])))
    for other in (
        table.rename(columns={"a": "c"}),
        table.iloc[::-1],
        table.assign(b=["x", "z"]),
        table[["b", "a"]],
    ):
        assert fingerprint(other) != fingerprint(table)


def test_a_table_that_cannot_be_read_is_wrong_input(tmp_path, monkeypatch):
    path = write_job(tmp_path)
    (tmp_path / "products.csv").write_bytes(b"a,b\n1,2,3\n\xff,,,,\n")
    with pytest.raises(InputError, match="cannot be read"):
        prepare_job(path)
    (tmp_path / "products.parquet").write_bytes(b"")
    path = write_job(tmp_path, JOB.replace(".csv", ".parquet"))

    def read_parquet(path):
        raise ImportError("no reader")

    monkeypatch.setattr(pd, "read_parquet", read_parquet)
    with pytest.raises(InputError, match="pip install pyarrow"):
        prepare_job(path)
