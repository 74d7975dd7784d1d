"""Jobs about choices of people: read, run, resumed, asked and shown.

1. What a job says reaches the problem: a run finds what the same calls in Python find.
2. A run that is stopped goes on to the same bits; a finished one is replayed.
3. Saved results of classes and of mixed logits are read back.
4. Wrong files are told all their faults at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import blpdask
from blpdask.cli import app
from blpdask.errors import BlpdaskError, InputError
from blpdask.jobs.load import load_job
from blpdask.jobs.resume import reopen_run, resume_run
from blpdask.jobs.run import prepare_job, run_job
from tests.references.specifications import quietly

JOB = """
kind: choices
name: panel
data:
  simulated: {n_households: 60, n_weeks: 12}
formulation: "0 + cigarettes + ecigarettes + prices + lag"
random: {cigarettes: normal}
engine: {kind: serial}
"""


def write(folder: Path, text: str = JOB, **changes: Any) -> Path:
    path = folder / "job.yaml"
    more = "".join(f"{name}: {json.dumps(value)}\n" for name, value in changes.items())
    path.write_text(text + more, encoding="utf-8")
    return path


def same_in_python(**options: Any) -> Any:
    with quietly():
        panel = pd.DataFrame(blpdask.simulate_panel(60, 12, seed=0).data)
        problem = blpdask.ChoiceProblem(
            blpdask.Formulation("0 + cigarettes + ecigarettes + prices + lag"),
            panel,
            random={"cigarettes": "normal"},
        )
        return problem.solve(engine="serial", **options)


def test_a_run_finds_what_python_finds(tmp_path: Path) -> None:
    prepared = prepare_job(
        write(
            tmp_path,
            questions={
                "elasticities": "prices",
                "willingness_to_pay": "prices",
                "posterior_coefficients": True,
            },
        )
    )
    finished = run_job(prepared, output=tmp_path / "out")
    expected = same_in_python()
    np.testing.assert_array_equal(finished.results.theta, expected.theta)
    assert finished.summary["converged"]
    assert finished.summary["log_likelihood"] == expected.log_likelihood
    again = blpdask.read_results(tmp_path / "out" / "results")
    np.testing.assert_array_equal(again.covariances, expected.covariances)
    table = pd.read_csv(tmp_path / "out" / "elasticities.csv", index_col=0)
    direct = expected.compute_elasticities("prices", by="alternatives")
    np.testing.assert_allclose(table.to_numpy(), direct.to_numpy(), rtol=1e-12)
    paid = pd.read_csv(tmp_path / "out" / "willingness_to_pay.csv", index_col=0)
    found = expected.compute_willingness_to_pay("lag", "prices")
    assert paid.loc["lag", "mean"] == pytest.approx(found.mean, rel=1e-12)
    assert len(pd.read_csv(tmp_path / "out" / "posterior_coefficients.csv")) == 60
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    assert "sd.cigarettes" in shown.stdout and "Willingness to pay" in shown.stdout


def test_classes_are_estimated_saved_and_read(tmp_path: Path) -> None:
    text = JOB.replace("random: {cigarettes: normal}", "classes: 2")
    path = write(tmp_path, text, solve={"starts": 4})
    finished = run_job(prepare_job(path), output=tmp_path / "out")
    again = blpdask.read_results(tmp_path / "out" / "results")
    np.testing.assert_array_equal(again.shares, finished.results.shares)
    np.testing.assert_array_equal(
        again.class_parameters, finished.results.class_parameters
    )
    assert str(again) == str(finished.results)


def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    expected = run_job(prepare_job(write(tmp_path)), output=tmp_path / "whole")
    heard: list[Any] = []

    def stop(event: Any) -> None:
        heard.append(event)
        if len(heard) == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_job(prepare_job(write(tmp_path)), output=tmp_path / "out", listener=stop)
    assert any("blpdask resume" in note for note in caught.value.__notes__)
    finished = resume_run(reopen_run(tmp_path / "out"))
    assert finished.summary["replayed_evaluations"] > 0
    np.testing.assert_array_equal(finished.results.theta, expected.results.theta)
    np.testing.assert_array_equal(
        finished.results.covariances, expected.results.covariances
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    path = write(tmp_path, JOB.replace("n_households: 60", "n_households: 600"))
    whole = run_job(prepare_job(path), output=tmp_path / "whole")
    command = [sys.executable, "-m", "blpdask.cli", "run", str(path), "-o"]
    run = subprocess.Popen(
        [*command, str(tmp_path / "out")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
    )
    log = tmp_path / "out.partial-1" / "evaluations.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and run.poll() is None:
        if log.exists() and log.read_text().count("\n") > 8:
            break
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    finished = resume_run(reopen_run(tmp_path / "out"))
    np.testing.assert_array_equal(finished.results.theta, whole.results.theta)


def test_a_recorded_solve_is_replayed(tmp_path: Path) -> None:
    first = same_in_python(resume=tmp_path / "recording")
    heard: list[Any] = []
    again = same_in_python(resume=tmp_path / "recording", progress=heard.append)
    np.testing.assert_array_equal(first.theta, again.theta)
    assert "to its end" in heard[0].message
    with pytest.raises(BlpdaskError, match=r"starts|method"):
        same_in_python(resume=tmp_path / "recording", se_type="hessian")


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = """
kind: choices
name: wrong
data: {source: "data:electrcity", store: nowhere}
formulation: "0 + prices"
random: {prices: norml}
membership: "1 + income"
solve: {method: msx}
"""
    with pytest.raises(InputError) as caught:
        load_job(write(tmp_path, text))
    message = str(caught.value)
    for part in ("electrcity", "nowhere", "norml", "membership without classes", "msx"):
        assert part in message, message


def test_questions_are_checked_before_anything_is_estimated(tmp_path: Path) -> None:
    path = write(tmp_path, questions={"elasticities": "price"})
    with pytest.raises(InputError, match="price, which the formulation does not have"):
        prepare_job(path)


@pytest.mark.parametrize("command", ["plan", "store"])
def test_commands_about_markets_say_so(tmp_path: Path, command: str) -> None:
    more = ["--output", str(tmp_path / "store")] if command == "store" else []
    result = CliRunner().invoke(app, [command, str(write(tmp_path)), *more])
    assert result.exit_code == 2
    assert "a job about markets" in result.output


def test_options_of_choices_are_listed() -> None:
    result = CliRunner().invoke(app, ["options", "choices.data"])
    assert result.exit_code == 0
    assert "data:NAME" in result.stdout and "data.lag" in result.stdout
