"""The command line: what it prints, what it exits with, and the jobs under workflows/.

Reference objectives of Nevo's data are PyBLP 1.3.0's (Conlon and Gortmaker 2020).
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import blpdask
from blpdask.cli import app
from blpdask.jobs.load import load_job
from tests.jobs import stand_in
from tests.jobs.job_files import JOB, write_job

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / "workflows"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def invoke(*arguments, env=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)


def install(monkeypatch, ending):
    monkeypatch.setitem(sys.modules, "blpdask.api.problem", stand_in.module(ending))


def test_a_run_prints_progress_results_and_where_they_are(tmp_path, monkeypatch):
    install(monkeypatch, "converged")
    result = invoke("run", write_job(tmp_path))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "Job small."
    assert lines[1] == "step 1: begins"
    assert lines[3].startswith("step 1  evaluation 2  objective 5.000000000e+00 *  ")
    assert "TABLE OF RESULTS" in lines
    assert "Hansen's J: 4.5, 3 degrees of freedom, p-value 0.2123." in lines
    assert lines[-1] == (
        "Results are in results/small. Show them again: blpdask show results/small"
    )


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        ("does not converge", 1, "did not converge"),
        ("fails", 1, "Numerical failure: every market failed"),
    ],
)
def test_numerical_trouble_exits_with_1(tmp_path, monkeypatch, ending, code, message):
    install(monkeypatch, ending)
    result = invoke("run", write_job(tmp_path))
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_wrong_input_exits_with_2_and_says_all_on_standard_error(tmp_path):
    path = write_job(tmp_path, JOB + "sigmaa: 1\nseed: x\n")
    for command in ("run", "check"):
        result = invoke(command, path, "--set", "solve.method=3s")
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.count("found:") == 3
        assert "did you mean sigma?" in result.stderr
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "results").exists()


def test_a_job_that_is_not_there_exits_with_2(tmp_path):
    result = invoke("run", tmp_path / "nowhere.yaml")
    assert result.exit_code == 2
    assert "no such file" in result.stderr


def test_show_of_a_directory_that_is_not_there_exits_with_2(tmp_path):
    result = invoke("show", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "no such directory" in result.stderr
    (tmp_path / "empty").mkdir()
    assert invoke("show", tmp_path / "empty").exit_code == 2


def test_options_lists_all_and_suggests_none_it_has_not():
    result = invoke("options")
    assert "solve.W_type: robust" in result.stdout
    assert "data.simulated.markets: 100" in result.stdout
    assert invoke("options", "solve.optimization").stdout.startswith(
        "solve.optimization:\n"
    )
    assert invoke("options", "sole").exit_code == 2


def test_nevo_runs_to_the_reference_and_is_shown_in_every_form(tmp_path):
    result = invoke("run", WORKFLOWS / "nevo/job.yaml", "--engine", "serial")
    assert result.exit_code == 0, result.output
    output = tmp_path / "results/nevo"
    shown = json.loads(invoke("show", output, "--format", "json").stdout)
    assert shown["objective"] == pytest.approx(4.56151416480, rel=1e-9)
    assert shown["hansen"]["degrees"] == 6
    table = pd.read_csv(io.StringIO(invoke("show", output, "--format", "csv").stdout))
    price = table[(table["matrix"] == "beta") & (table["row"] == "prices")]
    assert price["estimate"].item() == pytest.approx(-62.7299, rel=1e-4)
    assert [row["estimate"] for row in shown["estimates"]] == table["estimate"].tolist()
    table_form = invoke("show", output).stdout
    assert "Hansen's J: 4.56151, 6 degrees of freedom" in table_form
    assert table_form.splitlines()[0] in result.stdout
    results = blpdask.read_results(output / "results")
    assert results.objective == shown["objective"]
    lines = (output / "evaluations.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert first["objective"] == pytest.approx(29.3533431262, rel=1e-10)
    assert first["theta"][0] == 0.3302


def test_a_resolved_job_gives_the_same_bits(tmp_path):
    job = WORKFLOWS / "simulated/job.yaml"
    small = ("--set", "data.simulated.markets=20", "--engine", "threads")
    assert invoke("run", job, *small, "--output", "one").exit_code == 0
    assert (
        invoke("run", "one/resolved.yaml", "--engine=serial", "-o", "two").exit_code
        == 0
    )
    one, two = (blpdask.read_results(f"{name}/results") for name in ("one", "two"))
    assert one.objective == two.objective
    np.testing.assert_array_equal(one.theta, two.theta)
    assert (
        Path("one/estimates.csv").read_text() == Path("two/estimates.csv").read_text()
    )


def test_the_simulated_workflow_finds_its_truth():
    result = invoke("run", WORKFLOWS / "simulated/job.yaml")
    assert result.exit_code == 0, result.output
    table = pd.read_csv("results/simulated/estimates.csv")
    design = load_job(WORKFLOWS / "simulated/job.yaml").job.data.simulated
    sigma, pi = np.array(design.sigma), np.array(design.pi)
    truth = np.concatenate([np.diag(sigma), pi.ravel(), design.beta])
    assert len(table) == len(truth)
    assert (np.abs(table["estimate"] - truth) < 4 * table["std_error"]).all()
    assert (table["std_error"] < 0.5).all()


def test_nevo_logit_runs_to_the_reference():
    result = invoke("run", WORKFLOWS / "nevo-logit/job.yaml")
    assert result.exit_code == 0, result.output
    summary = json.loads(Path("results/nevo-logit/summary.json").read_text())
    assert summary["objective"] == pytest.approx(187.455512976, rel=1e-9)


def test_several_starting_points_are_reported():
    job = WORKFLOWS / "simulated/job.yaml"
    small = ("--set", "data.simulated.markets=20", "--set", "solve.starts=3")
    assert invoke("run", job, *small, "--set", "solve.method=1s").exit_code == 0
    assert len(pd.read_csv("results/simulated/starts.csv")) == 3


def test_check_prints_dimensions_and_evaluates_only_when_asked():
    job = WORKFLOWS / "nevo/job.yaml"
    result = invoke("check", job)
    assert result.exit_code == 0
    assert re.search(r"^94 +2256 +5 +1880 +1 +4 +4 +20 +1", result.stdout, re.M)
    assert "objective" not in result.stdout
    evaluated = invoke("check", job, "--evaluate").stdout
    assert "objective 2.935334313e+01" in evaluated
    assert list(Path().iterdir()) == []


def test_help_comes_without_heavy_imports():
    code = (
        "import sys, blpdask.cli\n"
        "heavy = {'numpy', 'pandas', 'pydantic', 'numba', 'scipy', 'rich.live'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT) == b"[]\n"
    began = time.perf_counter()
    text = subprocess.check_output(
        [sys.executable, "-m", "blpdask.cli", "--help"], cwd=ROOT, text=True
    )
    print(f"blpdask --help: {time.perf_counter() - began:.2f} s")
    for command in ("run", "resume", "check", "plan", "store", "show", "options"):
        assert f" {command} " in text


@pytest.mark.parametrize(
    "command", ["run", "resume", "check", "plan", "store", "show", "options"]
)
def test_help_of_every_command_has_an_example(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Example: blpdask {command}" in result.stdout


@pytest.mark.parametrize("command", ["run", "resume", "check"])
def test_help_teaches_clusters_with_an_example_each(command):
    text = " ".join(invoke(command, "--help", env={"COLUMNS": "300"}).stdout.split())
    for example in (
        "--workers 8",
        "--worker-memory 2GiB",
        "--scheduler tcp://node1:8786",
        "--scheduler-file scheduler.json",
        "--performance-report report.html",
    ):
        assert f"Say {example}." in text


def test_ctrl_c_keeps_the_evaluations_and_exits_with_130(tmp_path):
    write_job(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.stand_in", "run", "job.yaml", "-o", "out"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    evaluations = tmp_path / "out.partial-1/evaluations.jsonl"
    deadline = time.monotonic() + 60
    while not (evaluations.is_file() and evaluations.read_text().count("\n") > 5):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[0] == "Interrupted."
    assert f"Kept in {evaluations.parent}: the resolved job" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
    assert not (evaluations.parent / "results").exists()
    lines = evaluations.read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [
        number + 1 for number in range(len(lines))
    ]
    assert len(lines) > 5
