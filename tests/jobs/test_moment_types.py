"""Jobs with autocorrelated errors: φ, its bounds and moment types, run as in Python."""

from __future__ import annotations

import numpy as np
import pandas as pd

import blpdask
from blpdask.jobs.build import build_problem, solve_arguments
from blpdask.jobs.run import prepare_job, run_job
from tests.api.test_moment_types import quiet, table
from tests.jobs.job_files import write_job

__all__ = ["quiet"]

JOB = """
name: lags
data:
  products: {source: panel.csv}
formulations:
  linear: "1 + prices + x"
phi: 0.5
bounds: {phi: {lower: -0.9, upper: 0.9}}
engine: {kind: serial}
solve:
  demand_moment_types: [[levels, 3], [innovations, 4]]
  method: 2s
"""


def test_a_job_computes_what_python_computes(tmp_path):
    pd.DataFrame(table()).to_csv(tmp_path / "panel.csv", index=False)
    prepared = prepare_job(write_job(tmp_path, JOB))
    run_job(prepared, output=tmp_path / "out")
    arguments = solve_arguments(prepared.job)
    assert arguments["phi"].tolist() == [[0.5]]
    expected = build_problem(prepared.job, prepared.data).solve(**arguments)
    found = blpdask.read_results(tmp_path / "out" / "results")
    np.testing.assert_array_equal(found.parameters, expected.parameters)
    assert found.theta_labels == ["Xi on Xi"] and found.phi[0, 0] != 0.5
    assert found.phi_bounds[1].tolist() == [[0.9]]
