"""Options of weights and steps in job files: read, refused, and run as in Python."""

from __future__ import annotations

import json

import numpy as np
import pytest

import blpdask
from blpdask.errors import InputError
from blpdask.jobs.build import solve_arguments
from blpdask.jobs.load import load_job
from blpdask.jobs.run import prepare_job, run_job
from tests.jobs.job_files import write_job

JOB = """
name: weights
data:
  simulated: {markets: 40, products: [5, 8], agents: 30}
formulations:
  linear: "1 + prices + x1 + x2"
  random: "0 + prices + x1"
  demographics: "0 + demographic1"
sigma: [[0.4, 0], [0, 0.5]]
pi: [[0.1], [0]]
engine: {kind: serial}
solve:
"""


@pytest.mark.parametrize(
    "text",
    [
        "  method: iterated\n  max_steps: 40\n  steps_tol: 1.0e-5\n",
        "  method: cue\n",
        "  method: 2s\n  W_type: clustered\n  se_type: clustered_psd\n",
    ],
)
def test_a_job_computes_what_python_computes(tmp_path, text):
    kept = blpdask.options.verbose
    blpdask.options.verbose = False
    try:
        prepared = prepare_job(write_job(tmp_path, JOB + text))
        run_job(prepared, output=tmp_path / "out")
        arguments = solve_arguments(prepared.job)
        expected = prepared_problem(prepared).solve(**arguments)
    finally:
        blpdask.options.verbose = kept
    found = blpdask.read_results(tmp_path / "out" / "results")
    np.testing.assert_array_equal(found.parameters, expected.parameters)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["method"] == arguments.get("method", "2s")
    assert found.estimates.estimator == expected.estimates.estimator


def prepared_problem(prepared):
    from blpdask.jobs.build import build_problem

    return build_problem(prepared.job, prepared.data)


def test_wrong_steps_are_named(tmp_path):
    text = JOB + "  method: cuu\n  max_steps: 0\n  steps_tol: 0\n  W_type: twoway\n"
    with pytest.raises(InputError) as caught:
        load_job(write_job(tmp_path, text))
    message = str(caught.value)
    for name in ("solve.method", "solve.max_steps", "solve.steps_tol", "solve.W_type"):
        assert name in message
